"""Snapshots that came into stores, and that left them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from drd.core.events.body import Body
from drd.core.run import Mode, Outcome


@dataclass(frozen=True)
class SnapshotCreated(Body):
    """A part of a recovery point stands in a store, straight from the source."""

    KIND = "snapshot-created"
    policy: str
    part: str
    store: str
    snapshot_id: str
    moment: datetime
    mode: Mode
    outcome: Outcome
    total_bytes: int
    total_files: int
    added_bytes: int
    seconds: float
    facts: tuple[str, ...] = ()
    """What the source's kind says of what it gave, `name=value` each, sorted; they are in the snapshot's tags too."""


@dataclass(frozen=True)
class CopyCreated(Body):
    """A part of a recovery point stands in a further store, every file of it verified by its digest."""

    KIND = "copy-created"
    policy: str
    part: str
    store: str
    snapshot_id: str
    origin_store: str
    moment: datetime
    point_run: str = ""
    """Run whose recovery point it belongs to; empty when it is the run in which the copy was made."""


@dataclass(frozen=True)
class MirrorFinished(Body):
    """A round of carrying repository files from one store to another ended."""

    KIND = "mirror-finished"
    store: str
    origin_store: str
    complete: bool
    files: int
    bytes: int
    seconds: float
    refused: int
    message: str


@dataclass(frozen=True)
class SnapshotFound(Body):
    """A store holds a snapshot that the journal did not know: written by an earlier state, or by another daemon."""

    KIND = "snapshot-found"
    policy: str
    run: str
    part: str
    store: str
    snapshot_id: str
    moment: datetime
    mode: Mode
    outcome: Outcome
    daemon: str
    total_bytes: int = 0
    """As the snapshot says itself, which it does since restic 0.17; else 0."""
    total_files: int = 0
    facts: tuple[str, ...] = ()
    """What its tags say beside what drd says of every kind of source."""


@dataclass(frozen=True)
class SnapshotMissing(Body):
    """The journal knew a snapshot that the store does not hold any more, and it is known why."""

    KIND = "snapshot-missing"
    policy: str
    store: str
    snapshot_id: str


@dataclass(frozen=True)
class ForgetStarted(Body):
    """Retention is about to remove these: what is gone without that was taken by somebody else."""

    KIND = "forget-started"
    policy: str
    store: str
    snapshot_ids: tuple[str, ...]


@dataclass(frozen=True)
class SnapshotsForgotten(Body):
    """Retention removed these; the store was listed afterwards and they are gone."""

    KIND = "snapshots-forgotten"
    policy: str
    store: str
    snapshot_ids: tuple[str, ...]
    by: str


@dataclass(frozen=True)
class RetentionHeld(Body):
    """A guard kept retention from removing anything."""

    KIND = "retention-held"
    policy: str
    store: str
    reason: str


@dataclass(frozen=True)
class RetentionApplied(Body):
    """The rules of all policies in a store were applied: one event a store and day, also when nothing went.

    `removed` counts snapshots; what went and what was held is told policy by policy beside it.
    """

    KIND = "retention-applied"
    store: str
    policies: int
    removed: int
    refused: int
    """Policies of which the store did not let go what was to go."""
