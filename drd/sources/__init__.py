"""The kinds of things that can be protected, one file a kind."""
