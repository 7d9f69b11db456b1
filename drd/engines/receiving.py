"""Receiving a policy's WAL into the spool: a slot, the program that receives, and a watch over how far it is.

The program tells nothing while it hangs, so it is watched by what the server hears of it: the slot's beginning moves
with every flush.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from drd.core.errors import NOT_NOW, DrdError, TransientError
from drd.core.events import WalInterrupted, WalResumed
from drd.core.postgres.errors import WalGone
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.names import slot_name
from drd.core.postgres.server import Slot, WalStatus
from drd.core.units import format_size
from drd.engines.telling import ToldOnce
from drd.ports.configuration import Configuration
from drd.ports.journal import Journal
from drd.ports.postgres_tools import ReceiveRequest, WalNews
from drd.ports.spool import Spool, Spools
from drd.ports.wal import ReachedServer, WalOrigin
from drd.ports.world import World

RETRY_SECONDS = (1.0, 5.0, 15.0, 60.0)
"""Waits after a failure; the last one repeats."""
WATCH_SECONDS = 5.0
"""How often the server is asked how far it is."""
STALLED_SECONDS = 60.0
"""When nothing more was received for so long although there is something, the program is started again."""
MOST_PENDING = 240
"""Marks that wait until their WAL is in the spool; older ones are given up first."""
LEAST_FREE_BYTES = 256 * 2**20
"""With less room for the spool nothing is received: the journal needs some too, and the slot holds WAL back."""


@dataclass(slots=True)
class Line:
    """What is known of the receiving of one policy, as it is now."""

    system_identifier: str = ""
    segment_bytes: int = 0
    pending: list[Mark] = field(default_factory=list)
    """What was committed when, oldest first, where the WAL was not seen in the spool yet."""
    flushed: Lsn | None = None
    """How far the WAL is safe in the spool, as the server heard last; None when nobody told in this process."""
    newest: Lsn | None = None
    """How far the server was when it was asked last."""
    node: str = ""
    """The node that it is received from; empty where one connection string says it all."""
    timeline: int = 0
    """The one that server writes."""
    turned: str = ""
    """Who else is the primary by now, so that WAL has to come from there; empty while nobody is."""
    why_not: str = "nothing was received yet"
    """Why nothing is received now; empty while something is."""


class Receiving:
    """Receives the WAL of the policies that want it."""

    def __init__(
        self, configuration: Callable[[], Configuration], spools: Spools, journal: Journal, world: World
    ) -> None:
        self._configuration = configuration
        self._spools = spools
        self._journal = journal
        self._world = world
        self._told = ToldOnce[str](journal)
        self._lines: dict[str, Line] = {}

    def line(self, policy: str) -> Line:
        """How the receiving of a policy stands."""
        return self._lines.setdefault(policy, Line())

    async def serve(self, policy: str) -> None:
        """Receive until cancelled; what fails is told once and tried again."""
        failures = 0
        while True:
            protected = self._configuration().policies.get(policy)
            origin = protected.wal_origin if protected is not None else None
            if origin is None:
                return
            began = self._world.clock.monotonic()
            try:
                await self._receive(policy, origin)
            except DrdError as error:
                await self._tell(policy, error)
            has_lasted = self._world.clock.monotonic() - began > RETRY_SECONDS[-1]
            failures = 1 if has_lasted else failures + 1
            await self._world.clock.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])

    async def _tell(self, policy: str, error: DrdError) -> None:
        line = self.line(policy)
        line.why_not = error.message
        is_lost = isinstance(error, WalGone)
        hint = f"type: drd backup {policy} --full" if is_lost else error.hint
        try:
            await self._told.tell(policy, error.message, WalInterrupted(policy, error.message, hint, is_lost))
        except NOT_NOW:
            return

    async def _receive(self, policy: str, origin: WalOrigin) -> None:
        """Receive until something ends it. Raises what did."""
        slot = slot_name(policy)
        async with origin.reached(self._world) as reached:
            spool = self._spools.of(policy, reached.facts.system_identifier)
            await spool.look(reached.facts.segment_bytes)
            await self._demand_room(spool)
            lost = await _ready_slot(reached, slot)
            if lost:
                await spool.begin_anew()
                raise WalGone(lost, "make a new base backup")
            line = self._begun(policy, reached)
            try:
                await _first_of(
                    reached.tools.receive_wal(ReceiveRequest(reached.dsn, spool.receiving, slot), _nobody),
                    self._watch(policy, reached, spool, slot),
                )
            except WalGone:
                found = await reached.server.slot(slot)
                if found is None or _is_lost(found):
                    await reached.server.drop_slot(slot)
                # Else the folder alone led astray, as by WAL that a failover has left behind; the slot leads on.
                await spool.begin_anew()
                raise
            finally:
                line.flushed = None

    def _begun(self, policy: str, reached: ReachedServer) -> Line:
        line = self.line(policy)
        if line.system_identifier != reached.facts.system_identifier:
            line.pending.clear()
        line.system_identifier, line.segment_bytes = reached.facts.system_identifier, reached.facts.segment_bytes
        line.node, line.timeline, line.turned = reached.node, reached.facts.timeline, ""
        return line

    async def _watch(self, policy: str, reached: ReachedServer, spool: Spool, slot: str) -> None:
        """Note how far server and slot are. Raises when the slot is lost, nothing moves any more, or room is short."""
        line, clock = self.line(policy), self._world.clock
        moved, last = clock.monotonic(), None
        while True:
            positions = await reached.server.positions()
            facts = await reached.server.facts()
            found = await reached.server.slot(slot)
            if found is None or _is_lost(found):
                raise WalGone(f"the replication slot {slot} has lost its WAL", "make a new base backup")
            if line.turned:
                raise TransientError(line.turned, "drd receives from there by itself")
            line.newest, line.flushed, line.timeline = positions.newest, found.restart, facts.timeline
            line.pending.append(Mark(positions.taken, facts.timeline, positions.newest))
            del line.pending[:-MOST_PENDING]
            if found.is_active and not await self._is_told_of_resuming(policy, line):
                last = None
            if found.restart != last or (found.restart is not None and found.restart >= positions.newest):
                moved, last = clock.monotonic(), found.restart
            elif clock.monotonic() - moved > STALLED_SECONDS:
                behind = positions.newest - found.restart if found.restart is not None else 0
                raise TransientError(
                    f"no WAL was received for {STALLED_SECONDS:.0f} s, {format_size(behind)} are waiting",
                    "drd starts receiving again by itself",
                )
            await self._demand_room(spool)
            await clock.sleep(WATCH_SECONDS)

    async def _is_told_of_resuming(self, policy: str, line: Line) -> bool:
        """Whether it was known already that WAL is received; journaled when it was not."""
        if not line.why_not:
            return True
        self._told.over(policy)
        try:
            await self._journal.append(WalResumed(policy))
        except NOT_NOW:
            return False
        line.why_not = ""
        return False

    async def _demand_room(self, spool: Spool) -> None:
        free = await self._spools.free_bytes()
        if free < LEAST_FREE_BYTES:
            raise TransientError(
                f"the disk of the spool has {format_size(free)} free, so no WAL is received",
                f"df -h {spool.receiving.parent}",
            )


async def _ready_slot(reached: ReachedServer, name: str) -> str:
    """See that there is a slot that holds WAL back; what was lost is said when the one that there was did not."""
    slot = await reached.server.slot(name)
    if slot is not None and _is_lost(slot):
        await reached.server.drop_slot(name)
        await reached.server.create_slot(name)
        return f"WAL that the replication slot {name} was to hold back is gone"
    if slot is None:
        # The program goes on behind the newest file. Where the server has that WAL no more, it says so.
        await reached.server.create_slot(name)
    return ""


def _is_lost(slot: Slot) -> bool:
    return slot.restart is None or slot.wal_status is WalStatus.LOST


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run all of them until the first ends; the others are cancelled. Raises what ended it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _nobody(_: WalNews) -> None:
    """What the program tells of each segment is seen in the spool."""
