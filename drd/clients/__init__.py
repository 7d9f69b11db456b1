"""The only code that touches an outside program or library."""
