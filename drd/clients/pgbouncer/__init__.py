"""PgBouncer: its admin console, and the file that says where its databases are."""

from drd.clients.pgbouncer.console import CONSOLE, Console, Pool
from drd.clients.pgbouncer.file import DatabasesFile, commands

__all__ = ["CONSOLE", "Console", "DatabasesFile", "Pool", "commands"]
