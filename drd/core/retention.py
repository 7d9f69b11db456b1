"""What retention may really remove.

restic computes which snapshots its `--keep-*` rules keep; it does not know which of them are good, nor what stands in
other stores. The guards here only ever take snapshots *off* the list of those to be forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from drd.core.catalogue import Anchored, StoreRecord
from drd.core.points import RecoveryPoint, counted, newest_good
from drd.core.postgres.increments import needed_runs

MOST_AT_ONCE = 0.5
"""Share of a policy's snapshots in a store that retention may remove in one go without a person."""
FEW = 8
"""Below this many snapshots the share is not looked at: removing one of two would always be half."""

ANCHORS_KEPT = 8
"""So many of the newest anchors stay in a store: two months of them."""
ANCHORED_MONTHS_KEPT = 36
"""Of each of so many months the last anchor stays, so that what was rewritten long ago is still told roughly."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One snapshot of a policy in a store, as restic's dry run judged it."""

    snapshot_id: str
    moment: datetime
    reasons: tuple[str, ...]
    """Why restic would keep it; empty when it would remove it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one snapshot, and why."""

    snapshot_id: str
    moment: datetime
    is_forgotten: bool
    reasons: tuple[str, ...]
    is_guarded: bool = False
    """Whether restic would have removed it and a guard keeps it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What happens to all of a policy's snapshots in a store. `held` says why nothing at all may be removed."""

    verdicts: tuple[Verdict, ...]
    held: str = ""
    release: str = ""
    """What a person types when they know why it is held."""

    @property
    def forgotten(self) -> tuple[str, ...]:
        """The ids to forget: none while retention is held."""
        return () if self.held else tuple(v.snapshot_id for v in self.verdicts if v.is_forgotten)


def decide(
    candidates: Sequence[Candidate],
    points: tuple[RecoveryPoint, ...],
    store: str,
    required_copies: int,
    hold: str | None = None,
    by_a_person: bool = False,
    damaged: frozenset[str] = frozenset(),
    leading: frozenset[str] = frozenset(),
    read_through: datetime | None = None,
) -> Retention:
    """Judge restic's plan for one policy in one store.

    `points` are all recovery points of the policy, with their copies in every store; those in `damaged` stores are
    none of the copies that are required. `leading` are the runs of points that lead to moments between recovery points
    that are promised. `read_through`: all data that was in the store by then was read since. `by_a_person` lifts the
    limit on how much goes at once, and nothing else.
    """
    kept_by_guard = _guards(candidates, points, store, required_copies, damaged, leading, read_through)
    kept_by_guard = {**_followed(candidates, points, store, kept_by_guard), **kept_by_guard}
    verdicts = tuple(_verdict(candidate, kept_by_guard.get(candidate.snapshot_id)) for candidate in candidates)
    removed = sum(verdict.is_forgotten for verdict in verdicts)
    held = ""
    if removed and hold:
        held = hold
    elif len(candidates) >= FEW and removed > MOST_AT_ONCE * len(candidates) and not by_a_person:
        held = f"it would remove {removed} of {len(candidates)} snapshots at once"
    return Retention(verdicts, held)


def superfluous_anchors(record: StoreRecord, origin: StoreRecord | None) -> tuple[str, ...]:
    """Ids of the anchors that may go from a store; `origin` is the record of the store that it mirrors.

    Only what this journal knows to have written counts, never what a store lists: whoever can write there could plant
    newer ones to have the true ones forgotten, and a journal that was put back does not know the ones that say so. A
    mirror lets go what its origin has let go.
    """
    if origin is not None:
        return tuple(each for each in origin.forgotten_anchors if each not in record.forgotten_anchors)
    last_of_month: dict[tuple[int, int], Anchored] = {(each.at.year, each.at.month): each for each in record.anchors}
    months = sorted(last_of_month)[-ANCHORED_MONTHS_KEPT:]
    kept = {each.snapshot_id for each in record.anchors[-ANCHORS_KEPT:]}
    kept |= {last_of_month[month].snapshot_id for month in months}
    return tuple(each.snapshot_id for each in record.anchors if each.snapshot_id not in kept)


def _verdict(candidate: Candidate, guard: str | None) -> Verdict:
    if candidate.reasons:
        return Verdict(candidate.snapshot_id, candidate.moment, False, candidate.reasons)
    if guard is not None:
        return Verdict(candidate.snapshot_id, candidate.moment, False, (guard,), is_guarded=True)
    return Verdict(candidate.snapshot_id, candidate.moment, True, ())


def _guards(
    candidates: Sequence[Candidate],
    points: tuple[RecoveryPoint, ...],
    store: str,
    required_copies: int,
    damaged: frozenset[str],
    leading: frozenset[str],
    read_through: datetime | None,
) -> Mapping[str, str]:
    """Snapshot id → the guard that keeps it, for those restic would remove."""
    by_snapshot = {copy.snapshot_id: point for point in points for copy in point.copies if copy.store == store}
    guards: dict[str, str] = {}
    newest = _newest_of_each_trust(points, store, read_through)
    stand_ins = _stand_ins(candidates, by_snapshot)
    kept = {
        by_snapshot[each.snapshot_id].run for each in candidates if each.reasons and each.snapshot_id in by_snapshot
    }
    enough = _Enough(counted(points, damaged), required_copies)
    for candidate in candidates:
        point = by_snapshot.get(candidate.snapshot_id)
        if candidate.reasons:
            continue
        if point is None:
            guards[candidate.snapshot_id] = "the journal does not know it yet"
        elif point.run in newest:
            guards[candidate.snapshot_id] = newest[point.run]
        elif point.run in leading:
            guards[candidate.snapshot_id] = "leads to moments that any_moment promises"
        elif point.run in kept:
            guards[candidate.snapshot_id] = "another part of the same recovery point is kept"
        elif point.run in stand_ins:
            guards[candidate.snapshot_id] = "stands in for a newer one that is not good"
        elif point.is_good and not enough.is_there_after(point):
            guards[candidate.snapshot_id] = f"no newer recovery point has {required_copies} copies"
    return guards


def _followed(
    candidates: Sequence[Candidate], points: tuple[RecoveryPoint, ...], store: str, guarded: Mapping[str, str]
) -> Mapping[str, str]:
    """Snapshot id → why it stays: an incremental that is kept here, or is still to come here, is nothing without it."""
    by_snapshot = {copy.snapshot_id: point for point in points for copy in point.copies if copy.store == store}
    kept = [each.snapshot_id for each in candidates if each.reasons or each.snapshot_id in guarded]
    following = [by_snapshot[each] for each in kept if each in by_snapshot]
    following += [point for point in points if point.is_lacking_in(store)]
    needed = needed_runs(following, points)
    return {
        each.snapshot_id: "incrementals that are kept follow it"
        for each in candidates
        if each.snapshot_id in by_snapshot and by_snapshot[each.snapshot_id].run in needed
    }


def _newest_of_each_trust(
    points: tuple[RecoveryPoint, ...], store: str, read_through: datetime | None
) -> Mapping[str, str]:
    """Run → the guard that keeps its point: of each part the newest good one, and the newest that are known better.

    Not every run saves every part: where write-ahead log leads a database on, only some do.
    """
    words: dict[str, str] = {}
    for part in sorted({part for point in points for part in point.parts}):
        having = tuple(point for point in points if part in point.parts)
        read_back = newest_good(tuple(p for p in having if p.is_read_back_in(store, read_through)), store=store)
        proven = newest_good(tuple(p for p in having if store in p.proven_in), store=store)
        found = (
            (newest_good(having, store=store), "newest good recovery point"),
            (proven, "newest proven recovery point"),
            (read_back, "newest recovery point of which all data was read again"),
        )
        for point, why in found:
            if point is not None:
                words.setdefault(point.run, why)
    return words


def _stand_ins(candidates: Sequence[Candidate], by_snapshot: Mapping[str, RecoveryPoint]) -> frozenset[str]:
    """Runs of the newest good point before each kept snapshot that is not good: restic kept the wrong of its bucket.

    The newest of each of its parts, since not every run saves every part.
    """
    found: set[str] = set()
    last_good: dict[str, str] = {}
    for candidate in sorted(candidates, key=lambda each: each.moment):
        point = by_snapshot.get(candidate.snapshot_id)
        if point is not None and point.is_good:
            last_good |= dict.fromkeys(point.parts, point.run)
        elif candidate.reasons:
            parts = last_good if point is None else point.parts & last_good.keys()
            found |= {last_good[part] for part in parts}
    return frozenset(found)


class _Enough:
    """Which points are followed by one that holds the same, in as many stores as are required."""

    def __init__(self, points: tuple[RecoveryPoint, ...], required_copies: int) -> None:
        self._points = [point for point in points if point.is_good and len(point.stores) >= required_copies]
        self._newest: dict[frozenset[str], datetime | None] = {}

    def is_there_after(self, point: RecoveryPoint) -> bool:
        """Whether there is one that is newer than this point."""
        parts = point.parts
        if parts not in self._newest:
            moments = (each.moment for each in self._points if each.parts >= parts)
            self._newest[parts] = max(moments, default=None)
        newest = self._newest[parts]
        return newest is not None and newest > point.moment
