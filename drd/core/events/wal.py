"""A database's WAL, on its way into the stores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from drd.core.events.body import Body


@dataclass(frozen=True)
class WalShipped(Body):
    """All WAL of a group up to a position stands in a store; what stood there of the group before is superseded."""

    KIND = "wal-shipped"
    policy: str
    store: str
    snapshot_id: str
    system_identifier: str
    group: str
    """Its first segment, as PostgreSQL calls it."""
    segment_bytes: int
    through: str
    """The end of the WAL, as `16/B374D848`."""
    moment: datetime | None
    """By the server's clock: all that was committed before it lies before `through`."""
    switches: tuple[str, ...]
    """What the group's timeline continues, as `1@0/5000000`."""
    added_bytes: int = 0
    seconds: float = 0.0
    origin_store: str = ""
    """The store that it was carried from; empty when it came from the spool."""


@dataclass(frozen=True)
class WalForgotten(Body):
    """Batches of WAL were removed from a store, because later ones hold the same or nothing needs them any more."""

    KIND = "wal-forgotten"
    policy: str
    store: str
    snapshot_ids: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """Groups of which nothing is left there: no kept base backup and no promised moment needs them."""


@dataclass(frozen=True)
class WalInterrupted(Body):
    """A policy's WAL is not received now, or some of it is lost."""

    KIND = "wal-interrupted"
    policy: str
    message: str
    hint: str
    is_lost: bool = False
    """Whether moments between base backups cannot be restored until there is a new one."""


@dataclass(frozen=True)
class WalResumed(Body):
    """A policy's WAL is received again."""

    KIND = "wal-resumed"
    policy: str


@dataclass(frozen=True)
class NewBaseWanted(Body):
    """Nothing that was saved of a policy leads on from where its server is now: a full is due at once."""

    KIND = "new-base-wanted"
    policy: str
    key: str
    """What tells this reason from others: for each a full is wanted once."""
    message: str


@dataclass(frozen=True)
class WalGapFound(Body):
    """Segments that a restore would need are nowhere: neither here, nor in a store, nor kept by the server."""

    KIND = "wal-gap-found"
    policy: str
    system_identifier: str
    first: str
    """As PostgreSQL calls it."""
    last: str
    count: int
    message: str
    hint: str


@dataclass(frozen=True)
class WalGapClosed(Body):
    """A stretch that was lost is there, or nothing needs it any more."""

    KIND = "wal-gap-closed"
    policy: str
    system_identifier: str
    first: str
    last: str
    has_arrived: bool
    """Whether it came after all; else the base backups that needed it are gone."""


@dataclass(frozen=True)
class WalHeldBack(Body):
    """What the server keeps for a policy's slot has come to another state."""

    KIND = "wal-held-back"
    policy: str
    status: str
    """In PostgreSQL's words: `reserved`, `extended`, `unreserved` or `lost`."""
    retained_bytes: int
    safe_bytes: int | None
    """What can be written until it is lost; None: without limit."""
    message: str
    hint: str
