"""What retention may really remove.

restic computes which snapshots its `--keep-*` rules keep; it does not know which of them are good, nor what stands in
other stores. The guards here only ever take snapshots *off* the list of those to be forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from drd.core.catalogue import Anchored, RecoveryPoint, StoreRecord, counted, newest_good
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
) -> Retention:
    """Judge restic's plan for one policy in one store.

    `points` are all recovery points of the policy, with their copies in every store; those in `damaged` stores are
    none of the copies that are required. `leading` are the runs of points that lead to moments between recovery points
    that are promised. `by_a_person` lifts the limit on how much goes at once, and nothing else.
    """
    kept_by_guard = _guards(candidates, points, store, required_copies, damaged, leading)
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
) -> Mapping[str, str]:
    """Snapshot id → the guard that keeps it, for those restic would remove."""
    by_snapshot = {copy.snapshot_id: point for point in points for copy in point.copies if copy.store == store}
    guards: dict[str, str] = {}
    newest = newest_good(points, store=store)
    proven = newest_good(tuple(p for p in points if store in p.proven_in), store=store)
    stand_ins = _stand_ins(candidates, by_snapshot)
    kept = {
        by_snapshot[each.snapshot_id].run for each in candidates if each.reasons and each.snapshot_id in by_snapshot
    }
    enough = _newest_with_copies(counted(points, damaged), required_copies)
    for candidate in candidates:
        point = by_snapshot.get(candidate.snapshot_id)
        if candidate.reasons:
            continue
        if point is None:
            guards[candidate.snapshot_id] = "the journal does not know it yet"
        elif point is newest:
            guards[candidate.snapshot_id] = "newest good recovery point"
        elif point is proven:
            guards[candidate.snapshot_id] = "newest proven recovery point"
        elif point.run in leading:
            guards[candidate.snapshot_id] = "leads to moments that any_moment promises"
        elif point.run in kept:
            guards[candidate.snapshot_id] = "another part of the same recovery point is kept"
        elif point.run in stand_ins:
            guards[candidate.snapshot_id] = "stands in for a newer one that is not good"
        elif point.is_good and (enough is None or enough <= point.moment):
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


def _stand_ins(candidates: Sequence[Candidate], by_snapshot: Mapping[str, RecoveryPoint]) -> frozenset[str]:
    """Runs of the newest good point before each kept snapshot that is not good: restic kept the wrong of its bucket."""
    found: set[str] = set()
    last_good: str | None = None
    for candidate in sorted(candidates, key=lambda each: each.moment):
        point = by_snapshot.get(candidate.snapshot_id)
        if point is not None and point.is_good:
            last_good = point.run
        elif candidate.reasons and last_good is not None:
            found.add(last_good)
    return frozenset(found)


def _newest_with_copies(points: tuple[RecoveryPoint, ...], required_copies: int) -> datetime | None:
    return max((p.moment for p in points if p.is_good and len(p.stores) >= required_copies), default=None)
