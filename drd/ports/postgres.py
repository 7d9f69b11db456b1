"""One PostgreSQL server, asked in SQL: what it is, how far its WAL is, what its slots hold back, and its heartbeat.

Every call has a deadline of the implementation's own. All raise `ServerAway` when there is no answer in time,
`LoginRefused` when the server does not let us in, and `RightMissing` with the statement that grants what lacks.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from drd.core.postgres.heartbeat import Beat, Heartbeat
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Positions, Role, ServerFacts, ServerSettings, Slot, Tablespace, WalStatus

__all__ = [
    "Beat",
    "Heartbeat",
    "Heartbeats",
    "Positions",
    "Postgres",
    "Role",
    "Server",
    "ServerFacts",
    "ServerSettings",
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

    async def settings(self) -> ServerSettings:
        """How it is set."""
        ...

    async def try_replication(self) -> None:
        """Connect as base backups and receivers do, which pg_hba.conf admits by lines of its own. Raises why not."""
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

    async def advance_slot(self, name: str, to: Lsn) -> Slot | None:
        """Let go of WAL before a position, as far as the server itself has come; None when there is no such slot."""
        ...

    async def drop_slot(self, name: str) -> bool:
        """Remove a slot; False when there was none. Raises `TransientError` while somebody receives by it."""
        ...


class Heartbeats(Protocol):
    """The table `drd.heartbeat`, which a person has made; see `drd.core.postgres.heartbeat`."""

    async def may_beat(self) -> bool:
        """Whether the table is there and the role may write it."""
        ...

    async def beat(self, beat: Beat) -> Heartbeat:
        """Write the daemon's row anew; it waits for no standby. Raises `PermanentError` when there is no such table.

        Raises `ServerReadOnly` on a standby.
        """
        ...

    async def forget_beats(self, policy: str, daemon: str, older: timedelta) -> tuple[str, ...]:
        """Remove other daemons' rows of a policy that are older than this daemon's by more than `older`.

        Whose they were; none where the role may remove none. Raises `ServerReadOnly` on a standby.
        """
        ...

    async def heartbeats(self) -> tuple[Heartbeat, ...]:
        """All rows as this server has them, the newest first, of every database that the role may enter."""
        ...


class Postgres(Server, Slots, Heartbeats, Protocol):
    """All of it."""
