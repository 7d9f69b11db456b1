"""Receiving a policy's WAL into the spool: a slot, the program that receives, and a watch over how far it is.

The program tells nothing while it hangs, so it is watched by what the server hears of it: the slot's beginning moves
with every flush.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from drd.core.errors import NOT_NOW, DrdError, SourceRefused, TransientError
from drd.core.events import WalInterrupted, WalResumed
from drd.core.postgres.errors import SlotMissing, WalGone
from drd.core.postgres.holding import WhenFull, when_full_by_itself
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.names import slot_name
from drd.core.postgres.server import ServerFacts
from drd.core.postgres.spooling import moves
from drd.core.units import format_size
from drd.engines.receiver_state import ReceiverState
from drd.engines.slot_watch import SlotFound, SlotWatch, is_lost, ready_slot
from drd.engines.spool_room import SpoolFull, demand_room
from drd.engines.telling import ToldOnce
from drd.engines.wal_marks import note_settled
from drd.ports.configuration import Configuration
from drd.ports.journal import Journal
from drd.ports.postgres_tools import ReceiveRequest, WalNews
from drd.ports.spool import Spool, Spools
from drd.ports.wal import ReachedServer, SpoolRules, WalOrigin
from drd.ports.world import World

RETRY_SECONDS = (1.0, 2.0, 5.0)
"""Waits after a failure; the last one repeats. An attempt costs a connection, and what is not received is at risk."""
LASTING_SECONDS = 60.0
"""What was received for so long fails for a new reason, so that the waits begin again."""
WATCH_SECONDS = 5.0
"""How often the server is asked how far it is."""
STALLED_SECONDS = 20.0
"""When nothing more was received for so long although there is something, the program is started again."""
MOST_PENDING = 240
"""Marks that wait until their WAL is in the spool; older ones are given up first."""
BY_ITSELF = "drd makes a new base backup by itself as soon as WAL is received again; to watch it: drd status"
GOES_ON = "receiving goes on by a new one; if nobody knows why, look who drops slots there: without one, WAL goes"
_MISSING = "is missing on the server"

OnLook = Callable[[str, ReceiverState, ServerFacts, Spool], Awaitable[None]]
"""Called with the policy at each look at a server that WAL is received from."""


class Stalled(TransientError):
    """The program that receives lives and receives nothing."""


class SlotLetGo(WalGone):
    """The slot was given up so that the server's disk does not fill."""


class Receiving:
    """Receives the WAL of the policies that want it."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        spools: Spools,
        journal: Journal,
        world: World,
        on_look: OnLook | None = None,
    ) -> None:
        self._on_look = on_look
        self._slots = SlotWatch(journal)
        self._configuration = configuration
        self._spools = spools
        self._journal = journal
        self._world = world
        self._told = ToldOnce[str](journal)
        self._lines: dict[str, ReceiverState] = {}
        self._served: set[str] = set()
        self._let_go: set[str] = set()
        """The policies whose slot was dropped here, so that nobody else is looked for."""
        self._facts: dict[str, ServerFacts] = {}

    def line(self, policy: str) -> ReceiverState:
        """How the receiving of a policy stands."""
        return self._lines.setdefault(policy, ReceiverState())

    def facts(self, policy: str) -> ServerFacts | None:
        """What the server is that WAL is received from, as it was seen last; None before it was."""
        return self._facts.get(policy)

    def is_served(self, policy: str) -> bool:
        """Whether a policy's WAL is received in this process, or tried to."""
        return policy in self._served

    async def serve(self, policy: str) -> None:
        """Receive until cancelled; what fails is told once and tried again."""
        self._served.add(policy)
        try:
            await self._serve(policy)
        finally:
            self._served.discard(policy)

    async def _serve(self, policy: str) -> None:
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
            has_lasted = self._world.clock.monotonic() - began > LASTING_SECONDS
            failures = 1 if has_lasted else failures + 1
            await self._world.clock.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])

    async def _tell(self, policy: str, error: DrdError) -> None:
        line = self.line(policy)
        has_lost = isinstance(error, WalGone)
        line.why_not = error.message
        line.why_hint = BY_ITSELF if has_lost else error.hint
        # How full it is changes all the time, and that it is full is told once.
        words = type(error).__name__ if isinstance(error, SpoolFull | Stalled) else error.message
        try:
            await self._told.tell(policy, words, WalInterrupted(policy, error.message, line.why_hint, has_lost))
        except NOT_NOW:
            return

    async def _receive(self, policy: str, origin: WalOrigin) -> None:
        """Receive until something ends it. Raises what did."""
        slot = slot_name(policy)
        async with origin.reached(self._world) as reached:
            _demand_primary(reached.server.place, reached.facts)
            spool = self._spools.of(policy, reached.facts.system_identifier)
            await spool.look(reached.facts.segment_bytes)
            line = self._begun(policy, reached)
            await self._slots.look(policy, line, reached.server, (await reached.server.positions()).newest)
            await self._demand_room(policy, origin.rules, reached, spool)
            before = await ready_slot(reached, slot)
            if before is SlotFound.LOST:
                await self._begin_anew(line, spool, reached)
                raise WalGone(f"WAL that the replication slot {slot} was to hold back is gone", BY_ITSELF)
            if before is SlotFound.NONE and policy not in self._let_go:
                await self._tell_missing(policy, spool, reached.facts.segment_bytes)
            self._let_go.discard(policy)
            begins_at_slot = not (await spool.look(reached.facts.segment_bytes)).received
            try:
                await _first_of(
                    reached.tools.receive_wal(ReceiveRequest(reached.dsn, spool.receiving, slot), _nobody),
                    self._watch(policy, origin.rules, reached, spool),
                )
            except WalGone:
                found = await reached.server.slot(slot)
                # A slot follows what a receiver tells, also back to WAL that is gone, and the server calls that sound.
                if begins_at_slot or found is None or is_lost(found):
                    await reached.server.drop_slot(slot)
                # Else the folder alone led astray, as by WAL that a failover has left behind; the slot leads on.
                await self._begin_anew(line, spool, reached)
                raise
            finally:
                line.flushed = None
                line.restarts += 1

    async def _tell_missing(self, policy: str, spool: Spool, segment_bytes: int) -> None:
        """There was no slot though WAL was received by one."""
        if (await spool.look(segment_bytes)).received:
            missing = f"the replication slot {slot_name(policy)} {_MISSING}"
            await self._journal.append(WalInterrupted(policy, missing, GOES_ON))

    async def _begin_anew(self, line: ReceiverState, spool: Spool, reached: ReachedServer) -> None:
        """Let receiving begin where the slot does. What was received is whole and true, and goes into its groups.

        The marks that still wait then go: the WAL that they wait for may be what is lost.
        """
        size = reached.facts.segment_bytes
        async with line.entering:
            await spool.carry_out(moves(await spool.look(size), size, self._world.clock.now()))
            await note_settled(spool, await spool.look(size), line)
            line.pending.clear()
            await spool.begin_anew()

    async def _demand_room(self, policy: str, rules: SpoolRules, reached: ReachedServer, spool: Spool) -> None:
        """Raise `SpoolFull` without room; where that is the rule, the slot goes before the server's disk is full."""
        line = self.line(policy)
        try:
            await demand_room(self._spools, spool, rules, line)
        except SpoolFull as full:
            rule = rules.when_full or when_full_by_itself(reached.facts.max_slot_wal_keep_bytes)
            if rule is WhenFull.LET_GO and line.held is not None and line.held.is_a_burden:
                await reached.server.drop_slot(slot_name(policy))
                self._let_go.add(policy)
                line.held, line.burden = None, ""
                raise SlotLetGo(
                    f"{full.message}; the slot {slot_name(policy)} was dropped before the server's disk is full",
                    BY_ITSELF,
                ) from full
            raise

    def _begun(self, policy: str, reached: ReachedServer) -> ReceiverState:
        line = self.line(policy)
        if line.system_identifier != reached.facts.system_identifier:
            line.pending.clear()
            line.received.clear()
        line.system_identifier, line.segment_bytes = reached.facts.system_identifier, reached.facts.segment_bytes
        line.node, line.timeline, line.turned = reached.node, reached.facts.timeline, ""
        return line

    async def _watch(self, policy: str, rules: SpoolRules, reached: ReachedServer, spool: Spool) -> None:
        """Note how far server and slot are. Raises when the slot is lost, nothing moves any more, or room is short."""
        line, clock, server = self.line(policy), self._world.clock, reached.server
        moved, last = clock.monotonic(), None
        while True:
            positions, facts = await server.positions(), await server.facts()
            _demand_primary(server.place, facts)
            self._facts[policy] = facts
            found = await self._slots.look(policy, line, server, positions.newest)
            if found is None:
                raise SlotMissing(f"the replication slot {slot_name(policy)} {_MISSING}", GOES_ON)
            if is_lost(found):
                raise WalGone(f"the replication slot {slot_name(policy)} has lost its WAL", BY_ITSELF)
            if line.turned:
                raise TransientError(line.turned, "drd receives from there by itself")
            _note(line, Mark(positions.taken, facts.timeline, positions.committed), found.restart, clock.monotonic())
            if found.is_active and not await self._is_told_of_resuming(policy, line):
                last = None
            if found.restart != last or (found.restart is not None and found.restart >= positions.newest):
                moved, last = clock.monotonic(), found.restart
            elif clock.monotonic() - moved > STALLED_SECONDS:
                waiting = format_size(line.behind_bytes or 0)
                raise Stalled(
                    f"no WAL was received for {STALLED_SECONDS:.0f} s, {waiting} are waiting",
                    "drd starts receiving again by itself",
                )
            await demand_room(self._spools, spool, rules, line)
            if self._on_look is not None:
                await self._on_look(policy, line, facts, spool)
            await clock.sleep(WATCH_SECONDS)

    async def _is_told_of_resuming(self, policy: str, line: ReceiverState) -> bool:
        """Whether it was known already that WAL is received; journaled when it was not."""
        if not line.why_not:
            return True
        self._told.over(policy)
        try:
            await self._journal.append(WalResumed(policy))
        except NOT_NOW:
            return False
        line.why_not = line.why_hint = ""
        return False


def _note(line: ReceiverState, mark: Mark, flushed: Lsn | None, at: float) -> None:
    """What was seen of the server, and up to which moment everything is safe here."""
    line.flushed, line.timeline = flushed, mark.timeline
    line.seen, line.seen_at = mark, at
    line.pending.append(mark)
    del line.pending[:-MOST_PENDING]
    if flushed is not None:
        line.received[mark.timeline] = flushed
        safe = [each for each in line.pending if each.lsn <= flushed]
        line.safe = safe[-1] if safe else line.safe


def _demand_primary(place: str, facts: ServerFacts) -> None:
    """Raise `SourceRefused` for a standby: it does not tell what was committed that has not come to it yet."""
    if facts.is_in_recovery:
        raise SourceRefused(
            f"{place} is a standby, and WAL is received from the primary only",
            "name the servers of the cluster under nodes: instead of a dsn:, so that WAL comes from the primary",
        )


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
