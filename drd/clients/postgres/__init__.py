"""PostgreSQL from version 13 on, asked in SQL: the one place that knows its catalogues, error codes and sentences."""

from drd.clients.postgres.cluster import ClusterServers, Member
from drd.clients.postgres.connection import Patience
from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.inspecting import grants_of, inspect
from drd.clients.postgres.outcomes import meaning
from drd.clients.postgres.server import PostgresServer

__all__ = ["ClusterServers", "Dsn", "Member", "Patience", "PostgresServer", "grants_of", "inspect", "meaning"]
