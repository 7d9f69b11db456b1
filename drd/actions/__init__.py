"""The kinds of steps that a runbook can take, one file a kind."""
