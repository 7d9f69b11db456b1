"""What the journal knows of policies, runs, restores, stores and pauses: the values that engines and people see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from drd.core.figures import RunFigures
from drd.core.outage import Outage, Unseen
from drd.core.points import RecoveryPoint
from drd.core.policy import Cause, Mode, Outcome


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a policy, as far as the journal tells."""

    run: str
    policy: str
    mode: Mode
    cause: Cause
    started: datetime
    finished: datetime | None = None
    outcome: Outcome | None = None
    message: str = ""
    hint: str = ""
    added_bytes: int = 0
    total_bytes: int = 0
    figures: RunFigures | None = None
    """What it saw of its sources."""


@dataclass(frozen=True, slots=True)
class RestoreRecord:
    """One restore, as far as the journal tells."""

    run: str
    policy: str
    point_run: str
    store: str
    snapshot_id: str
    started: datetime
    finished: datetime | None = None
    outcome: Outcome | None = None
    """None: nobody has recorded its end."""
    bytes: int = 0
    """What landed, of all parts together."""
    seconds: float = 0.0
    whole: bool = False
    """Whether all that the point holds was restored, and not some of its paths."""


@dataclass(frozen=True, slots=True)
class NewBase:
    """A full that is wanted at once, because nothing that was saved before leads on from where the source is now."""

    key: str
    """What tells one reason from another."""
    message: str
    since: datetime
    sequence: int = 0
    """The event's that says so."""


@dataclass(frozen=True, slots=True)
class LostWal:
    """A stretch of WAL that is nowhere, by its first and last segment; both included."""

    system_identifier: str
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A run looked as if what it read had been destroyed, and nobody has said yet that it was not."""

    message: str
    since: datetime
    run: str
    """The run that raised it."""


@dataclass(frozen=True, slots=True)
class PrimaryRecord:
    """The node that was the primary when one was last seen."""

    node: str
    cluster: str
    timeline: int
    since: datetime
    """When it was first seen to be that, after a start or an outage."""
    synchronous: str = ""
    """What every commit surely waited for then, as `synchronous_standby_names` says it."""


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """What the journal knows of a policy, which is all that the scheduler decides by."""

    policy: str
    created: datetime
    last_start: dict[Mode, datetime]
    """Newest start of each mode, whatever became of it."""
    last_success_start: dict[Mode, datetime]
    """Newest start of each mode among the runs that succeeded."""
    last_run: RunRecord | None
    failures_in_a_row: int
    runs: int
    failures: dict[str, dict[str, int]]
    """Store → mode → runs that ended there without a good recovery point."""
    last_total_bytes: int | None
    """Size of what the last good run saved: what the shrink guard compares with."""
    last_success_finished: datetime | None = None
    new_base: NewBase | None = None
    """Set until a full succeeds that was started after it was wanted."""
    last_new_base: str = ""
    """The key of the reason for which a full was wanted last, whatever came of it."""
    lost_wal: tuple[LostWal, ...] = ()
    """The stretches that were found lost, and have neither arrived since nor become superfluous."""
    suspicion: Suspicion | None = None
    """Set until a person releases it; nothing of the policy is forgotten meanwhile."""
    last_primary: PrimaryRecord | None = None
    """The node that was the primary when one was last seen."""
    outages: tuple[Outage, ...] = ()
    """When its service did not answer its users, oldest first."""
    unseen: tuple[Unseen, ...] = ()
    """When nobody saw whether it did, oldest first."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """A head of the journal in a store."""

    snapshot_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage in a store that is not healed yet."""

    since: datetime
    subsets: tuple[str, ...]
    """How it was found: subsets of checks (empty for the structure alone), `restore`, `mirror` or `open`."""
    files: tuple[str, ...]
    """The damaged files that were named, by their path in the repository."""
    message: str
    """What was found last."""
    left: str = ""
    """Why it could not be healed; empty before that was tried."""
    hint: str = ""
    lost: tuple[str, ...] = ()
    """What recovery points cannot give back any more, as `policy, point of moment: path`; the first of them."""
    lost_count: int = 0

    def lost_of(self, point: RecoveryPoint) -> tuple[str, ...]:
        """The paths that a point cannot give back, as far as they were named."""
        label = f"{point.label}: "
        return tuple(each.removeprefix(label) for each in self.lost if each.startswith(label))


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """What the journal knows of a store."""

    store: str
    repository_id: str | None
    away_since: datetime | None
    last_checked: datetime | None
    check_sound: bool | None
    last_pruned: datetime | None
    last_reconciled: datetime | None
    hold: str | None
    """Why nothing may be forgotten there, or None."""
    last_retained: datetime | None = None
    """When the rules of all policies were applied there last."""
    is_prune_owed: bool = False
    """Whether something was removed from it since it was pruned last."""
    anchors: tuple[Anchored, ...] = ()
    """The journal's heads that were written into it and not forgotten since, oldest first."""
    forgotten_anchors: tuple[str, ...] = ()
    """Snapshot ids of the anchors that were forgotten there last."""
    is_identity_held: bool = False
    """Whether the hold is there because the journal knows another repository in that place."""
    last_released: datetime | None = None
    """When a person ended a hold there last."""
    known_since: datetime | None = None
    """When the journal heard of its repository first."""
    parts_read: tuple[datetime | None, ...] = ()
    """When each part of its data was read last; there are as many parts as it was divided into last."""
    part_seconds: float = 0.0
    """How long reading the last part took."""
    probed: datetime | None = None
    """When drd tried last whether it keeps what it holds; None where that was never declared."""
    is_protected: bool | None = None
    """What came of that."""
    protection: str = ""
    """What it refused then, or what it let pass."""
    risks: tuple[str, ...] = ()
    """Who could still delete there."""
    keys: tuple[str, ...] = ()
    """The keys that were there when drd took it over; empty until they were listed."""
    foreign_keys: tuple[str, ...] = ()
    """Those that somebody else has added since."""
    damage: Damage | None = None
    is_damage_held: bool = False
    """Whether the hold is there because of damage, and ends when that is healed."""
    healed: int = 0
    """How often damage there was healed."""
    leaving: frozenset[str] = frozenset()
    """Ids of snapshots of which it is known why they are gone, or may be: drd forgot them, or a person gave them up."""
    last_given_up: datetime | None = None
    """When damaged files were taken away there last, of which no good ones were to be had."""
    is_replaced: bool = False
    """Whether another repository has come into its place since it was reconciled last."""

    @property
    def unread_since(self) -> datetime | None:
        """All its data was read after this moment; where some never was, it is when drd heard of the repository."""
        oldest = min((each for each in self.parts_read if each is not None), default=None)
        return self.known_since if oldest is None or None in self.parts_read else oldest

    @property
    def read_through(self) -> datetime | None:
        """All data that was there at this moment was read since; None where some never was."""
        return None if not self.parts_read or None in self.parts_read else self.unread_since

    @property
    def is_damaged(self) -> bool:
        """Whether its last check found damage: no copy there counts until one finds it sound again."""
        return self.check_sound is False

    @property
    def last_anchored(self) -> datetime | None:
        """When the journal's head was written into it last."""
        return self.anchors[-1].at if self.anchors else None


@dataclass(frozen=True, slots=True)
class Pause:
    """Work that a person has stopped for a time; it ends by itself."""

    policy: str
    what: str
    until: datetime
    reason: str
    by: str


def damaged_stores(stores: Mapping[str, StoreRecord]) -> frozenset[str]:
    """The stores, of those that the journal knows, whose copies do not count."""
    return frozenset(name for name, record in stores.items() if record.is_damaged)
