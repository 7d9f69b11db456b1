"""The kinds of questions that a node can be asked, one file a kind."""
