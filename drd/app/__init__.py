"""The composition root: finds the kinds, builds every part, and alone knows them all."""
