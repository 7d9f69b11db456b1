"""Incidents as they are told: the timeline, the stages, what a person is waited for, and the times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Final

from drd.core.errors import DrdError, UsageError
from drd.core.events import (
    AbortAsked,
    Body,
    DeadlineMissed,
    IncidentFinished,
    IncidentStarted,
    LossMeasured,
    PeopleTold,
    RunbookEdited,
    StandbysGivenBack,
    StepAnswered,
    StepChecked,
    StepFinished,
    StepOrdered,
    StepStarted,
)
from drd.core.holding import NO_HOLD, Hold, hold_of
from drd.core.incident import IncidentRecord
from drd.core.policy import Cause
from drd.core.recovery import recovery_times
from drd.core.runbook import Runbook
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.core.runbook_progress import Progress, StepState
from drd.core.runbook_step import Choice, Doing, Silence, StepOutcome, Waiting
from drd.core.runbook_telling import asked_at
from drd.core.units import format_size
from drd.daemon.house import House
from drd.daemon.who import who_did_what
from drd.engines.runbook_plan import plan_of
from drd.ports.incidents import IncidentStatus, Question, StageLine, StepLine, TimelineLine, Times
from drd.ports.machines import Contact, speakers

NEWEST = 50
_OUTCOMES: Final = {StepOutcome.SUCCEEDED: "done", StepOutcome.UNKNOWN: "nobody knows whether it was done"}


async def incident_statuses(house: House, policy: str | None) -> tuple[IncidentStatus, ...]:
    """The newest runs of runbooks, newest first."""
    found = await house.catalogue.incidents(policy, NEWEST)
    return tuple([await incident_status(house, each) for each in found])


async def find_incident(house: House, run: str) -> IncidentRecord:
    """One run by its id, or the newest of a runbook by its name: an open one first. Raises `UsageError`."""
    record = await house.catalogue.incident(run)
    if record is not None:
        return record
    named = [each for each in await house.catalogue.incidents(None, NEWEST) if each.runbook == run]
    if not named:
        raise UsageError(f"there is no incident {run}", "type: drd incident list")
    return next((each for each in named if each.finished is None), named[0])


async def incident_status(house: House, record: IncidentRecord) -> IncidentStatus:
    """One run of a runbook as it is told."""
    try:
        runbook = house.runbooks.read(record.start.document)
        plan = plan_of(runbook, house.in_force().contacts)
    except DrdError:  # another version of drd has run it: what it did is told all the same
        runbook, plan = None, _plan_of_facts(record)
    progress = record.progress(plan)
    is_open = record.finished is None
    hold = hold_of(await house.catalogue.pauses(), record.policy, house.clock.now()) if is_open else NO_HOLD
    cause = "".join(f"; {each}" for each in await _reasons(house, record)) if is_open else ""
    questions = tuple(_questions(plan, progress, hold, cause, house.in_force().contacts)) if is_open else ()
    policy = await house.catalogue.policy(record.policy)
    times = recovery_times(record, plan, () if policy is None else policy.outages)
    return IncidentStatus(
        run=record.run,
        runbook=record.runbook,
        policy=record.policy,
        disaster=record.start.disaster,
        is_drill=record.is_drill,
        by=record.start.by,
        words=record.start.words,
        digest=record.start.digest,
        state=record.outcome.value
        if record.outcome is not None
        else "waiting"
        if questions or hold.steps
        else "running",
        outcome=record.outcome,
        started=record.started,
        finished=record.finished,
        message=_message(record),
        stages=tuple(_stages(plan, progress)),
        steps=tuple(_steps(plan, progress, runbook)),
        questions=questions,
        held=hold.steps,
        edited=_edited(house, record) if is_open else "",
        timeline=tuple(TimelineLine(at=each.at, text=text) for each in record.facts if (text := words_of(each.body))),
        who=who_did_what(record),
        times=Times(
            **asdict(times),
            rta=times.rta,
            rta_at_most=times.rta_at_most,
            is_kept=times.is_kept,
            rpa=times.rpa,
            is_rpo_kept=times.is_rpo_kept,
        ),
    )


async def waiting_incidents(house: House) -> tuple[str, ...]:
    """The runs that wait for a person, a sentence each, for `drd status`."""
    open_ones = [await incident_status(house, each) for each in await house.catalogue.open_incidents()]
    held = [
        f"the runbook {each.runbook} waits, {each.held}; to let it go on, type: drd resume {each.policy}"
        for each in open_ones
        if each.held
    ]
    asked = [
        f"the runbook {each.runbook} waits for a person: {each.questions[0].step}; type: drd incident show {each.run}"
        for each in open_ones
        if each.questions
    ]
    return (*held, *asked)


def _edited(house: House, record: IncidentRecord) -> str:
    found = house.in_force().runbooks.get(record.runbook)
    if found is not None and found.digest == record.start.digest:
        return ""
    what = "was changed" if found is not None else "is gone"
    return f"the runbook's file {what} since: this run goes on by what it began with, digest {record.start.digest[:16]}"


def _plan_of_facts(record: IncidentRecord) -> RunPlan:
    """As much of the plan as the steps that were begun tell."""
    begun = [fact.body for fact in record.facts if isinstance(fact.body, StepStarted)]
    stages = tuple(PlannedStage(name, "", timedelta()) for name in dict.fromkeys(each.stage for each in begun))
    steps = {each.step: PlannedStep(each.step, each.stage, each.action, each.summary) for each in begun}
    return RunPlan(stages, tuple(steps.values()))


def _message(record: IncidentRecord) -> str:
    ends = (fact.body.message for fact in record.facts if isinstance(fact.body, IncidentFinished))
    return next(ends, "")


def _stages(plan: RunPlan, progress: Progress) -> list[StageLine]:
    return [
        StageLine(
            stage=stage.name,
            owner=stage.owner,
            deadline=progress.began + stage.deadline,
            is_missed=stage.name in progress.missed,
            is_over=all(progress.of(step.title).is_settled for step in plan.of_stage(stage.name)),
        )
        for stage in plan.stages
    ]


def _steps(plan: RunPlan, progress: Progress, runbook: Runbook | None) -> list[StepLine]:
    stages = () if runbook is None else runbook.stages
    by_hand = {step.title: step.by_hand or "" for stage in stages for step in stage.steps}
    return [
        StepLine(
            stage=step.stage,
            step=step.title,
            state=progress.of(step.title).state.value,
            since=progress.of(step.title).since,
            message=progress.of(step.title).message,
            by_hand=by_hand.get(step.title, ""),
        )
        for step in plan.steps
    ]


async def _reasons(house: House, record: IncidentRecord) -> tuple[str, ...]:
    """What whoever approves has to know. Where no daemon drives the run, that is why drd started it by itself."""
    for run in house.runbooks.under_way():
        if run.run == record.run:
            return await run.reasons()
    return () if record.start.cause is Cause.MANUAL or not record.start.words else (record.start.words,)


def _questions(
    plan: RunPlan, progress: Progress, hold: Hold, cause: str, contacts: Mapping[str, Contact]
) -> list[Question]:
    found = []
    for step in plan.steps:
        at = progress.of(step.title)
        if at.state is StepState.ASKING:
            found.append(Question(step=step.title, choices=(Choice.AGAIN, Choice.DONE), why=f"{at.message}{cause}"))
        elif at.state is StepState.RUNNING and step.waits is not None and _is_for_anybody(step.waits):
            silence = f"; silence means {step.waits.silence.value}" if step.waits.within is not None else ""
            why = f"it waits for a person{silence}"
            found.append(Question(step=step.title, choices=(Choice.APPROVE, Choice.REFUSE), why=why))
        elif at.state is StepState.RUNNING and step.waits is not None and step.waits.people:
            asked, silence = " or ".join(step.waits.people), f"silence means {step.waits.silence.value}"
            is_consent = step.waits.silence is Silence.CONTINUE
            if is_consent and hold.consent:
                silence = f"silence means nothing while it is {hold.consent}"
            elif is_consent and asked_at(progress.told, step.title) is None:
                silence = "silence means nothing, for nobody was reached yet"
            may = f"; who may answer: {', '.join(who)}" if (who := speakers(step.waits.people, contacts)) else ""
            why = f"{asked} asked for approval; {silence}{may}{cause}"
            found.append(Question(step=step.title, choices=(Choice.APPROVE, Choice.REFUSE), why=why))
    return found


def _is_for_anybody(waits: Waiting) -> bool:
    return waits.is_for_anybody or (waits.within is None and not waits.people)


def words_of(body: Body) -> str:
    """One event of an incident in words; empty for what says nothing to people."""
    match body:
        case IncidentStarted() | RunbookEdited():
            return _run_words(body)
        case StepStarted(step=step, doing=doing, summary=summary):
            return f"{'taking back: ' if doing is Doing.UNDO else ''}{step} ({summary})"
        case StepChecked(step=step, answer=answer):
            return f"asked whether it is done: {step}: {answer.value}"
        case StepOrdered() | StepFinished() | LossMeasured() | StandbysGivenBack():
            return _step_words(body)
        case StepAnswered(step=step, choice=choice, by=by, words=words):
            return f"{by} says {choice.value}: {step}" + (f": {words}" if words else "")
        case DeadlineMissed(stage=stage, deputy=deputy, owner=owner):
            return f"deadline of {stage} missed; {deputy or owner} is told"
        case PeopleTold(topic=topic, people=people, failures=failures):
            return f"told {', '.join(people)}: {topic}" + (f"; not reached: {'; '.join(failures)}" if failures else "")
        case AbortAsked(by=by, words=words, takes_back=takes_back):
            return f"{by} ends it{' and has it taken back' if takes_back else ''}: {words}"
        case IncidentFinished(outcome=outcome, message=message):
            return f"over: {outcome.value}" + (f": {message}" if message else "")
        case _:
            return ""


def _run_words(body: IncidentStarted | RunbookEdited) -> str:
    if isinstance(body, IncidentStarted):
        kind, said = "drill" if body.is_drill else "run", f": {body.words}" if body.words else ""
        return f"{kind} started by {body.by}{said}" + (f"; although {'; '.join(body.against)}" if body.against else "")
    if body.is_as_begun:
        return "the runbook's file says again what the run began with"
    what = f"file changed to {body.digest[:16]}" if body.digest else "file is gone"
    return f"the runbook's {what}; the run goes on by what it began with"


def _step_words(body: StepOrdered | StepFinished | LossMeasured | StandbysGivenBack) -> str:
    if isinstance(body, StepOrdered):
        return f"{', '.join(body.facts.values())} is to lead"
    if isinstance(body, LossMeasured):
        lost = "" if body.lost_bytes is None else f": {format_size(body.lost_bytes)} of log"
        return f"measured what was lost{lost}"
    if isinstance(body, StandbysGivenBack):
        nodes = " and ".join(body.nodes)
        return f"{body.primary} answers again, so {nodes} may receive from it: a fence by revoke holds no longer"
    words = body.message or body.facts.get("note", "")
    said = f": {words}" if words else ""
    if body.doing is Doing.UNDO:
        return f"{'taken back' if body.outcome is StepOutcome.SUCCEEDED else 'NOT taken back'}: {body.step}{said}"
    return f"{_OUTCOMES.get(body.outcome, body.outcome.value)}: {body.step}{said}"
