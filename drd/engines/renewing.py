"""Asking for a new base backup when nothing that was made before leads on, and naming what of the WAL is missing.

Both follow from what is known at each look: the newest base backup and the WAL in stores and spool, held against the
server. For each reason a full is wanted once; that it succeeds is the scheduler's care. When it did, and the reason
stands all the same, as after a base backup of a standby that had not come past a gap yet, it is wanted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from drd.core.catalogue import LostWal, PolicyRecord
from drd.core.errors import NOT_NOW
from drd.core.events import Body, NewBaseWanted, WalGapClosed, WalGapFound
from drd.core.points import RecoveryPoint
from drd.core.postgres.archive import Archive
from drd.core.postgres.gaps import Piece, Seen, WalState, in_state, joined, numbers_in, numbers_of, pieces
from drd.core.postgres.groups import ShippedGroup, archive_of, marks_of
from drd.core.postgres.keeping import followed
from drd.core.postgres.kept import bases_of
from drd.core.postgres.letting_go import promised_since
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.renewal import newest_base, why_new_base
from drd.core.postgres.server import ServerFacts
from drd.core.postgres.spooling import PARTIAL, Found
from drd.core.postgres.stretches import Stretches
from drd.core.postgres.wal import Segment
from drd.engines.receiver_state import ReceiverState
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal
from drd.ports.spool import Spool

LOOK_SECONDS = 15.0
"""How often it is looked; a stretch is lost when two looks in a row find it nowhere."""
SETTLED_SECONDS = 60.0
"""How long a primary has to have led before a base backup is asked for only because it leads.

What comes first after a failover is the other nodes' return; and who leads may change again within the minute.
"""
AGAIN_SECONDS = 3600.0
"""How long after a full was wanted it is wanted again for the same reason, should a newer base backup not do either."""

Numbers = Mapping[int, Stretches]


class Renewing:
    """Looks at what there is of the policies whose WAL is received."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
        want_full: Callable[[str, datetime], None],
        is_running: Callable[[str], bool],
    ) -> None:
        self._configuration = configuration
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._want_full = want_full
        self._is_running = is_running
        self._looked: dict[str, float] = {}
        self._suspected: dict[str, frozenset[Piece]] = {}
        self._wanted: dict[str, tuple[str, float]] = {}
        """Policy → the reason for which a full was wanted last, and when, in monotonic seconds."""
        self._leads: dict[str, tuple[tuple[str, int], float]] = {}
        """Policy → the database and timeline of its primary, and since when it is known, in monotonic seconds."""

    async def look(self, policy: str, line: ReceiverState, facts: ServerFacts, spool: Spool) -> None:
        """Look, when it is time. What the journal cannot take now is new at the next look."""
        now = self._clock.monotonic()
        if now - self._looked.get(policy, -LOOK_SECONDS) < LOOK_SECONDS:
            return
        self._looked[policy] = now
        try:
            await self._look(policy, line, facts, spool)
        except NOT_NOW:
            return

    async def _look(self, policy: str, line: ReceiverState, facts: ServerFacts, spool: Spool) -> None:
        # In the order in which a segment moves on: what is on its way is never overlooked.
        found = await spool.look(facts.segment_bytes)
        shipped = [
            each
            for each in await self._catalogue.wal(policy)
            if each.group.system_identifier == facts.system_identifier
        ]
        points = await self._catalogue.points(policy)
        record = await self._catalogue.policy(policy)
        if record is None:
            return
        way = self._way(policy, line, facts, found, shipped, points)
        suspected = frozenset(in_state(way, WalState.LOST))
        line.lost = tuple(piece for piece in way if piece in suspected & self._suspected.get(policy, frozenset()))
        self._suspected[policy] = suspected
        await self._tell_gaps(policy, record, line.lost, facts, way)
        await self._ask(policy, record, line.lost, facts, points)

    def _way(
        self,
        policy: str,
        line: ReceiverState,
        facts: ServerFacts,
        found: Found,
        shipped: Sequence[ShippedGroup],
        points: Sequence[RecoveryPoint],
    ) -> tuple[Piece, ...]:
        """Where the WAL is that leads to now, for each store on the line, and for all together."""
        spooled = [ShippedGroup(policy, "", folder.group(facts.system_identifier), "") for folder in found.groups]
        archive = archive_of((*shipped, *spooled), facts.segment_bytes)
        history = archive.history(facts.timeline)
        bases = [
            base for base in bases_of(points, facts.system_identifier) if history.contains(base.timeline, base.end)
        ]
        line.way = {}
        if not bases:
            return ()
        keep = self._configuration().policies[policy].policy.backup.keep
        since = promised_since(keep.any_moment, self._clock.now(), marks_of(shipped))
        start = followed(archive, history, bases, since).reads_from
        end = line.newest or archive.end(history)
        near = joined(_numbers(spooled), _received(found, facts.segment_bytes))
        by_store = {store: _numbers(each for each in shipped if each.store == store) for store in self._stores(policy)}
        everywhere = joined(near, *by_store.values())

        def told(archive: Archive, store: Numbers, near: Numbers, end: Lsn) -> tuple[Piece, ...]:
            return pieces(archive, history, start, end, Seen(store, near, line.flushed))

        line.way = {store: told(archive, there, everywhere, end) for store, there in by_store.items()}
        return told(archive, everywhere, {}, end)

    def _stores(self, policy: str) -> tuple[str, ...]:
        return self._configuration().policies[policy].wal_stores

    async def _tell_gaps(
        self,
        policy: str,
        record: PolicyRecord,
        lost: Sequence[Piece],
        facts: ServerFacts,
        way: Sequence[Piece],
    ) -> None:
        """Journal the stretches that are lost now and were not, and those that are not any more."""
        system, size = facts.system_identifier, facts.segment_bytes
        now = {LostWal(system, piece.first.name, piece.last.name): piece for piece in lost}
        suspected = {LostWal(system, piece.first.name, piece.last.name) for piece in in_state(way, WalState.LOST)}
        there = numbers_in(piece for piece in way if piece.state is not WalState.LOST)
        facts_told: list[Body] = [_closed(policy, gap, there, size) for gap in record.lost_wal if gap not in suspected]
        facts_told += [_found(policy, gap, piece) for gap, piece in now.items() if gap not in record.lost_wal]
        if facts_told:
            await self._journal.append(*facts_told)

    async def _ask(
        self,
        policy: str,
        record: PolicyRecord,
        lost: Sequence[Piece],
        facts: ServerFacts,
        points: Sequence[RecoveryPoint],
    ) -> None:
        newest, now = newest_base(points), self._clock.monotonic()
        leads = facts.system_identifier, facts.timeline
        if self._leads.get(policy, (None, 0.0))[0] != leads:
            self._leads[policy] = leads, now
        if newest is None or record.new_base is not None or self._is_running(policy):
            return
        why = why_new_base(newest, facts, lost)
        if why is None or (why.can_wait and now - self._leads[policy][1] < SETTLED_SECONDS):
            return
        key = f"{why.key}:{newest.end}"
        reason, at = self._wanted.get(policy, ("", now))
        if key == record.last_new_base or (reason == why.key and now - at < AGAIN_SECONDS):
            return
        [event] = await self._journal.append(NewBaseWanted(policy, key, why.message))
        self._wanted[policy] = why.key, now
        self._want_full(policy, event.at)


def _numbers(groups: Iterable[ShippedGroup]) -> Numbers:
    return joined(*({each.group.timeline: each.group.numbers} for each in groups))


def _received(found: Found, size: int) -> Numbers:
    """Segments in the folder that is received into; one that is whole may still have the name of a beginning."""
    parsed = (Segment.parse(name.removesuffix(PARTIAL), size) for name in found.received)
    return numbers_of(segment for segment in parsed if segment is not None)


def _found(policy: str, gap: LostWal, piece: Piece) -> WalGapFound:
    return WalGapFound(
        policy,
        gap.system_identifier,
        gap.first,
        gap.last,
        piece.count,
        f"WAL is lost: {piece}: no moment between the base backups around it can be restored",
        "nothing to do when a full follows by itself; a server that still has it may push it by its archive_command",
    )


def _closed(policy: str, gap: LostWal, there: Numbers, size: int) -> WalGapClosed:
    first, last = Segment.parse(gap.first, size), Segment.parse(gap.last, size)
    has_arrived = (
        first is not None
        and last is not None
        and any(number in there.get(first.timeline, Stretches()) for number in range(first.number, last.number + 1))
    )
    return WalGapClosed(policy, gap.system_identifier, gap.first, gap.last, has_arrived)
