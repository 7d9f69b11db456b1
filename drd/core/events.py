"""The catalogue of events: every fact that drd records, written first.

An event's body is a frozen dataclass of plain values. `VERSION` grows when the fields change, and `core.upcast` gets a
reader for the older form; what is stored is never rewritten. No secret, and no path or value from inside a source, may
stand in a body.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from drd.core.policy import Cause, Mode, Outcome

FORMAT = 1
"""The journal's format. A journal with a greater one is refused."""


@dataclass(frozen=True)
class Body:
    """What happened. `KIND` is the stored name and never changes."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True)
class Event:
    """One fact with its place in the chain."""

    daemon: str
    """Id of the daemon that wrote it."""
    sequence: int
    """1, 2, 3, … without a gap."""
    at: datetime
    """Wall time, UTC."""
    boot: str
    monotonic_ns: int
    run: str | None
    term: int
    """Fencing token of the lease under which it was written; 0 without a cluster."""
    body: Body
    head: str = ""
    """Hex SHA-256 over the previous head and this event's stored bytes."""


@dataclass(frozen=True)
class SegmentOpened(Body):
    """The first event of a journal file: it carries the last head of the file before."""

    KIND = "segment-opened"
    previous_segment: str | None
    previous_head: str
    previous_sequence: int


@dataclass(frozen=True)
class HeadAnchored(Body):
    """The chain's head was written into a store, where no one on this machine can change it unseen."""

    KIND = "head-anchored"
    store: str
    snapshot_id: str
    anchored_sequence: int
    anchored_head: str


@dataclass(frozen=True)
class AnchorsForgotten(Body):
    """Old anchors were removed from a store; enough newer ones stand there."""

    KIND = "anchors-forgotten"
    store: str
    snapshot_ids: tuple[str, ...]


@dataclass(frozen=True)
class DaemonStarted(Body):
    """A daemon opened this journal."""

    KIND = "daemon-started"
    version: str
    restic: str


@dataclass(frozen=True)
class DaemonStopped(Body):
    """A daemon left in an orderly way."""

    KIND = "daemon-stopped"
    reason: str


@dataclass(frozen=True)
class ConfigurationLoaded(Body):
    """The configuration that is in force from here on."""

    KIND = "configuration-loaded"
    digest: str
    policies: int
    runbooks: int
    stores: int


@dataclass(frozen=True)
class ConfigurationRefused(Body):
    """A reload found errors and changed nothing."""

    KIND = "configuration-refused"
    errors: int
    first: str


@dataclass(frozen=True)
class PolicyAdded(Body):
    """A policy is protected from here on."""

    KIND = "policy-added"
    policy: str


@dataclass(frozen=True)
class PolicyRemoved(Body):
    """A policy's file is gone. Its recovery points stay."""

    KIND = "policy-removed"
    policy: str


@dataclass(frozen=True)
class RunStarted(Body):
    """A policy's run began; nothing has been written to a store yet."""

    KIND = "run-started"
    policy: str
    mode: Mode
    cause: Cause
    slot: datetime | None


@dataclass(frozen=True)
class RunFinished(Body):
    """A run ended. `message` and `hint` are for people and empty on success."""

    KIND = "run-finished"
    policy: str
    mode: Mode
    outcome: Outcome
    message: str
    hint: str
    seconds: float
    total_bytes: int
    added_bytes: int
    store: str = ""
    """Where it wrote or was to write: the first store of the policy when none of them answered."""


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
    """The journal knew a snapshot that the store does not hold any more."""

    KIND = "snapshot-missing"
    policy: str
    store: str
    snapshot_id: str


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


@dataclass(frozen=True)
class StoreCreated(Body):
    """A repository was made."""

    KIND = "store-created"
    store: str
    repository_id: str
    mirror_of: str | None


@dataclass(frozen=True)
class StoreWentAway(Body):
    """A store stopped answering."""

    KIND = "store-went-away"
    store: str
    message: str


@dataclass(frozen=True)
class StoreCameBack(Body):
    """A store that was away answers again."""

    KIND = "store-came-back"
    store: str


@dataclass(frozen=True)
class StoreReconciled(Body):
    """What a store holds was compared with what the journal knew."""

    KIND = "store-reconciled"
    store: str
    snapshots: int
    found: int
    missing: int


@dataclass(frozen=True)
class StoreChecked(Body):
    """A check of a repository ended. `subset` is empty for the structure alone."""

    KIND = "store-checked"
    store: str
    subset: str
    sound: bool
    errors: int
    first: str
    seconds: float


@dataclass(frozen=True)
class StorePruned(Body):
    """Unreferenced data was removed from a repository."""

    KIND = "store-pruned"
    store: str
    seconds: float


@dataclass(frozen=True)
class JobFailed(Body):
    """Work that belongs to no run failed: a check, a prune, a copy that is caught up.

    `store` is empty where it is the journal that is sealed or verified.
    """

    KIND = "job-failed"
    store: str
    job: str
    message: str
    hint: str


@dataclass(frozen=True)
class HoldPlaced(Body):
    """Nothing is forgotten or pruned in a store until the hold is released."""

    KIND = "hold-placed"
    store: str
    reason: str
    is_identity: bool = False
    """Whether another repository is there than the journal knows, which `drd accept` settles."""


@dataclass(frozen=True)
class HoldReleased(Body):
    """A hold ended."""

    KIND = "hold-released"
    store: str
    by: str


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
class RestoreStarted(Body):
    """Data is being brought back."""

    KIND = "restore-started"
    policy: str
    point_run: str
    store: str
    snapshot_id: str
    by: str


@dataclass(frozen=True)
class RestoreFinished(Body):
    """A restore ended; on success every file that landed was read back and compared.

    A restore of several parts has one such event for each, with the part's own figures.
    """

    KIND = "restore-finished"
    policy: str
    point_run: str
    store: str
    outcome: Outcome
    message: str
    hint: str
    seconds: float
    bytes: int
    files: int
    whole: bool
    """Whether the whole snapshot was restored, which proves its copy."""
    snapshot_id: str = ""


@dataclass(frozen=True)
class Paused(Body):
    """A person stopped work for a time."""

    KIND = "paused"
    policy: str
    what: str
    until: datetime
    reason: str
    by: str


@dataclass(frozen=True)
class Resumed(Body):
    """A pause ended before its time."""

    KIND = "resumed"
    policy: str
    what: str
    by: str


@dataclass(frozen=True)
class ClockStepped(Body):
    """Wall time and monotonic time disagreed: the clock was set, or the machine slept."""

    KIND = "clock-stepped"
    seconds: float


@dataclass(frozen=True)
class BallastReleased(Body):
    """The state's disk was full; the ballast was given up so that this could be written."""

    KIND = "ballast-released"
    free_bytes: int


@dataclass(frozen=True)
class BallastRestored(Body):
    """There is room again, and the ballast is back."""

    KIND = "ballast-restored"
    free_bytes: int


@dataclass(frozen=True)
class BugFound(Body):
    """A mistake in drd itself ended one unit of work."""

    KIND = "bug-found"
    unit: str
    error: str
    traceback: str
    quarantined: bool


def kinds() -> dict[str, type[Body]]:
    """Every kind of event by its stored name."""
    return {body.KIND: body for body in Body.__subclasses__()}
