"""Servers whose write-ahead log is received all the time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from drd.core.postgres.holding import WhenFull
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


@dataclass(frozen=True, slots=True)
class SpoolRules:
    """How much WAL may wait on drd's disk, and by which paths it comes."""

    most_bytes: int = 64 * 2**30
    """With so much in the spool nothing more is received."""
    when_full: WhenFull | None = None
    """What is given up then; None: what protects the server's disk."""
    incoming: Path | None = None
    """A folder into which the server's `archive_command` lays finished segments; None: there is none."""


class WalOrigin(Protocol):
    """Where a policy's WAL comes from."""

    @property
    def rules(self) -> SpoolRules:
        """How it is received."""
        ...

    def reached(self, world: World) -> AbstractAsyncContextManager[ReachedServer]:
        """Look at the server; its connection ends with the context. Raises what keeps WAL from being received."""
        ...
