"""The questions and orders that concern runbooks, answered by the engine that runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Final

from drd.core.events import Event
from drd.core.policy import Outcome
from drd.core.recovery import expected
from drd.core.runbook_step import Choice
from drd.daemon.house import House
from drd.daemon.incidents import find_incident, incident_status, incident_statuses, words_of
from drd.daemon.nodes import cost_lines
from drd.engines.runbook_admission import StartOrder
from drd.engines.runbook_plan import action_of, mentions, plan_of
from drd.ports.action import Action
from drd.ports.incidents import IncidentStatus, PlannedLine, PlannedStageLine, RunbookOrder, RunbookPlan
from drd.ports.steps import Step

PROMOTED: Final = "new_primary"
OLD: Final = "old_primary"
LOOK_SECONDS: Final = 2.0
WAITS_FOR_A_PERSON: Final = 4
"""The exit code that says so."""


class RunbookControl:
    """`RunbookOrders` over the engines of this process."""

    _house: House

    async def incidents(self, policy: str | None = None) -> tuple[IncidentStatus, ...]:
        """The newest runs of runbooks, newest first."""
        return await incident_statuses(self._house, policy)

    async def incident(self, run: str) -> IncidentStatus:
        """One run by its id, or the newest of a runbook by its name."""
        return await incident_status(self._house, await find_incident(self._house, run))

    async def runbook_plan(self, runbook: str, variables: dict[str, str]) -> RunbookPlan:
        """What a runbook would do now, looked at as far as that can be done from here."""
        engine = self._house.runbooks
        found = engine.demand(runbook)
        earlier = await self._house.catalogue.incidents(found.policy)
        before = tuple(each for each in earlier if each.runbook == runbook)
        assumed = {name: node for name, node in (await self._assumed(found.policy)).items() if name not in variables}
        previews = await engine.previews(found, {**assumed, **variables})
        lines = tuple(
            PlannedLine(
                stage=stage,
                step=step.title,
                action=step.action.kind,
                commands=preview.commands,
                unchecked=(*preview.unchecked, *_as_if(action_of(step.action), assumed)),
                expected=expected(before, step.title),
            )
            for stage, step, preview in previews
        )
        decision = await self._house.acting.decision(found.policy) if found.promotes else None
        known = {line.step: line.expected for line in lines if line.expected is not None}
        plan = plan_of(found, self._house.in_force().contacts)
        rto = engine.rto(found)
        return RunbookPlan(
            runbook=found.name,
            policy=found.policy,
            disaster=found.disaster.value,
            digest=found.digest,
            stages=tuple(
                PlannedStageLine(stage=each.stage.value, owner=each.owner, deadline=each.deadline)
                for each in found.stages
            ),
            lines=lines,
            expected=plan.length(known) if len(known) == len(lines) else None,
            rto=rto,
            blockers=await engine.blockers(found, variables),
            cost=() if decision is None else tuple(cost_lines(decision)),
            held=() if decision is None else tuple(str(each) for each in decision.blockers),
        )

    async def _assumed(self, policy: str) -> dict[str, str]:
        """The roles as drd sees them now, for plans and drills: a run is told by its own steps who was promoted."""
        decision = await self._house.acting.decision(policy)
        if decision is None:
            return {}
        promoted = None if decision.candidate is None else decision.candidate.node
        return {name: node for name, node in (("primary", decision.primary), (PROMOTED, promoted)) if node}

    async def _rehearsed(self, policy: str) -> dict[str, str]:
        """The same for a drill, in which nobody takes over: the node that leads is the old primary as well."""
        assumed = await self._assumed(policy)
        return assumed | {OLD: assumed["primary"]} if "primary" in assumed else assumed

    async def runbook_start(self, order: RunbookOrder) -> AsyncIterator[Step]:
        """Start a runbook and follow it until it ends or waits for a person. It goes on when nobody watches."""
        facts: asyncio.Queue[Event] = asyncio.Queue()
        stop_observing = self._house.journal.observe(facts.put_nowait)
        try:
            against = () if order.is_drill else await self._house.acting.overridden(order.runbook)
            assumed = await self._rehearsed(self._house.runbooks.demand(order.runbook).policy) if order.is_drill else {}
            run = await self._house.runbooks.start(
                StartOrder(
                    order.runbook,
                    order.by,
                    order.words,
                    began=order.began,
                    is_drill=order.is_drill,
                    variables={**assumed, **order.variables},
                    against=against,
                    overrides=order.overrides,
                    fenced=order.fenced,
                )
            )
            yield Step(kind="started", run=run, text=f"runbook {order.runbook}")
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        event = await facts.get()
                    if event.run == run and (text := words_of(event.body)):
                        yield Step(kind="fact", run=run, text=text)
                if not facts.empty():
                    continue
                status = await self.incident(run)
                if status.outcome is not None or status.questions:
                    yield _end(status)
                    return
        finally:
            stop_observing()

    async def runbook_answer(self, run: str, step: str | None, choice: Choice, by: str, words: str) -> str:
        """A person's word on a step that waits for one; returns the step."""
        record = await find_incident(self._house, run)
        return await self._house.runbooks.answer(record.run, step, choice, by, words)

    async def runbook_abort(self, run: str, by: str, words: str, takes_back: bool) -> None:
        """End a run before its end."""
        record = await find_incident(self._house, run)
        await self._house.runbooks.abort(record.run, by, words, takes_back=takes_back)


def _end(status: IncidentStatus) -> Step:
    if status.outcome is None:
        question = status.questions[0]
        to_approve = f"drd runbook approve {status.run} --reason TEXT"
        to_resume = f"drd runbook resume {status.run} --reason TEXT"
        return Step(
            kind="finished",
            run=status.run,
            message=f"{question.step}: {question.why}",
            hint=to_approve if Choice.APPROVE in question.choices else to_resume,
            exit_code=WAITS_FOR_A_PERSON,
            text="waiting for a person",
        )
    is_well = status.outcome in (Outcome.SUCCEEDED, Outcome.INCOMPLETE)
    late = status.times.is_kept is False
    return Step(
        kind="finished",
        run=status.run,
        outcome=status.outcome,
        message=status.message or ("the objective was missed" if late else ""),
        hint=f"drd incident show {status.run}",
        exit_code=(3 if late else 0) if is_well else 1,
    )


def _as_if(action: Action, assumed: Mapping[str, str]) -> tuple[str, ...]:
    """What a plan says of a step that was looked at as if the best standby had been promoted."""
    is_assumed = PROMOTED in assumed and mentions(action, PROMOTED)
    return (f"looked at as if {assumed[PROMOTED]} had been promoted",) if is_assumed else ()
