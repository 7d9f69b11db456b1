"""What can be restored, from where, and how well that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from drd.core.policy import Mode, Outcome
from drd.core.tags import completed_by, reached_by_wal


class Standing(StrEnum):
    """How well a copy is known: claimed until a restore has read it."""

    CLAIMED = "claimed"
    PROVEN = "proven"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Copy:
    """One snapshot of one part of a recovery point in one store."""

    store: str
    part: str
    snapshot_id: str
    standing: Standing = Standing.CLAIMED
    proven_at: datetime | None = None
    arrived: datetime | None = None
    """When the journal heard of it: by then all its data was there."""


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A moment to which a service can be put back: one run's snapshots, in every store that holds them.

    `moment` is when reading began, or of what the source's kind says that it holds; of several parts the oldest. Only a
    point whose `outcome` is succeeded counts for objectives and retention.
    """

    policy: str
    run: str
    mode: Mode
    moment: datetime
    outcome: Outcome
    total_bytes: int
    total_files: int
    copies: tuple[Copy, ...]
    forgotten_in: tuple[str, ...] = ()
    """The stores from which retention has removed it: it is not brought back there."""
    facts: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Part → what its source's kind says of it, `name=value` each, sorted; parts of which nothing is said lack."""
    moments: dict[str, datetime] = field(default_factory=dict, hash=False)
    """Part → when it was read, or what it says of itself; empty of a point of one part, whose moment it is."""

    def moment_of(self, part: str) -> datetime:
        """When one of its parts was read."""
        return self.moments.get(part, self.moment)

    @property
    def order(self) -> tuple[datetime, str]:
        """What points are put in order by: moments are whole seconds, and the identifiers of runs grow with time."""
        return self.moment, self.run

    @property
    def is_good(self) -> bool:
        """Whether it holds all that it was asked to hold, in at least one store that holds it whole and undamaged."""
        return self.outcome is Outcome.SUCCEEDED and bool(self.stores)

    @property
    def stores(self) -> tuple[str, ...]:
        """The stores that hold an undamaged copy of every part: with one part missing a service is not put back."""
        parts = {copy.part for copy in self.copies}
        if len(parts) == 1:
            return tuple(dict.fromkeys(copy.store for copy in self.copies if copy.standing is not Standing.DAMAGED))
        held: dict[str, set[str]] = {}
        for copy in self.copies:
            if copy.standing is not Standing.DAMAGED:
                held.setdefault(copy.store, set()).add(copy.part)
        return tuple(store for store, there in held.items() if there == parts)

    def part_with(self, part: str) -> str:
        """The part that a part comes back with: itself, unless it is nothing by itself."""
        return completed_by(self.facts.get(part, ())) or part

    @property
    def parts(self) -> frozenset[str]:
        """The parts that stand for themselves."""
        return frozenset(self.part_with(copy.part) for copy in self.copies)

    @property
    def reached_by_wal(self) -> tuple[str, ...]:
        """The parts of its service that are not in it: write-ahead log leads there from an earlier point."""
        return tuple(sorted({part for facts in self.facts.values() for part in reached_by_wal(facts)}))

    @property
    def proven_in(self) -> tuple[str, ...]:
        """The stores from which a restore has read every part of it."""
        return tuple(
            store for store in self.stores if all(copy.standing is Standing.PROVEN for copy in self.copies_in(store))
        )

    def is_read_back_in(self, store: str, read_through: datetime | None) -> bool:
        """Whether all of it in a store was read since it came: `read_through` is that of the store's record."""
        copies = self.copies_in(store)
        return (
            read_through is not None
            and bool(copies)
            and all(copy.arrived is not None and copy.arrived <= read_through for copy in copies)
        )

    def is_lacking_in(self, store: str) -> bool:
        """Whether it shall be copied to `store`: it is worth a copy, there is none, and retention did not remove it."""
        is_worth_it = self.outcome in (Outcome.SUCCEEDED, Outcome.INCOMPLETE) and bool(self.stores)
        return is_worth_it and store not in self.forgotten_in and self.copy_in(store) is None

    def copy_in(self, store: str) -> Copy | None:
        """The undamaged copy in `store` (of its first part, where it has several), if the point stands whole there."""
        return next(iter(self.copies_in(store)), None)

    @property
    def label(self) -> str:
        """What it is called in words."""
        return f"{self.policy}, point of {self.moment:%Y-%m-%d %H:%M:%S} UTC"

    def copies_in(self, store: str) -> tuple[Copy, ...]:
        """One undamaged copy of each part in `store`, proven ones first; empty unless the point stands whole there."""
        if store not in self.stores:
            return ()
        found: dict[str, Copy] = {}
        for copy in self.copies:
            if copy.store == store and copy.standing is not Standing.DAMAGED:
                known = found.get(copy.part)
                if known is None or (copy.standing is Standing.PROVEN and known.standing is not Standing.PROVEN):
                    found[copy.part] = copy
        return tuple(found.values())


def counted(points: Iterable[RecoveryPoint], damaged: frozenset[str]) -> tuple[RecoveryPoint, ...]:
    """The points as they count for what is promised: without the copies in damaged stores.

    Those are there all the same: a restore tries them after all others, and retention gives them up no sooner.
    """
    return tuple(_counted(point, damaged) for point in points) if damaged else tuple(points)


def counted_newest(
    newest: Mapping[tuple[str, str], RecoveryPoint], damaged: frozenset[str]
) -> dict[tuple[str, str], RecoveryPoint]:
    """(policy, store) → the newest good point there, as they count."""
    return {key: _counted(point, damaged) for key, point in newest.items() if key[1] not in damaged}


def newest_good(
    points: tuple[RecoveryPoint, ...], at: datetime | None = None, store: str | None = None
) -> RecoveryPoint | None:
    """The newest good point not after `at` (and with a copy in `store`), or None."""
    fitting = [
        point
        for point in points
        if point.is_good and (at is None or point.moment <= at) and (store is None or store in point.stores)
    ]
    return max(fitting, key=lambda point: point.order, default=None)


def _counted(point: RecoveryPoint, damaged: frozenset[str]) -> RecoveryPoint:
    if damaged.isdisjoint(copy.store for copy in point.copies):
        return point
    copies = [replace(copy, standing=Standing.DAMAGED) if copy.store in damaged else copy for copy in point.copies]
    return replace(point, copies=tuple(copies))
