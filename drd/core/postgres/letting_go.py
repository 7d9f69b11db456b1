"""Which groups of WAL may go from a store, and which base backups have to stay for the moments that are promised.

A group goes as a whole, and only when nothing needs any segment of it: neither a base backup in any store, since each
may be restored with the WAL of another one, nor a moment that is promised. The switch that begins a timeline stands in
all of that timeline's groups and in those of every timeline that continues it, so it is known as long as anything is
left that it leads to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from drd.core.points import RecoveryPoint
from drd.core.postgres.archive import Archive
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.groups import Group, ShippedGroup, archive_of, marks_of, systems
from drd.core.postgres.keeping import alive_since, followed, needed_wal
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Kept
from drd.core.postgres.stretches import Stretch, Stretches
from drd.core.postgres.timeline import History

EVER: Final = datetime.min.replace(tzinfo=UTC)
"""As long as the oldest base backup leads back."""


def promised_since(any_moment: timedelta | None, now: datetime, marks: Iterable[Mark]) -> datetime:
    """The oldest moment that is promised; without a promise of their own, as far back as the oldest base backup.

    Counted from what the server said last, where that is earlier: a clock that runs ahead here lets nothing go.
    """
    if any_moment is None:
        return EVER
    return min(now, max((mark.moment for mark in marks), default=now)) - any_moment


def superfluous_groups(
    points: Sequence[RecoveryPoint],
    shipped: Sequence[ShippedGroup],
    store: str,
    any_moment: timedelta | None,
    now: datetime,
) -> tuple[ShippedGroup, ...]:
    """The groups, in whichever stores they are, that `store` has no use for.

    WAL of a cluster without any base backup goes when another cluster has taken its place and has one.
    """
    found: list[ShippedGroup] = []
    has_newer_base = False
    latest = _latest(shipped, now)
    for system_identifier in reversed(systems(shipped)):
        groups = [each for each in shipped if each.group.system_identifier == system_identifier]
        by_store = _bases_by_store(points, system_identifier)
        if any(by_store):
            since = promised_since(any_moment, latest, marks_of(groups))
            needed, telling = _needed(by_store, groups, store, since), _telling(by_store, groups, since)
            found += [each for each in groups if each.group not in telling and not _is_needed(each.group, needed)]
            has_newer_base = True
        elif has_newer_base:
            found += groups
    return tuple(found)


def leading_runs(
    points: Sequence[RecoveryPoint],
    shipped: Sequence[ShippedGroup],
    store: str,
    any_moment: timedelta,
    now: datetime,
) -> frozenset[str]:
    """The runs of the base backups in a store that have to stay there, so that every promised moment can be reached."""
    found: set[str] = set()
    known = systems(shipped)
    latest = _latest(shipped, now)
    in_store = [point for point in points if point.is_good and store in point.stores]
    for system_identifier in known:
        groups = [each for each in shipped if each.group.system_identifier == system_identifier]
        marks = marks_of(groups)
        since = promised_since(any_moment, latest, marks)
        is_over = system_identifier != known[-1] and max(map(_last_sign, groups)) < latest - any_moment
        if not is_over:
            kept = Kept(archive_of(groups, groups[0].group.first.size), _bases(in_store, system_identifier), marks)
            found |= {base.run for base in leading_bases(kept, since)}
    return frozenset(found)


def leading_bases(kept: Kept, since: datetime) -> frozenset[Base]:
    """The base backups without which a moment since then could not be reached that can be now.

    Along each timeline that is the one from which it is followed, and behind each gap in the WAL the first that is
    whole.
    """
    found: set[Base] = set()
    for timeline in alive_since(kept, since):
        history = kept.archive.history(timeline)
        within = [base for base in kept.bases if history.contains(base.timeline, base.end)]
        if not within:
            continue
        first = followed(kept.archive, history, within, since)
        reached = kept.archive.reach(history, first.reads_from)
        found |= {first, *_behind_gaps(kept.archive, history, within, reached)}
    return frozenset(found)


def _latest(shipped: Iterable[ShippedGroup], now: datetime) -> datetime:
    """As in `promised_since`: a clock that runs ahead here makes no cluster older than the servers say."""
    return min(now, max(map(_last_sign, shipped), default=now))


def _last_sign(shipped: ShippedGroup) -> datetime:
    """The newest moment at which a group tells that its cluster lived; where it has no marks, when it was shipped."""
    marked = max((mark.moment for mark in shipped.marks), default=None)
    return marked or shipped.group.moment or shipped.shipped or EVER


def _behind_gaps(archive: Archive, history: History, within: Iterable[Base], reached: Lsn) -> Iterable[Base]:
    for base in sorted(within, key=lambda base: base.end):
        reach = archive.reach(history, base.reads_from)
        if reach >= base.end and reach > reached:
            reached = reach
            yield base


def _needed(
    by_store: Collection[tuple[Base, ...]], groups: Sequence[ShippedGroup], store: str, since: datetime
) -> Mapping[int, Stretches]:
    """What is needed of a cluster's WAL, whatever else is lost: the bases of other stores, or the WAL in them."""
    size, marks = groups[0].group.first.size, marks_of(groups)
    found: dict[int, Stretches] = {}
    everywhere, here = archive_of(groups, size), archive_of((each for each in groups if each.store == store), size)
    for archive in (everywhere,) if here == everywhere else (everywhere, here):
        for bases in by_store:
            for timeline, numbers in needed_wal(Kept(archive, bases, marks), since).items():
                found[timeline] = found.get(timeline, Stretches()) | numbers
    return found


def _telling(
    by_store: Collection[tuple[Base, ...]], groups: Sequence[ShippedGroup], since: datetime
) -> frozenset[Group]:
    """The groups that tell how long nothing more was written: behind a base, and on timelines that matter still."""
    kept = Kept(archive_of(groups, groups[0].group.first.size), marks=marks_of(groups))
    alive = alive_since(kept, since)
    of_bases = {base.timeline for bases in by_store for base in bases}
    ends = {(base.timeline, base.reads_from) for bases in by_store for base in bases}
    last: dict[int, Lsn] = {}
    for each in groups:
        last[each.group.timeline] = max(each.group.through, last.get(each.group.timeline, Lsn(0)))
    return frozenset(
        each.group
        for each in groups
        if (each.group.timeline, each.group.through) in ends
        or (
            each.group.through == last[each.group.timeline]
            and (each.group.timeline in of_bases or each.group.timeline in alive)
        )
    )


def _is_needed(group: Group, needed: Mapping[int, Stretches]) -> bool:
    last = max(group.first.number, (group.through.value - 1) // group.first.size)
    whole_group = Stretches((Stretch(group.first.number, last),))
    return bool(whole_group & needed.get(group.timeline, Stretches()))


def _bases_by_store(points: Sequence[RecoveryPoint], system_identifier: str) -> tuple[tuple[Base, ...], ...]:
    """The good base backups of each store, and all that there are, good or not; where they are the same, once."""
    stores = sorted({store for point in points for store in point.stores})
    good = [point for point in points if point.is_good]
    found = [_bases([point for point in good if store in point.stores], system_identifier) for store in stores]
    return tuple(dict.fromkeys(each for each in (*found, _bases(points, system_identifier)) if each))


def _bases(points: Iterable[RecoveryPoint], system_identifier: str) -> tuple[Base, ...]:
    found = ((point, BaseRecord.of_tags(facts)) for point in points for facts in point.facts.values())
    return tuple(
        Base.of(point.run, base)
        for point, base in found
        if base is not None and base.system_identifier == system_identifier
    )
