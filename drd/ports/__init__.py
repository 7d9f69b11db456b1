"""The seams: what the engines ask of the world, one question a file."""
