"""Runs of runbooks: one at a time for any node, taken up again after a restart, answered and ended by people."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from drd.core.errors import NOT_NOW, Busy, DrdError, RefusedByGuard, UsageError
from drd.core.events import (
    AbortAsked,
    BugFound,
    Event,
    IncidentFinished,
    IncidentStarted,
    Paused,
    Resumed,
    RunbookEdited,
    StepAnswered,
)
from drd.core.incident import IncidentRecord, awaited_before
from drd.core.kinds import Spec
from drd.core.policy import Outcome
from drd.core.runbook import SYNCHRONOUS, Runbook, Step
from drd.core.runbook_progress import StepState
from drd.core.runbook_step import Choice
from drd.engines.runbook_admission import LOOKED_AT, Admission, Known, StartOrder, together
from drd.engines.runbook_plan import action_of, filled
from drd.engines.runbook_run import Reader, RunbookRun, Tools
from drd.ports.action import Preview, Situation
from drd.ports.journal import Catalogue
from drd.ports.machines import speakers

_ON_WAITING: Final = frozenset({Choice.APPROVE, Choice.REFUSE})


Costs = Callable[[str], Awaitable[tuple[str, ...]]]
"""Tells of a policy what a failover would cost now: who would be promoted, what is lost, how the old one is fenced."""


class Runbooks:
    """Owns the runs of runbooks that are under way in this process."""

    def __init__(
        self,
        tools: Tools,
        catalogue: Catalogue,
        read: Reader,
        new_id: Callable[[], str],
        known: Callable[[str], Known],
    ) -> None:
        """`known` tells what is seen of a policy's nodes."""
        self._tools = tools
        self._known = known
        self._catalogue = catalogue
        self.read = read
        self._new_id = new_id
        self._runs: dict[str, RunbookRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starting = asyncio.Lock()
        self._cost: Costs = _unknown
        self._is_leaving = False
        self._admission = Admission(tools, catalogue, known)
        tools.journal.observe(self._take)

    def price(self, cost: Costs) -> None:
        """Have `cost` tell whom a run asks for an approval what a failover of a policy would cost now."""
        self._cost = cost

    async def start(self, order: StartOrder) -> str:
        """Begin a run and return its id; it goes on by itself.

        Raises `UsageError` for what cannot run, `RefusedByGuard` while it is paused or somebody may lead by an earlier
        run, and `AtWork` while another run works with one of its nodes; each names all that stands against it.
        """
        runbook = self.demand(order.runbook)
        async with self._starting:
            if self._is_leaving:
                raise Busy("the daemon is leaving", "start it again first")
            if blockers := await self._admission.blockers(runbook, order):
                raise together(blockers)
            order = replace(order, against=(*order.against, *await self._admission.overridden(runbook, order)))
            run = self._new_id()
            begun = self._begun(runbook, order, run, await self._awaited(runbook))
            await self._tools.journal.append(begun, run=run)
            record = await self._catalogue.incident(run)
        assert record is not None  # noqa: S101 — it has just been written
        self._drive(record, runbook)
        return run

    async def resume_open(self) -> tuple[IncidentRecord, ...]:
        """Take up what an earlier daemon left open, each by the document that it began with."""
        open_ones = await self._catalogue.open_incidents()
        for record in open_ones:
            if record.run in self._runs:
                continue
            try:
                runbook = self.read(record.start.document)
            except DrdError as error:
                message = f"this drd does not understand the runbook that it began with: {error.message}"
                ended = IncidentFinished(record.policy, record.runbook, Outcome.FAILED, message, "go on by hand")
                await self._tools.journal.append(ended, run=record.run)
                continue
            self._drive(record, runbook)
        return open_ones

    async def note_edits(self) -> tuple[str, ...]:
        """Put on record which runs go on by another text than the files have now, a sentence each that has changed."""
        told = []
        for run in tuple(self._runs.values()):
            name, began = run.start.runbook, run.start.digest
            found = self._tools.configuration().runbooks.get(name)
            digest = "" if found is None else found.digest
            if digest == (began if run.progress.edited is None else run.progress.edited):
                continue
            await self._tools.journal.append(RunbookEdited(name, digest, digest == began), run=run.run)
            if digest != began:
                told.append(f"run {run.run} of {name} goes on by what it began with")
        return tuple(told)

    async def answer(self, run: str, step: str | None, choice: Choice, by: str, words: str) -> str:
        """A person's word on a step that waits for one; returns the step.

        Raises `UsageError` when none does, and `RefusedByGuard` where others are asked for their approval.
        """
        under_way = self.demand_run(run)
        waiting = self.waiting(under_way)
        fitting = [title for title, choices in waiting.items() if choice in choices and step in (None, title)]
        if not fitting:
            wanted = "; ".join(f"{title}: {' or '.join(sorted(choices))}" for title, choices in waiting.items())
            raise UsageError(
                f"no step of {run} waits for this" if waiting else f"no step of {run} waits for a person",
                f"what is waited for: {wanted}" if wanted else f"type: drd incident show {run}",
            )
        if len(fitting) > 1:
            raise UsageError(f"several steps wait: {'; '.join(fitting)}", f'add: --step "{fitting[0]}"')
        self._demand_asked(under_way, fitting[0], by)
        facts = await under_way.found_by_hand(fitting[0]) if choice is Choice.DONE else {}
        await self._tools.journal.append(StepAnswered(fitting[0], choice, by, words, facts), run=run)
        return fitting[0]

    def _demand_asked(self, under_way: RunbookRun, step: str, by: str) -> None:
        """Raises `RefusedByGuard` where an approval asks others. Whom `drd.yaml` gives no users anybody speaks for."""
        waits = under_way.plan.step(step).waits
        people = () if waits is None else waits.people
        users = speakers(people, self._tools.configuration().contacts)
        if users and by not in users:
            raise RefusedByGuard(
                f"{step}: {' or '.join(people)} is asked, for whom {by} does not speak",
                f"who may answer: {', '.join(users)}; to name others, write `users:` under `people:` in drd.yaml",
            )

    async def abort(self, run: str, by: str, words: str, *, takes_back: bool) -> None:
        """End a run before its end: what is under way is stopped, and nothing more begins."""
        self.demand_run(run)
        await self._tools.journal.append(AbortAsked(by, words, takes_back), run=run)

    def waiting(self, under_way: RunbookRun) -> dict[str, frozenset[Choice]]:
        """The steps that wait for a person, and what may be answered."""
        found: dict[str, frozenset[Choice]] = {}
        for planned in under_way.plan.steps:
            at = under_way.progress.of(planned.title)
            if at.state is StepState.ASKING:
                found[planned.title] = frozenset({Choice.AGAIN, Choice.DONE})
            elif at.state is StepState.RUNNING and planned.waits is not None and at.choice is None:
                found[planned.title] = _ON_WAITING
        return found

    async def blockers(self, runbook: Runbook, variables: Mapping[str, str]) -> tuple[str, ...]:
        """Why a runbook would not be started now."""
        order = StartOrder(runbook.name, "", variables=variables)
        return tuple(str(each) for each in await self._admission.blockers(runbook, order))

    async def previews(self, runbook: Runbook, variables: Mapping[str, str]) -> tuple[tuple[str, Step, Preview], ...]:
        """What each step would do now, with its stage; looking changes nothing."""
        steps = [(stage.stage.value, step) for stage in runbook.stages for step in stage.steps]
        previews = await asyncio.gather(*(self._preview(runbook, stage, step, variables) for stage, step in steps))
        return tuple((stage, step, preview) for (stage, step), preview in zip(steps, previews, strict=True))

    async def _preview(self, runbook: Runbook, stage: str, step: Step, variables: Mapping[str, str]) -> Preview:
        own = {"policy": runbook.policy, "run": "RUN", "incident": "RUN", "disaster": runbook.disaster.value}
        at = Situation(
            world=self._tools.world,
            services=self._tools.services,
            machines=self._tools.configuration().machines,
            run="RUN",
            runbook=runbook.name,
            policy=runbook.policy,
            stage=stage,
            step=step.title,
            variables={**variables, **own},
            members=tuple(self._tools.configuration().policies[runbook.policy].policy.nodes),
        )
        found = await _previewed(step.action, at)
        others = [
            (words, await _previewed(spec, at))
            for words, spec in (("asked whether it is done", step.done_when), ("taken back", step.undo))
            if spec is not None
        ]
        return Preview(
            (*found.commands, *(f"{words}: {command}" for words, each in others for command in each.commands)),
            (*found.unchecked, *(f"{words}: {why}" for words, each in others for why in each.unchecked)),
        )

    def rto(self, runbook: Runbook) -> timedelta | None:
        """What the policy promises for the runbook's class of disaster."""
        policy = self._tools.configuration().policies[runbook.policy].policy
        disaster = policy.disasters.get(runbook.disaster)
        return disaster.rto if disaster is not None and disaster.rto is not None else policy.objectives.rto

    def rpo(self, runbook: Runbook) -> timedelta | None:
        """What the policy promises to lose at most in the runbook's class of disaster."""
        policy = self._tools.configuration().policies[runbook.policy].policy
        disaster = policy.disasters.get(runbook.disaster)
        return disaster.rpo if disaster is not None and disaster.rpo is not None else policy.objectives.rpo

    def demand(self, name: str) -> Runbook:
        """The runbook of that name in force. Raises `UsageError`."""
        runbooks = self._tools.configuration().runbooks
        if name not in runbooks:
            raise UsageError(f"there is no runbook {name}", "type: drd runbook list")
        return runbooks[name]

    def demand_run(self, run: str) -> RunbookRun:
        """A run that is under way. Raises `UsageError`."""
        if run not in self._runs:
            raise UsageError(f"no incident {run} is under way", "type: drd incident list")
        return self._runs[run]

    def under_way(self) -> tuple[RunbookRun, ...]:
        """All runs that are under way."""
        return tuple(self._runs.values())

    async def drain(self, grace_seconds: float) -> None:
        """Begin nothing more, give steps under way their grace, and leave the rest to the next daemon."""
        self._is_leaving = True
        runs = tuple(self._runs.values())
        await asyncio.gather(*(each.finish_steps(grace_seconds) for each in runs))
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _awaited(self, runbook: Runbook) -> str:
        """What commits wait for, or waited for before the primary was replaced, as the runbook's steps need it."""
        now = self._known(runbook.policy).synchronous
        if runbook.promotes:
            return now
        if runbook.moves_primary or not runbook.brought_back:
            return ""
        return awaited_before(await self._catalogue.incidents(runbook.policy, LOOKED_AT), now)

    def _begun(self, runbook: Runbook, order: StartOrder, run: str, awaited: str) -> IncidentStarted:
        now = self._tools.world.clock.now()
        rto, rpo = self.rto(runbook), self.rpo(runbook)
        known = self._known(runbook.policy)
        # A daemon that takes the run up after this one may never see the old primary.
        seen = {"primary": known.primary, SYNCHRONOUS: awaited}
        own = {"policy": runbook.policy, "run": run, "incident": run, "disaster": runbook.disaster.value}
        return IncidentStarted(
            policy=runbook.policy,
            runbook=runbook.name,
            disaster=runbook.disaster.value,
            digest=runbook.digest,
            document=runbook.document,
            cause=order.cause,
            by=order.by,
            words=order.words,
            began=min(order.began or now, now),
            is_drill=order.is_drill,
            locks=() if order.is_drill else self._admission.locks(runbook, order.variables),
            variables={**{name: value for name, value in seen.items() if value}, **order.variables, **own},
            rto_seconds=None if rto is None else rto.total_seconds(),
            against=order.against,
            rpo_seconds=None if rpo is None else rpo.total_seconds(),
            was_dead=order.was_dead,
            alert=order.alert,
            fenced=order.fenced,
            declared=None if order.declared is None else min(order.declared, now),
        )

    def _drive(self, record: IncidentRecord, runbook: Runbook) -> None:
        run = RunbookRun(self._tools, record, runbook, self._admission.held, lambda: self._cost(record.policy))
        self._runs[record.run] = run
        task = asyncio.create_task(self._drive_to_its_end(run), name=f"runbook {record.runbook}")
        self._tasks[record.run] = task
        task.add_done_callback(lambda _: self._over(record.run))

    async def _drive_to_its_end(self, run: RunbookRun) -> None:
        try:
            await run.drive()
        except Exception as bug:  # noqa: BLE001 - a mistake in one run must not be silent: it keeps its nodes locked
            self._tools.log(f"a mistake in drd stopped run {run.run}: {bug!r}; the next start takes it up")
            text = "".join(traceback.format_exception(bug, limit=-12))
            found = BugFound(f"runbook {run.start.runbook}", type(bug).__name__, text, quarantined=True)
            with suppress(*NOT_NOW):
                await self._tools.journal.append(found, run=run.run)

    def _over(self, run: str) -> None:
        self._runs.pop(run, None)
        self._tasks.pop(run, None)

    def _take(self, event: Event) -> None:
        if isinstance(event.body, Paused | Resumed):
            self._admission.pauses_have_changed()
            for run in self._runs.values():
                run.wake()
        under_way = self._runs.get(event.run or "")
        if under_way is not None:
            under_way.take(event)


async def _previewed(spec: Spec, at: Situation) -> Preview:
    action = action_of(spec)
    try:
        return await filled(action, at.variables).preview(at)
    except DrdError as error:
        return Preview((action.summary(),), (error.message,))


async def _unknown(_policy: str) -> tuple[str, ...]:
    return ()
