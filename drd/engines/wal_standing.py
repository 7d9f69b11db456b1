"""An incremental run of a policy whose WAL is received: it sees to it that everything up to now stands in a store.

Nothing is read and no snapshot is made: what was written since the last base backup comes by itself, and the run waits
until the first store that answers has it up to the moment at which the run began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from drd.core.catalogue import LostWal
from drd.core.errors import TransientError
from drd.core.postgres.gaps import Piece, WalState
from drd.core.postgres.groups import ShippedGroup
from drd.core.postgres.lineage import Mark
from drd.core.postgres.renewal import newest_base, why_new_base
from drd.core.postgres.server import ServerFacts
from drd.core.postgres.wal import Segment
from drd.engines.receiver_state import ReceiverState
from drd.engines.receiving import BY_ITSELF, Receiving
from drd.ports.clock import Clock
from drd.ports.configuration import Protected
from drd.ports.journal import Catalogue

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether it stands."""


@dataclass(frozen=True, slots=True)
class Stood:
    """What stands in a store, for whoever asked."""

    store: str
    mark: Mark
    """All that was committed before its moment lies before its position, and that is there."""


class WalStanding:
    """Waits for WAL to be in stores."""

    def __init__(self, receiving: Receiving, catalogue: Catalogue, clock: Clock) -> None:
        self._receiving = receiving
        self._catalogue = catalogue
        self._clock = clock

    async def may(self, protected: Protected) -> bool:
        """Whether WAL takes an incremental backup's place: it is received here, and leads on from a base backup."""
        policy = protected.policy.name
        if protected.wal_origin is None or not self._receiving.is_served(policy):
            return False
        return not await self._lacking(policy)

    async def stand(self, protected: Protected) -> Stood:
        """Wait until the WAL up to now is in a store.

        Raises `TransientError` when none is received, or it does not lead on from the last base backup.

        Whoever calls it has a deadline.
        """
        line, began = self._receiving.line(protected.policy.name), self._clock.monotonic()
        mark = await self._seen_after(line, began)
        await self._demand_leading(protected.policy.name)
        while True:
            line.asked.set()
            shipped = await self._catalogue.wal(protected.policy.name)
            for store in protected.wal_stores:
                if stands(shipped, store, line.system_identifier, mark):
                    await self._demand_leading(protected.policy.name)
                    return Stood(store, mark)
            _demand_received(line)
            await self._clock.sleep(LOOK_SECONDS)

    async def _seen_after(self, line: ReceiverState, began: float) -> Mark:
        while line.seen is None or line.seen_at < began:
            _demand_received(line)
            await self._clock.sleep(LOOK_SECONDS)
        return line.seen

    async def _demand_leading(self, policy: str) -> None:
        why = await self._lacking(policy)
        if why:
            raise TransientError(f"WAL does not lead on from the last base backup: {why}", BY_ITSELF)

    async def _lacking(self, policy: str) -> str:
        """Why the WAL leads up to now from no base backup; empty while it does, as far as the server was seen yet."""
        newest = newest_base(await self._catalogue.points(policy))
        if newest is None:
            return "there is no base backup"
        facts, record = self._receiving.facts(policy), await self._catalogue.policy(policy)
        if facts is None:
            return ""
        recorded = record.lost_wal if record is not None else ()
        lost = (*self._receiving.line(policy).lost, *_pieces(recorded, facts))
        why = why_new_base(newest, facts, lost)
        return "" if why is None else why.message


def stands(shipped: Sequence[ShippedGroup], store: str, system_identifier: str, mark: Mark) -> bool:
    """Whether a store has the WAL up to a mark."""
    return any(
        each.store == store
        and each.group.system_identifier == system_identifier
        and each.group.timeline == mark.timeline
        and each.group.through >= mark.lsn
        and _is_as_new(each.group.moment, mark.moment)
        for each in shipped
    )


def _pieces(recorded: Iterable[LostWal], facts: ServerFacts) -> Iterator[Piece]:
    """What the journal tells to be lost of a cluster: after a start that is known before it was looked for."""
    for each in recorded:
        first, last = (Segment.parse(name, facts.segment_bytes) for name in (each.first, each.last))
        if each.system_identifier == facts.system_identifier and first is not None and last is not None:
            yield Piece(WalState.LOST, first, last)


def _is_as_new(moment: datetime | None, wanted: datetime) -> bool:
    return moment is not None and moment >= wanted


def _demand_received(line: ReceiverState) -> None:
    if line.why_not:
        raise TransientError(f"no WAL is received: {line.why_not}", line.why_hint or "type: drd status")
