"""What people type: the commands, their options, and how answers are shown."""
