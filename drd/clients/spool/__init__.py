"""Where received WAL lies until every store has it."""

from drd.clients.spool.folders import FolderSpool, FolderSpools

__all__ = ["FolderSpool", "FolderSpools"]
