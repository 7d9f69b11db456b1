"""Runbooks that alerts and calls from outside start: each occurrence once, and never against what drd sees itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from drd.core.decision import DAY
from drd.core.errors import NOT_NOW, AtWork, DrdError, UsageError
from drd.core.events import TriggerHeld
from drd.core.incident import IncidentRecord
from drd.core.policy import Cause
from drd.core.runbook import Runbook, RunbookMode
from drd.core.units import format_duration
from drd.engines.acting import REMEMBERED, Acting, Occasion
from drd.engines.outbox import Outbox
from drd.engines.runbook_admission import StartOrder
from drd.engines.runbooks import Runbooks
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal
from drd.ports.triggers import Alert, TriggerAnswer

HELD_KEPT: Final = 200
"""So many refusals are remembered, so that one that is sent again and again is told once."""


@dataclass(frozen=True, slots=True)
class _Told:
    """One refusal that is on record."""

    runbook: str
    key: str
    why: str


class Triggering:
    """`Triggers` over the engines of this process."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        acting: Acting,
        runbooks: Runbooks,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._acting = acting
        self._runbooks = runbooks
        self._catalogue = catalogue
        self._clock = clock
        self._held: dict[_Told, None] = {}
        self._one_by_one = asyncio.Lock()
        self.outbox = Outbox(journal)

    async def alerted(self, alerts: tuple[Alert, ...]) -> tuple[TriggerAnswer, ...]:
        """Start what each firing alert starts, or say why not."""
        meant = [
            (runbook, Occasion(Cause.ALERT, "alertmanager", f"alert {alert.name}", alert.key))
            for alert in alerts
            if alert.status == "firing"
            for runbook in self._configuration().runbooks.values()
            if _is_meant(runbook, alert)
        ]
        async with self._one_by_one:
            return tuple([await self._answer(runbook, occasion) for runbook, occasion in meant])

    async def called(self, runbook: str, by: str, words: str) -> TriggerAnswer:
        """Start a runbook that a call may start. Raises `UsageError` for another one."""
        found = self._runbooks.demand(runbook)
        if not any(trigger.webhook for trigger in found.triggers):
            raise UsageError(f"no call starts {runbook}", "write `- webhook: true` under its `triggers:`")
        async with self._one_by_one:
            return await self._answer(found, Occasion(Cause.WEBHOOK, by, words))

    async def _answer(self, runbook: Runbook, occasion: Occasion) -> TriggerAnswer:
        records = await self._catalogue.incidents(runbook.policy, REMEMBERED)
        earlier = [each for each in records if each.runbook == runbook.name and not each.is_drill]
        known = next((each for each in earlier if occasion.alert and each.start.alert == occasion.alert), None)
        if known is not None:
            return TriggerAnswer(runbook=runbook.name, outcome="known", run=known.run)
        try:
            run, why = await self._start(runbook, occasion, earlier)
        except DrdError as error:
            if isinstance(error, NOT_NOW) and not isinstance(error, AtWork):
                raise
            run, why = "", str(error)
        if run:
            return TriggerAnswer(runbook=runbook.name, outcome="started", run=run)
        await self._hold(runbook, occasion, why)
        return TriggerAnswer(runbook=runbook.name, outcome="held", why=why)

    async def _start(self, runbook: Runbook, occasion: Occasion, earlier: list[IncidentRecord]) -> tuple[str, str]:
        """The run that begins, or why none does."""
        if runbook.mode is RunbookMode.MANUAL:
            return "", "its mode is manual: a person starts it"
        if runbook.promotes:
            # What drd sees itself decides, and all its guards: an alert alone replaces no primary.
            return await self._acting.started_for(runbook, occasion)
        if planned := self._acting.planned_downtime(runbook.policy):
            return "", planned
        if held := _held_by_guards(runbook, earlier, self._clock.now()):
            return "", held
        order = StartOrder(runbook.name, occasion.by, occasion.words, occasion.cause, alert=occasion.alert)
        return await self._runbooks.start(order), ""

    async def _hold(self, runbook: Runbook, occasion: Occasion, why: str) -> None:
        told = _Told(runbook.name, occasion.alert or occasion.by, why)
        if told in self._held:
            return
        self._held[told] = None
        while len(self._held) > HELD_KEPT:
            del self._held[next(iter(self._held))]
        await self.outbox.record(TriggerHeld(runbook.policy, runbook.name, occasion.words, why))


def _is_meant(runbook: Runbook, alert: Alert) -> bool:
    """Whether a trigger of the runbook names the alert, with all labels that it asks for."""
    named = [trigger.alertmanager for trigger in runbook.triggers if trigger.alertmanager is not None]
    return any(each.alertname == alert.name and each.labels.items() <= alert.labels.items() for each in named)


def _held_by_guards(runbook: Runbook, earlier: list[IncidentRecord], now: datetime) -> str:
    """Which guard of the runbook keeps it from starting again by itself; empty where none does."""
    begun = [each.started for each in earlier if each.start.cause is not Cause.MANUAL]
    guards = runbook.guards
    if guards.hold_down is not None and begun and now - max(begun) < guards.hold_down:
        return f"hold-down: the last run began less than {format_duration(guards.hold_down)} ago"
    lately = sum(1 for moment in begun if now - moment < DAY)
    if guards.per_day is not None and lately >= guards.per_day:
        return f"per day: it ran {lately} times within a day, and {guards.per_day} are allowed"
    return ""
