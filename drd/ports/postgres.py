"""One PostgreSQL server, asked in SQL: what it is, how far its WAL is, what its slots hold back, and its heartbeat.

Every call has a deadline of the implementation's own. All raise `ServerAway` when there is no answer in time,
`LoginRefused` when the server does not let us in, and `RightMissing` with the statement that grants what lacks.
"""

from __future__ import annotations

from typing import Protocol

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Heartbeat, Positions, Role, ServerFacts, Slot, Tablespace, WalStatus

__all__ = [
    "Heartbeat",
    "Heartbeats",
    "Positions",
    "Postgres",
    "Role",
    "Server",
    "ServerFacts",
    "Slot",
    "Slots",
    "Tablespace",
    "WalStatus",
]


class Server(Protocol):
    """The server itself."""

    @property
    def place(self) -> str:
        """The server, database and role in words, for messages; never a secret."""
        ...

    async def facts(self) -> ServerFacts:
        """What it is."""
        ...

    async def role(self) -> Role:
        """Whom it takes us for."""
        ...

    async def data_bytes(self) -> int:
        """About how large a base backup of it is; less than that where the role may not see a database."""
        ...

    async def positions(self) -> Positions:
        """How far it is."""
        ...

    async def switch_wal(self) -> Lsn:
        """End the segment in writing, so that it can be archived; the end of what was written to it.

        Does nothing when it holds nothing yet. Raises `ServerReadOnly` on a standby.
        """
        ...

    async def create_restore_point(self, name: str) -> Lsn:
        """Name this moment in the WAL (at most 63 bytes); the end of what names it.

        It is safe on the server's disk a moment later (`wal_writer_delay`). Raises `ServerReadOnly` on a standby.
        """
        ...

    async def close(self) -> None:
        """Give the connection back; the next call makes another one."""
        ...


class Slots(Protocol):
    """Physical replication slots, which hold WAL back until it was received."""

    async def slot(self, name: str) -> Slot | None:
        """What became of a slot; None when there is none of this name."""
        ...

    async def create_slot(self, name: str) -> Slot:
        """Make a slot that reserves WAL from now on; one that is there already is left as it is."""
        ...

    async def drop_slot(self, name: str) -> bool:
        """Remove a slot; False when there was none. Raises `TransientError` while somebody receives by it."""
        ...


class Heartbeats(Protocol):
    """A small table, `drd_heartbeat` with one row, in a schema that may be chosen."""

    async def prepare_heartbeat(self, schema: str) -> None:
        """Make schema and table where they lack. Raises `ServerReadOnly` on a standby."""
        ...

    async def beat(self, schema: str, daemon: str) -> Heartbeat:
        """Write the row anew; it does not wait for standbys. Raises `PermanentError` when there is no such table."""
        ...

    async def heartbeat(self, schema: str) -> Heartbeat | None:
        """The row as this server has it; None when there is no table or no row."""
        ...


class Postgres(Server, Slots, Heartbeats, Protocol):
    """All of it."""
