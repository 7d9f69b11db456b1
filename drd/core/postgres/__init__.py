"""What PostgreSQL's positions, timelines and files of write-ahead log mean; nothing here asks a server."""
