"""`drd demo disaster`: the shop's primary is killed, and what becomes of it is told as it happens."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from drd.clients.clock import SystemClock
from drd.clients.postgres import Dsn
from drd.clients.postgres.connection import Connection
from drd.core.decision import HELD_BACK, Guard
from drd.core.errors import DrdError, PermanentError, UsageError
from drd.core.policy import Outcome
from drd.demo.database import DATA, FOLDER, NODES
from drd.demo.orders import Acknowledged
from drd.demo.sold import NOTE, Sold, sold
from drd.ports.control import Control
from drd.ports.incidents import IncidentStatus

RUNBOOK: Final = "orders-failover"
LONGEST_SECONDS: Final = 120.0
AGAIN_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Survived:
    """How it went."""

    incident: IncidentStatus
    without_orders_seconds: float
    """From the last order that was acknowledged before the kill to the first one after it."""
    sold: Sold

    @property
    def is_whole(self) -> bool:
        """Whether all was done that the runbook says, and nothing is missing."""
        return self.incident.outcome is Outcome.SUCCEEDED and not self.sold.missing

    def told(self) -> str:
        """It in a sentence or two."""
        outcome = "" if self.incident.outcome is None else self.incident.outcome.value
        said = f"the runbook has ended: {outcome}"
        return f"{_interruption(self.incident, self.without_orders_seconds)}; {said}. {self.sold.told()}"

    def document(self) -> dict[str, object]:
        """It for programs."""
        rta = self.incident.times.rta
        return {
            "incident": self.incident.run,
            "outcome": self.incident.outcome,
            "without_orders_seconds": round(self.without_orders_seconds, 3),
            "rta_seconds": None if rta is None else rta.total_seconds(),
            **self.sold.document(),
        }


async def strike(demonstration: Path, control: Control, say: Callable[[str], None]) -> Survived:
    """Kill the primary's server, and follow the recovery until it is the standby of the other one.

    Raises `UsageError` when there is no demonstration or its standby is gone, `PermanentError` when nobody recovers it.
    """
    clock = SystemClock()
    primary = await _primary(demonstration)
    await _demand_action(control)
    before = {incident.run for incident in await control.incidents("orders")}
    note = Acknowledged(demonstration / FOLDER / NOTE)
    killed_at = clock.now()
    _kill(demonstration / FOLDER / primary / DATA)
    say(f"{primary} was killed (kill -9); customers order at the proxy all the time")
    timeline = _Timeline(control, await _begun(control, before, clock), say, clock)
    up = await timeline.follow(lambda incident: incident.times.up is not None)
    if up.times.up is None:
        raise PermanentError("the shop did not come back", f"drd incident show {RUNBOOK}")
    gap = await _gap(note, killed_at, clock)
    say(f"customers order again: {_interruption(up, gap)}")
    incident = await timeline.follow(lambda _: False)
    return Survived(incident, gap, await sold(demonstration, None))


def _interruption(incident: IncidentStatus, seconds: float) -> str:
    rta = incident.times.rta
    told = "" if rta is None else f" (RTA {rta.total_seconds():.1f} s)"
    return f"no order was taken for {seconds:.1f} s{told}"


async def _primary(demonstration: Path) -> str:
    """The node that is the primary, when the other one is there to take over."""
    states: dict[str, bool] = {}
    for name in NODES:
        secret = demonstration / "secrets" / name
        if not secret.exists():
            raise UsageError(
                f"there is no demonstration in {demonstration}", "type: make run, or name it with --folder"
            )
        connection = Connection(Dsn.parse(secret.read_bytes().strip()))
        with suppress(DrdError):
            [row] = await connection.rows("SELECT pg_is_in_recovery() AS is_standby")
            states[name] = row["is_standby"]
        await connection.close()
    primaries = [name for name, is_standby in states.items() if not is_standby]
    if len(states) < len(NODES) or len(primaries) != 1:
        there = ", ".join(states) or "no server"
        raise UsageError(
            f"a primary and a standby are needed, and {there} answers", "stop it with Ctrl-C, and: make run"
        )
    return primaries[0]


async def _demand_action(control: Control) -> None:
    """That drd would replace the primary by itself now: a guard of the runbook lets it do so once in a while."""
    lines = [line for line in await control.explain("orders") if line.startswith(HELD_BACK)]
    held = next((line for line in lines if not line.startswith(f"{HELD_BACK} {Guard.PRIMARY_ANSWERS}")), None)
    if held is not None:
        raise UsageError(
            f"drd would wait for a person now: {held}",
            'wait, or see the planned way: drd runbook start orders-switchover --reason "to try it"',
        )


def _kill(data: Path) -> None:
    os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


async def _begun(control: Control, before: set[str], clock: SystemClock) -> str:
    """The run that drd begins by itself."""
    end = clock.monotonic() + LONGEST_SECONDS
    while clock.monotonic() < end:
        for incident in await control.incidents("orders"):
            if incident.run not in before:
                return incident.run
        await clock.sleep(AGAIN_SECONDS)
    raise PermanentError("no runbook began", "drd explain orders")


class _Timeline:
    """Says what is new in a run's."""

    def __init__(self, control: Control, run: str, say: Callable[[str], None], clock: SystemClock) -> None:
        self._control = control
        self._run = run
        self._say = say
        self._clock = clock
        self._told = 0

    async def follow(self, is_enough: Callable[[IncidentStatus], bool]) -> IncidentStatus:
        """Say each new line until it is enough, or the run has ended.

        Raises `PermanentError` when nothing new is heard for long.
        """
        end = self._clock.monotonic() + LONGEST_SECONDS
        while self._clock.monotonic() < end:
            incident = await self._control.incident(self._run)
            for line in incident.timeline[self._told :]:
                self._say(f"{line.at.astimezone():%H:%M:%S.%f}"[:-3] + f"  {line.text}")
            if len(incident.timeline) > self._told:
                end = self._clock.monotonic() + LONGEST_SECONDS
            self._told = len(incident.timeline)
            if is_enough(incident) or incident.outcome is not None:
                return incident
            await self._clock.sleep(AGAIN_SECONDS)
        raise PermanentError(
            f"nothing new is heard of the runbook for {LONGEST_SECONDS:.0f} s", f"drd incident show {RUNBOOK}"
        )


async def _gap(note: Acknowledged, killed_at: datetime, clock: SystemClock) -> float:
    """Wait for the next order; the time between the last one before and the first one after."""
    end = clock.monotonic() + LONGEST_SECONDS
    while clock.monotonic() < end:
        moments = await asyncio.to_thread(note.moments)
        after = [moment for moment in moments if moment > killed_at]
        if after:
            return (min(after) - max(moment for moment in moments if moment <= killed_at)).total_seconds()
        await clock.sleep(AGAIN_SECONDS)
    raise PermanentError("no customer has ordered since", "drd demo orders")
