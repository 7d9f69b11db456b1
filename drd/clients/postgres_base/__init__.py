"""Base backups of a PostgreSQL server: sent by it, or read where its files lie, and described for whoever restores."""
