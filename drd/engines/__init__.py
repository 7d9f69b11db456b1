"""The control loops: observe, decide, journal, act; one loop a file."""
