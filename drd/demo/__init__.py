"""A small platform to try drd on: files that keep changing and an off-site store, made on this machine."""
