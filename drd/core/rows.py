"""The plain rows in which the projections are kept: JSON values, with moments as canonical texts."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypedDict, TypeVar

Key = tuple[str | int, ...]
Row = TypeVar("Row")


class RunRow(TypedDict):
    """A run, with the sequence number of its start."""

    run: str
    policy: str
    mode: str
    cause: str
    started: str
    finished: str | None
    outcome: str | None
    message: str
    hint: str
    added_bytes: int
    total_bytes: int
    figures: dict[str, int | None] | None
    sequence: int
    slot: int


class NewBaseRow(TypedDict):
    """A full that is wanted, with the sequence number of the event that says so."""

    key: str
    message: str
    since: str
    sequence: int


class LostWalRow(TypedDict):
    """A stretch of WAL that is nowhere."""

    system_identifier: str
    first: str
    last: str


class SuspicionRow(TypedDict):
    """A suspicion that nobody has released."""

    message: str
    since: str
    run: str


class PrimaryRow(TypedDict):
    """The node that was the primary when one was last seen, and since when it had answered then."""

    node: str
    cluster: str
    timeline: int
    since: str
    synchronous: str


class OutageRow(TypedDict):
    """A time in which a policy's service did not answer; the last one may last still."""

    bad: str
    good: str | None
    up: str | None
    message: str


class UnseenRow(TypedDict):
    """A time in which nobody saw whether a policy's service answered."""

    since: str
    until: str


class PolicyRow(TypedDict):
    """A policy; `protected` is false before it was added and after it was removed. `failures` are by store and mode."""

    protected: bool
    created: str
    last_start: dict[str, str]
    last_success_start: dict[str, str]
    last_success_finished: str | None
    last_run: RunRow | None
    failures_in_a_row: int
    runs: int
    failures: dict[str, dict[str, int]]
    last_total_bytes: int | None
    new_base: NewBaseRow | None
    last_new_base: str
    lost_wal: list[LostWalRow]
    suspicion: SuspicionRow | None
    last_primary: PrimaryRow | None
    outages: list[OutageRow]
    unseen: list[UnseenRow]


class CopyRow(TypedDict):
    """One snapshot in one store."""

    store: str
    part: str
    snapshot_id: str
    standing: str
    proven_at: str | None
    arrived: str


class PointRow(TypedDict):
    """A recovery point; it exists as long as it has a copy. `moments` are those of its parts, where it has several."""

    mode: str
    moment: str
    outcome: str
    total_bytes: int
    total_files: int
    copies: list[CopyRow]
    forgotten_in: list[str]
    facts: dict[str, list[str]]
    moments: dict[str, str]


class PlaceRow(TypedDict):
    """Which point a snapshot belongs to."""

    policy: str
    run: str


class AnchorRow(TypedDict):
    """One anchor of the journal's head in a store."""

    snapshot_id: str
    at: str


class DamageRow(TypedDict):
    """Damage in a store that is not healed."""

    since: str
    subsets: list[str]
    files: list[str]
    message: str
    left: str
    hint: str
    lost: list[str]
    lost_count: int


class StoreRow(TypedDict):
    """A store; `unsound` are the subsets whose last check found damage.

    `parts_read` tells of each part of the data when it was read last, and `part_seconds` how long the last one took.
    """

    repository_id: str | None
    away_since: str | None
    last_checked: str | None
    unsound: list[str]
    last_pruned: str | None
    last_reconciled: str | None
    hold: str | None
    is_identity_held: bool
    last_released: str | None
    last_retained: str | None
    is_prune_owed: bool
    anchors: list[AnchorRow]
    forgotten_anchors: list[str]
    known_since: str | None
    parts_read: list[str | None]
    part_seconds: float
    probed: str | None
    is_protected: bool | None
    protection: str
    risks: list[str]
    keys: list[str]
    foreign_keys: list[str]
    damage: DamageRow | None
    is_damage_held: bool
    healed: int
    leaving: list[str]
    last_given_up: str | None
    is_replaced: bool


class RestoreRow(TypedDict):
    """A restore; of one that was tried in several stores, the last try."""

    run: str
    point_run: str
    store: str
    snapshot_id: str
    started: str
    finished: str | None
    outcome: str | None
    bytes: int
    seconds: float
    whole: bool


class RestoresRow(TypedDict):
    """The newest restores of a policy, oldest first."""

    restores: list[RestoreRow]


class IncidentRow(TypedDict):
    """A run of a runbook. `facts` are its events, oldest first: moment, kind and body each."""

    run: str
    policy: str
    runbook: str
    is_drill: bool
    started: str
    finished: str | None
    outcome: str | None
    sequence: int
    facts: list[Any]


class PauseRow(TypedDict):
    """A pause that nobody ended."""

    until: str
    reason: str
    by: str


class WalRow(TypedDict):
    """A group of WAL in a store. `marks` are pairs of a moment and a position, oldest first."""

    snapshot_id: str
    superseded: list[str]
    system_identifier: str
    segment_bytes: int
    through: str
    moment: str | None
    switches: list[str]
    marks: list[list[str]]
    shipped: str


class Backend(Protocol[Row]):
    """Rows by key. A row that was changed is put back."""

    def get(self, key: Key) -> Row | None:
        """The row, or None."""
        ...

    def put(self, key: Key, row: Row) -> None:
        """Add or replace."""
        ...

    def drop(self, key: Key) -> None:
        """Remove, if it is there."""
        ...


class Tables(Protocol):
    """The whole state, with what each table's keys are."""

    @property
    def policies(self) -> Backend[PolicyRow]:
        """By (policy)."""
        ...

    @property
    def runs(self) -> Backend[RunRow]:
        """By (policy, slot): a ring, so that the newest `RUNS_KEPT` runs of a policy stay."""
        ...

    @property
    def open_runs(self) -> Backend[RunRow]:
        """By (run)."""
        ...

    @property
    def points(self) -> Backend[PointRow]:
        """By (policy, run)."""
        ...

    @property
    def places(self) -> Backend[PlaceRow]:
        """By (store, snapshot id)."""
        ...

    @property
    def stores(self) -> Backend[StoreRow]:
        """By (store)."""
        ...

    @property
    def restores(self) -> Backend[RestoresRow]:
        """By (policy)."""
        ...

    @property
    def pauses(self) -> Backend[PauseRow]:
        """By (policy, what)."""
        ...

    @property
    def incidents(self) -> Backend[IncidentRow]:
        """By (run)."""
        ...

    @property
    def wal(self) -> Backend[WalRow]:
        """By (policy, store, group with its cluster)."""
        ...


class MemoryShelf(Generic[Row]):
    """Rows in memory: for tests and small tools."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}

    def get(self, key: Key) -> Row | None:
        """The row, or None."""
        return self.rows.get(key)

    def put(self, key: Key, row: Row) -> None:
        """Add or replace."""
        self.rows[key] = row

    def drop(self, key: Key) -> None:
        """Remove, if it is there."""
        self.rows.pop(key, None)
