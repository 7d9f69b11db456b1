"""Servers whose write-ahead log is received all the time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from drd.core.postgres.server import ServerFacts
from drd.ports.postgres import Postgres
from drd.ports.postgres_tools import PostgresTools

if TYPE_CHECKING:
    from drd.ports.world import World


@dataclass(frozen=True, slots=True)
class ReachedServer:
    """A server that answers and is what it has to be, with the programs of its version."""

    dsn: bytes = field(repr=False)
    server: Postgres
    tools: PostgresTools
    facts: ServerFacts
    node: str = ""
    """The node that it is; empty where one connection string says it all."""
    note: str = ""
    """Why it is not the server that was wanted first."""


class WalOrigin(Protocol):
    """Where a policy's WAL comes from."""

    def reached(self, world: World) -> AbstractAsyncContextManager[ReachedServer]:
        """Look at the server; its connection ends with the context. Raises what keeps WAL from being received."""
        ...
