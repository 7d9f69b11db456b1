"""Looking, at the right moments, which policies are due, and submitting them. It never runs anything itself.

A timer's wake-up, the end of a run, a step of the clock and a reload all mean the same: look again. What is due follows
from the catalogue of runs (`core.schedule.consider`), so a wake-up that is early, late or doubled does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from drd.core.errors import NOT_NOW
from drd.core.events import ClockStepped
from drd.core.plan import History, Plan
from drd.core.policy import Window
from drd.core.schedule import Verdict, consider
from drd.engines.dispatch import Dispatch
from drd.engines.run_result import Request, RunResult
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration, Protected
from drd.ports.host import Host, Load
from drd.ports.journal import Catalogue, Journal
from drd.ports.timer import Timer

TICK_SECONDS = 1.0
STEP_SECONDS = 0.5
"""Wall and monotonic time may disagree by this much between two ticks before it counts as a step."""
GUARD_WAIT_SECONDS = 30.0
"""How long a run that the machine is too busy for waits until the next look."""
LOAD_LASTS_SECONDS = 5.0
"""How long a measurement of the machine's load is believed."""
GUARD_PATIENCE = timedelta(hours=1)
"""A run is held back by a busy machine for at most this long, and never beyond half its RPO."""


@dataclass(slots=True)
class _Held:
    """A run that is due while the machine's load is looked at. `since` is monotonic."""

    since: float
    why: str = ""


class Scheduler:
    """The loop between the plans and the dispatch."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        journal: Journal,
        catalogue: Catalogue,
        timer: Timer,
        host: Host,
        clock: Clock,
        on_tick: Callable[[], Awaitable[None]],
    ) -> None:
        self._configuration = configuration
        self._journal = journal
        self._catalogue = catalogue
        self._timer = timer
        self._host = host
        self._clock = clock
        self._on_tick = on_tick
        self._dispatch: Dispatch | None = None
        self._plans: dict[str, Plan] = {}
        self._histories: dict[str, History] = {}
        self._pending: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._held: dict[str, _Held] = {}
        self._load: tuple[float, Load] | None = None
        self._steps: list[float] = []
        """Steps of the clock that are not journaled yet."""

    async def load(self, dispatch: Dispatch) -> None:
        """Take over the configuration in force, with the catalogue's histories; then look at everything."""
        self._dispatch = dispatch
        configuration = self._configuration()
        records = await self._catalogue.policies()
        pauses = await self._pauses()
        running = {ticket.request.policy for ticket in dispatch.running()}
        now = self._clock.now()
        for gone in set(self._plans) - set(configuration.policies):
            del self._plans[gone], self._histories[gone]
            self._held.pop(gone, None)
            self._timer.disarm(gone)
        for name, protected in configuration.policies.items():
            record = records.get(name)
            self._plans[name] = _plan(configuration, protected, record.created if record else now)
            if name not in self._histories:
                self._histories[name] = (
                    History.of(record, is_running=name in running) if record is not None else History()
                )
            self.pause(name, pauses.get(name))

    async def take_pauses(self, policy: str) -> None:
        """Take over what the journal says of a policy's pauses: the longest counts."""
        self.pause(policy, (await self._pauses()).get(policy))

    def pause(self, policy: str, until: datetime | None) -> None:
        """Let nothing of a policy be due before `until`; None ends that."""
        history = self._histories.get(policy)
        if history is not None:
            self._histories[policy] = replace(history, not_before=until)
            self.wake(policy)

    def want_full(self, policy: str, since: datetime) -> None:
        """Let a full be due at once; the journal knows why."""
        history = self._histories.get(policy)
        if history is not None:
            self._histories[policy] = history.wanting_full(since)
            self.wake(policy)

    def is_running(self, policy: str) -> bool:
        """Whether a run of a policy is queued or under way."""
        history = self._histories.get(policy)
        return history is not None and history.running is not None

    def wake(self, policy: str) -> None:
        """Look at a policy soon."""
        self._pending[policy] = None
        self._woken.set()

    def run_started(self, request: Request, at: datetime) -> None:
        """A run was started, by this scheduler or by a person."""
        history = self._histories.get(request.policy)
        if history is not None:
            self._histories[request.policy] = history.started(request.mode, at)

    def run_ended(self, request: Request, result: RunResult, at: datetime) -> None:
        """A run ended: what is due next depends on how."""
        history = self._histories.get(request.policy)
        if history is not None and history.running is not None:
            self._histories[request.policy] = history.finished(result.outcome, at)
        self.wake(request.policy)

    def verdict(self, policy: str) -> Verdict | None:
        """What a policy is due for or waits for now."""
        plan = self._plans.get(policy)
        return consider(plan, self._histories[policy], self._clock.now()) if plan else None

    def why_held(self, policy: str) -> str:
        """Why the busy machine keeps a run that is due from starting, or nothing."""
        held = self._held.get(policy)
        return held.why if held is not None else ""

    async def serve(self) -> None:
        """Look and tick until cancelled. A full disk holds nothing up here: the tick tells people of it."""
        self._timer.start()
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        try:
            while True:
                await self._wait()
                now, ticks = self._clock.now(), self._clock.monotonic()
                step = (now - wall).total_seconds() - (ticks - monotonic)
                wall, monotonic = now, ticks
                if abs(step) > STEP_SECONDS:
                    self._clock_stepped(step)
                await self._journal_steps()
                await self._look_at_pending()
                await self._on_tick()
        finally:
            self._timer.stop()

    async def _wait(self) -> None:
        """Until the next tick, or until there is something to look at."""
        if not self._pending:
            self._woken.clear()
        waiting = asyncio.ensure_future(self._woken.wait())
        ticking = asyncio.ensure_future(self._clock.sleep(TICK_SECONDS))
        try:
            await asyncio.wait({waiting, ticking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            ticking.cancel()

    def _clock_stepped(self, seconds: float) -> None:
        if seconds < 0:  # a step forward looks like a sleep of the machine, and there the time did pass
            step = timedelta(seconds=seconds)
            self._histories = {name: history.after_step(step) for name, history in self._histories.items()}
        self._steps.append(seconds)
        for name in self._plans:
            self.wake(name)

    async def _journal_steps(self) -> None:
        while self._steps:
            try:
                await self._journal.append(ClockStepped(self._steps[0]))
            except NOT_NOW:  # kept until it can
                return
            self._steps.pop(0)

    async def _look_at_pending(self) -> None:
        pending, self._pending = self._pending, {}
        for count, policy in enumerate(pending):
            if policy in self._plans:
                await self._look(policy)
            if count % 50 == 49:
                await asyncio.sleep(0)

    async def _look(self, policy: str) -> None:
        dispatch = self._dispatch
        if dispatch is None or policy not in self._configuration().policies:  # a reload is just taking effect
            return
        now = self._clock.now()
        verdict = consider(self._plans[policy], self._histories[policy], now)
        if verdict.due is None:
            self._held.pop(policy, None)
            self._rearm(policy, verdict.wake)
        elif dispatch.is_quarantined(policy):
            self._timer.disarm(policy)
        elif await self._is_too_busy(policy, now):
            self._rearm(policy, now + timedelta(seconds=GUARD_WAIT_SECONDS))
        elif policy in self._configuration().policies:
            self._held.pop(policy, None)
            dispatch.submit(Request(policy, verdict.due.mode, verdict.due.cause, verdict.due.slot))

    def _rearm(self, policy: str, wake: datetime | None) -> None:
        if wake is None:
            self._timer.disarm(policy)
        else:
            self._timer.arm(policy, wake, self.wake)

    async def _is_too_busy(self, policy: str, now: datetime) -> bool:
        window = self._configuration().policies[policy].policy.backup.window
        if window.cpu is None and window.memory is None:
            return False
        rpo = self._plans[policy].rpo
        newest = self._histories[policy].newest or self._plans[policy].created
        held = self._held.setdefault(policy, _Held(self._clock.monotonic()))
        held_seconds = self._clock.monotonic() - held.since
        if held_seconds >= GUARD_PATIENCE.total_seconds() or (rpo is not None and now - newest > rpo / 2):
            return False
        held.why = _too_busy(await self._recent_load(), window)
        return bool(held.why)

    async def _recent_load(self) -> Load:
        """Measured once for all that fall due together: a measurement takes its time."""
        if self._load is None or self._clock.monotonic() - self._load[0] > LOAD_LASTS_SECONDS:
            load = await self._host.load()
            self._load = (self._clock.monotonic(), load)
        return self._load[1]

    async def _pauses(self) -> dict[str, datetime]:
        """Policy → the end of its longest pause of backups."""
        longest: dict[str, datetime] = {}
        for pause in await self._catalogue.pauses():
            if pause.what in ("backup", "all"):
                longest[pause.policy] = max(pause.until, longest.get(pause.policy, pause.until))
        return longest


def _too_busy(load: Load, window: Window) -> str:
    """What of the machine is busier than the window allows, or nothing."""
    if window.cpu is not None and load.processor_busy > window.cpu:
        return (
            f"the processors are {_percent(load.processor_busy)} busy, and window: cpu: allows {_percent(window.cpu)}"
        )
    if window.memory is not None and load.memory_free < window.memory:
        free, wanted = _percent(load.memory_free), _percent(window.memory)
        return f"{free} of the memory is free, and window: memory: demands {wanted}"
    return ""


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _plan(configuration: Configuration, protected: Protected, created: datetime) -> Plan:
    return Plan.of(protected.policy, configuration.zone, created, keeps_rpo=protected.wal_origin is None)
