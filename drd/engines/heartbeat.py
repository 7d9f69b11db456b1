"""Keeping the heartbeat of each protected database: a row written there again and again.

Where that may not be, the marks of received WAL say what was committed when, to a few seconds. Which of the two it is
is told once, and shown by `drd status`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from drd.core.errors import NOT_NOW, DrdError
from drd.core.events import HeartbeatInterrupted, HeartbeatKept
from drd.core.postgres.errors import RightMissing, ServerReadOnly
from drd.core.postgres.heartbeat import GONE, TABLE, Beat, Heartbeat, interval
from drd.core.units import format_duration
from drd.engines.telling import ToldOnce
from drd.ports.configuration import Configuration, Protected
from drd.ports.journal import Journal
from drd.ports.servers import DatabaseServers, ReachedNode
from drd.ports.world import World

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)
"""Waits after a failure; the last one repeats. Short ones: what is lost after a failover is to be known as well."""
LOOK_SECONDS = 60.0
"""How often it is looked whether the row may be written by now."""

SWEEP_SECONDS = 86400.0
"""How often it is looked for rows of daemons that are gone."""


class Means(StrEnum):
    """How a copy will tell its moment."""

    ROW = "row"
    """By the row in `drd.heartbeat`."""
    MARKS = "marks"
    """By the marks that go with the WAL that is received."""
    NONE = "none"
    """By the end of its base backup alone."""


@dataclass(slots=True)
class HeartbeatLine:
    """How the heartbeat of one policy stands now."""

    means: Means | None = None
    """None as long as nothing is known."""
    why: str = ""
    """Why there is no row; empty where there is."""
    every: timedelta = timedelta(0)
    written: datetime | None = None
    """When the newest row was written, by the server's clock."""
    problem: str = ""
    """Why it is not written now though it may be."""

    def __str__(self) -> str:
        """In words for people."""
        if self.problem:
            return f"not written: {self.problem}"
        if self.means is None:
            return "not written yet"
        return f"a row every {format_duration(self.every)}" if self.means is Means.ROW else f"{self.means}: {self.why}"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The newest row that a server has said to have written."""

    written: datetime
    """By that server's clock."""
    at: float
    """By drd's, in monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Survived:
    """What a server had of the heartbeat when it was reached, before anything was written there."""

    node: str
    at: float
    """When it was reached, in monotonic seconds."""
    written: float
    """When the newest row that it had was written, in monotonic seconds of drd's own."""
    every: timedelta
    """By so much what it had may be newer: rows are that far apart."""


class Heartbeats:
    """Keeps the heartbeats of the policies that protect databases."""

    def __init__(self, configuration: Callable[[], Configuration], journal: Journal, world: World, daemon: str) -> None:
        self._configuration = configuration
        self._journal = journal
        self._world = world
        self._daemon = daemon
        self._told = ToldOnce[str](journal)
        self._lines: dict[str, HeartbeatLine] = {}
        self._sequences: dict[str, int] = {}
        self._acknowledged: dict[str, Acknowledged] = {}
        self._survived: dict[str, Survived] = {}

    def survived(self, policy: str, node: str, since: float) -> Survived | None:
        """What `node` had when it was reached after a moment; None as long as it was not, or nothing is known."""
        found = self._survived.get(policy)
        return found if found is not None and found.node == node and found.at >= since else None

    def newest(self, policy: str) -> Acknowledged | None:
        """The newest row that a primary of the policy has acknowledged; None where none is known."""
        return self._acknowledged.get(policy)

    def recall(self, policy: str, newest: Acknowledged) -> None:
        """An earlier daemon knew of this row. Counts before this one has written any."""
        self._acknowledged.setdefault(policy, newest)

    def line(self, policy: str) -> HeartbeatLine:
        """How the heartbeat of a policy stands."""
        return self._lines.setdefault(policy, HeartbeatLine())

    async def serve(self, policy: str) -> None:
        """Write it until cancelled; what fails is told once and tried again."""
        failures, clock = 0, self._world.clock
        while True:
            protected = self._configuration().policies.get(policy)
            if protected is None or protected.servers is None:
                return
            began, is_alone = clock.monotonic(), len(protected.servers.names) == 1
            try:
                await self._keep(protected, protected.servers)
            except DrdError as error:
                if isinstance(error, RightMissing) or (isinstance(error, ServerReadOnly) and is_alone):
                    await self._stand_in(protected, error.message, f"drd grants {policy}")
                    await clock.sleep(LOOK_SECONDS)
                    continue
                await self._tell(policy, error)
                failures = 1 if clock.monotonic() - began > RETRY_SECONDS[-1] else failures + 1
            await clock.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])

    async def _keep(self, protected: Protected, servers: DatabaseServers) -> None:
        """Write the row until something ends it. Raises what did."""
        policy, clock = protected.policy.name, self._world.clock
        if not servers.wants_heartbeat:
            await self._stand_in(protected, "heartbeat: false", "")
            while True:
                await clock.sleep(LOOK_SECONDS)
        every = interval(protected.policy.shortest_rpo)
        async with servers.reached(self._world) as node:
            await self._wait_until_it_may(protected, node)
            sweep, is_first = 0.0, True
            while True:
                due = clock.monotonic() + every.total_seconds()
                sequence = self._sequences.get(policy, 0) + 1
                written = await node.server.beat(Beat(policy, self._daemon, sequence=sequence))
                self._sequences[policy] = sequence
                if is_first:
                    self._note_what_survived(policy, node.name, written, every)
                    is_first = False
                self._acknowledged[policy] = Acknowledged(written.written, clock.monotonic())
                await self._is_kept(protected, every, written.written)
                if clock.monotonic() >= sweep:
                    sweep = clock.monotonic() + SWEEP_SECONDS
                    await node.server.forget_beats(policy, self._daemon, GONE)
                await clock.sleep(max(0.0, due - clock.monotonic()))

    def _note_what_survived(self, policy: str, node: str, found: Heartbeat, every: timedelta) -> None:
        """How much older its row was than the newest one that drd knows of, both by the clock of who wrote them."""
        newest = self._acknowledged.get(policy)
        if newest is not None and found.replaced is not None:
            written = newest.at - (newest.written - found.replaced).total_seconds()
            self._survived[policy] = Survived(node, self._world.clock.monotonic(), written, every)

    async def _wait_until_it_may(self, protected: Protected, node: ReachedNode) -> None:
        """Ask now and then whether the table is there and may be written, which the server's log says nothing of."""
        where = f"on {node.name} " if node.name else ""
        while node.facts.is_in_recovery or not await node.server.may_beat():
            if node.facts.is_in_recovery:
                raise ServerReadOnly(f"{node.server.place} is a standby", "ask the primary")
            why = f"{TABLE} {where}is not there, or may not be written"
            await self._stand_in(protected, why, f"drd grants {protected.policy.name}")
            await self._world.clock.sleep(LOOK_SECONDS)

    async def _is_kept(self, protected: Protected, every: timedelta, written: datetime) -> None:
        line = self.line(protected.policy.name)
        line.means, line.why, line.every, line.written, line.problem = Means.ROW, "", every, written, ""
        said = f"a row in {TABLE} every {format_duration(every)}"
        await self._say(HeartbeatKept(protected.policy.name, line.means, said))

    async def _stand_in(self, protected: Protected, why: str, hint: str) -> None:
        """There is no row; say what tells a copy's moment instead."""
        policy = protected.policy.name
        line = self.line(policy)
        line.means = Means.NONE if protected.wal_origin is None else Means.MARKS
        line.why, line.written, line.problem = why, None, ""
        others = {
            Means.MARKS: "the marks of received WAL stand in, to a few seconds",
            Means.NONE: "a copy tells no more than when its base backup ended",
        }
        await self._say(HeartbeatKept(policy, line.means, f"{why}: {others[line.means]}", hint))

    async def _tell(self, policy: str, error: DrdError) -> None:
        self.line(policy).problem = error.message
        await self._say(HeartbeatInterrupted(policy, error.message, error.hint))

    async def _say(self, fact: HeartbeatKept | HeartbeatInterrupted) -> None:
        try:
            await self._told.tell(fact.policy, f"{fact.KIND} {fact.message}", fact)
        except NOT_NOW:
            return
