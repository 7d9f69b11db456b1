"""One run of a runbook: asks the core what comes next, journals the intent, acts, journals the outcome."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from drd.core.errors import NOT_NOW, DrdError, PermanentError, TransientError
from drd.core.events import (
    Body,
    BugFound,
    DeadlineMissed,
    Event,
    IncidentFinished,
    PeopleTold,
    StepChecked,
    StepFinished,
    StepOrdered,
    StepStarted,
)
from drd.core.holding import Hold
from drd.core.incident import IncidentRecord
from drd.core.run import Cause
from drd.core.runbook import Runbook, Step
from drd.core.runbook_next import next_orders
from drd.core.runbook_orders import Cancel, Check, Conclude, End, MissDeadline, Order, Start, Tell, Undo
from drd.core.runbook_progress import StepState, after
from drd.core.runbook_step import Answer, Doing, StepOutcome
from drd.core.runbook_telling import asks_for_a_decision
from drd.core.units import format_duration
from drd.engines.runbook_plan import action_of, filled, plan_of
from drd.ports.action import Action, Facts, Situation
from drd.ports.cancelling import to_the_end
from drd.ports.configuration import Configuration
from drd.ports.journal import Journal
from drd.ports.services import Services
from drd.ports.world import World

CHECK_SECONDS: Final = 30.0
"""How long it is asked whether a step is done; after that nobody knows."""
BY_HAND_SECONDS: Final = 10.0
"""How long it is looked what a person has done, who waits for that."""
LONGEST_WAIT_SECONDS: Final = 30.0
"""A clock that is set may bring a moment nearer while it is waited for."""
AGAIN_SECONDS: Final = 1.0
"""How soon a journal that takes nothing now is tried again."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every run works with."""

    configuration: Callable[[], Configuration]
    services: Services
    journal: Journal
    world: World
    log: Callable[[str], None]


class RunbookRun:
    """Drives one incident from wherever its events have brought it to its end."""

    def __init__(
        self,
        tools: Tools,
        record: IncidentRecord,
        runbook: Runbook,
        held: Callable[[str], Awaitable[Hold]],
        cost: Callable[[], Awaitable[tuple[str, ...]]],
    ) -> None:
        """`held` tells what the pauses of a policy keep its runs from, `cost` what its failover would cost now."""
        self._tools = tools
        self._held = held
        self._cost = cost
        self.promotes = runbook.promotes
        self.start = record.start
        self.run = record.run
        self.plan = plan_of(runbook, tools.configuration().contacts, is_drill=record.is_drill)
        self.progress = record.progress(self.plan)
        self._steps: dict[str, Step] = {step.title: step for stage in runbook.stages for step in stage.steps}
        self._live: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    @property
    def variables(self) -> dict[str, str]:
        """What `${name}` and the roles stand for by now."""
        return {**self.start.variables, **self.progress.facts}

    def take(self, event: Event) -> None:
        """One more event of this run is on record."""
        self.progress = after(self.plan, self.progress, event.body, event.at)
        self._changed.set()

    def wake(self) -> None:
        """Something else has changed that decides what comes next."""
        self._changed.set()

    async def drive(self) -> None:
        """Carry out what comes next until the run is over. Cancelling it leaves the run to the next daemon."""
        try:
            while self.progress.finished is None:
                self._changed.clear()
                try:
                    hold = await self._held(self.start.policy)
                    now = self._tools.world.clock.now()
                    todo = next_orders(self.plan, self.progress, frozenset(self._live), now, hold)
                    for order in todo.orders:
                        await self._carry_out(order)
                except NOT_NOW:  # never act on what is not on record
                    await self._tools.world.clock.sleep(AGAIN_SECONDS)
                    continue
                until = LONGEST_WAIT_SECONDS
                if todo.look_again is not None:
                    until = min(until, max(0.0, (todo.look_again - now).total_seconds()))
                with suppress(TimeoutError):
                    # Not wait_for: Python 3.11's may swallow a cancel that comes together with the event.
                    async with asyncio.timeout(until):
                        await self._changed.wait()
        finally:
            await self._leave()

    async def found_by_hand(self, title: str) -> dict[str, str]:
        """What is seen of a step that a person says to have done: nothing where that cannot be seen now."""
        try:
            async with asyncio.timeout(BY_HAND_SECONDS):
                at = self._situation(title)
                return dict(await self._filled(self._steps[title].action, at).found_by_hand(at))
        except (TimeoutError, DrdError) as error:
            self._tools.log(f"{title}: what was done by hand is not seen: {error}")
        except Exception as bug:  # noqa: BLE001 - a bug in a question leaves the answer open
            await self._bug(title, bug)
        return {}

    async def finish_steps(self, grace_seconds: float) -> None:
        """Give the steps that are under way this long to come to their ends."""
        if self._live:
            await asyncio.wait(self._live.values(), timeout=grace_seconds)

    async def _leave(self) -> None:
        tasks = tuple(self._live.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _carry_out(self, order: Order) -> None:
        match order:
            case Start(step):
                await self._begin(step, Doing.APPLY)
            case Undo(step):
                await self._begin(step, Doing.UNDO)
            case Check(step, doing):
                self._spawn(step, self._check(step, doing))
            case Conclude(step, outcome, message):
                await self._note(StepFinished(step, Doing.APPLY, outcome, message))
            case Cancel(step):
                if (task := self._live.get(step)) is not None:  # it may have ended since the order was given
                    task.cancel()
            case MissDeadline(stage):
                await self._note(DeadlineMissed(stage.name, stage.owner, stage.deputy))
            case Tell(topic, people, text):
                self._spawn(topic, self._tell(topic, people, text))
            case End(outcome, message):
                await self._note(IncidentFinished(self.start.policy, self.start.runbook, outcome, message))

    async def _begin(self, title: str, doing: Doing) -> None:
        planned, step = self.plan.step(title), self._steps[title]
        spec = action_of(step.undo if doing is Doing.UNDO and step.undo is not None else step.action)
        await self._note(StepStarted(planned.stage, title, doing, spec.kind, spec.summary()))
        if planned.waits is None or doing is Doing.UNDO:
            self._spawn(title, self._do(title, doing))

    async def _do(self, title: str, doing: Doing) -> None:
        """Carry a step out, or take it back, and journal what came of it."""
        # A drill only looks: nothing can have taken effect.
        lost = StepOutcome.FAILED if self.start.is_drill else StepOutcome.UNKNOWN
        outcome, message, hint, facts = StepOutcome.FAILED, "", "", {}
        timeout = self._steps[title].timeout
        try:
            async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
                told = await self._act(title, doing)
            outcome = StepOutcome.SUCCEEDED if told is not None else StepOutcome.SKIPPED
            message = "" if told is not None else "it has no form for a drill"
            facts = dict(told or {})
        except TimeoutError:
            outcome, message = lost, f"it took longer than {format_duration(timeout or timedelta())}"
        except DrdError as error:
            outcome = lost if isinstance(error, TransientError) else StepOutcome.FAILED
            message, hint = error.message, error.hint
            if error.detail:
                self._tools.log(f"{title}: {error.detail}")
        except asyncio.CancelledError:
            if self.progress.is_aborted:
                await self._settle(
                    StepFinished(title, doing, StepOutcome.CANCELLED, "the run was aborted in its middle")
                )
            raise
        except Exception as bug:  # noqa: BLE001 - a bug in a step fails that step, not the daemon
            outcome, message = lost, await self._bug(title, bug)
        await self._settle(StepFinished(title, doing, outcome, message, hint, facts))

    async def _act(self, title: str, doing: Doing) -> Facts | None:
        step, at = self._steps[title], self._situation(title)
        if doing is Doing.APPLY:
            action = filled(action_of(step.action), at.variables)
            return await (action.rehearse(at) if self.start.is_drill else action.apply(at))
        if step.undo is not None:
            return await filled(action_of(step.undo), at.variables).apply(at)
        return await filled(action_of(step.action), at.variables).undo(at)

    async def _check(self, title: str, doing: Doing) -> None:
        """Ask whether a step is done, or taken back, already, and journal the answer."""
        answer, facts = Answer.UNKNOWN, {}
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                asked = await self._answer(title, doing)
                if asked is Answer.DONE and doing is Doing.APPLY:
                    at = self._situation(title)
                    facts = dict(await self._filled(self._steps[title].action, at).found(at))
                answer = asked
        except (TimeoutError, DrdError) as error:
            self._tools.log(f"{title}: whether it is done is not known: {error}")
        except Exception as bug:  # noqa: BLE001 - a bug in a question leaves the answer open
            await self._bug(title, bug)
        await self._settle(StepChecked(title, doing, answer, facts))

    async def _answer(self, title: str, doing: Doing) -> Answer:
        step, at = self._steps[title], self._situation(title)
        if doing is Doing.UNDO:
            return Answer.UNKNOWN if step.undo is None else await self._filled(step.undo, at).is_done(at)
        if step.done_when is None:
            return await self._filled(step.action, at).is_done(at)
        try:
            await self._filled(step.done_when, at).apply(at)
        except PermanentError:
            return Answer.NOT_DONE
        return Answer.DONE

    def _filled(self, spec: Any, at: Situation) -> Action:
        return filled(action_of(spec), at.variables)

    def _situation(self, title: str) -> Situation:
        configuration, tools, progress = self._tools.configuration(), self._tools, self.progress.of(title)
        return Situation(
            world=tools.world,
            services=tools.services,
            machines=configuration.machines,
            run=self.run,
            runbook=self.start.runbook,
            policy=self.start.policy,
            stage=self.plan.step(title).stage,
            step=title,
            since=progress.first,
            is_again=progress.first != progress.since,
            timeout=self._steps[title].timeout,
            variables=self.variables,
            members=self._members(),
            done=frozenset(each.action for each in self.plan.steps if self._is_done(each.title)),
            by=self.start.by,
            is_by_person=self.start.cause is Cause.MANUAL,
            ordering=lambda facts: self._note(StepOrdered(title, dict(facts))),
        )

    def _members(self) -> tuple[str, ...]:
        protected = self._tools.configuration().policies.get(self.start.policy)
        return () if protected is None else tuple(protected.policy.nodes)

    def _is_done(self, title: str) -> bool:
        return self.progress.of(title).state is StepState.DONE

    async def _tell(self, topic: str, people: tuple[str, ...], text: str) -> None:
        where = f"{self.start.runbook} for {self.start.policy}, run {self.run}"
        if asks_for_a_decision(topic) and (why := "; ".join(await self.reasons())):
            text = f"{text}: {why}"
        prefix = "DRILL, nothing is wrong: " if self.start.is_drill else ""
        failures = await self._tools.services.tell(people, f"{prefix}{where}: {text}")
        await self._settle(PeopleTold(topic, people, failures))

    async def reasons(self) -> tuple[str, ...]:
        """What whoever approves has to know: why drd started it by itself, and what the failover costs as it is now."""
        why = self.start.words if self.start.cause is not Cause.MANUAL else ""
        cost: tuple[str, ...] = ()
        if self.promotes and "new_primary" not in self.variables:
            try:
                cost = await self._cost()
            except DrdError as error:
                self._tools.log(f"what {self.start.runbook} costs now is not known: {error}")
            except Exception as bug:  # noqa: BLE001 - people are asked all the same
                await self._bug("what it costs", bug)
        now = [each for each in cost if each not in why]
        return tuple(filter(None, (why, f"now: {'; '.join(now)}" if now else "")))

    async def _note(self, body: Body) -> None:
        await self._tools.journal.append(body, run=self.run)

    async def _settle(self, body: Body) -> None:
        """Journal what has happened, whatever it takes: an outcome that is known must not be lost."""
        await to_the_end(self._noted(body))

    async def _noted(self, body: Body) -> None:
        while True:
            try:
                await self._note(body)
            except NOT_NOW:
                await self._tools.world.clock.sleep(AGAIN_SECONDS)
            else:
                return

    async def _bug(self, title: str, bug: Exception) -> str:
        text = "".join(traceback.format_exception(bug, limit=-12))
        await self._settle(BugFound(f"step {title}", type(bug).__name__, text, quarantined=False))
        return f"a mistake in drd ended it: {type(bug).__name__}"

    def _spawn(self, lane: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"runbook {lane}")
        self._live[lane] = task
        task.add_done_callback(lambda done: self._over(lane, done))

    def _over(self, lane: str, task: asyncio.Task[None]) -> None:
        if self._live.get(lane) is task:
            del self._live[lane]
        self._changed.set()


Reader = Callable[[str], Runbook]
"""Reads a runbook from the document that a start has pinned. Raises `DrdError` when this drd cannot."""

Runs = Mapping[str, RunbookRun]
