"""The servers of one database cluster: a primary and its standbys, which trade places."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from drd.core.postgres.nodes import NodeRole
from drd.core.postgres.server import ServerFacts
from drd.core.secrets import SecretReference
from drd.ports.postgres import Postgres

if TYPE_CHECKING:
    from drd.ports.world import World


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of drd.yaml that a policy names."""

    name: str
    dsns: dict[str, SecretReference] = field(default_factory=dict)
    """Kind of source → how its server there is reached."""
    priority: int = 0
    """Which standby is preferred among equals: the greater."""


@dataclass(frozen=True, slots=True)
class ReachedNode:
    """A server that answers, by a connection of its own."""

    name: str
    """The node; empty where one connection string says it all."""
    dsn: bytes = field(repr=False)
    server: Postgres
    facts: ServerFacts
    note: str = ""
    """Why it is not of the kind that was wanted first."""


class DatabaseServers(Protocol):
    """Finds a policy's servers by what they are at this moment."""

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes; one empty name where one connection string says it all."""
        ...

    @property
    def wants_heartbeat(self) -> bool:
        """Whether a row may be written in the database again and again."""
        ...

    def reached(self, world: World, wanted: tuple[NodeRole, ...] = ()) -> AbstractAsyncContextManager[ReachedNode]:
        """The best server of these roles, the first wanted first; without any the one whose WAL is received.

        Raises what `drd.core.postgres.nodes.choose` raises, and whatever keeps the only server from answering.
        """
        ...

    def reached_by_name(self, world: World, name: str) -> AbstractAsyncContextManager[ReachedNode]:
        """One of them, whatever it is. Raises `ServerAway` when it does not answer."""
        ...
