"""The ways in which people can be told, one file a kind."""
