"""The kinds of places that hold a restic repository, one file a kind."""
