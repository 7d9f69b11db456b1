"""How long a recovery took, and of what that time was made: computed from the incident's events and nothing else.

RTA = t_up - t_bad. The parts are told apart by what the run was doing at each moment, so they add up by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from drd.core.events import LossMeasured, StepAnswered, StepChecked, StepFinished, StepStarted
from drd.core.incident import IncidentRecord
from drd.core.outage import Outage
from drd.core.runbook import HANDS_OVER
from drd.core.runbook_plan import RunPlan
from drd.core.runbook_progress import Progress, StepState, after
from drd.core.runbook_step import Doing

_NONE = timedelta()
_LOST = "lost_transactions"


@dataclass(frozen=True, slots=True)
class RecoveryTimes:
    """The moments and sums of one incident; None for what has not happened (yet)."""

    bad: datetime
    """The outage's first symptom: the first failed look at the service, or else what the start says."""
    declared: datetime
    """When the primary was judged to be lost, or somebody called for the run."""
    start: datetime
    good: datetime | None = None
    """When the service was last seen to answer before; None where nobody looked at it."""
    fenced: datetime | None = None
    promoted: datetime | None = None
    up: datetime | None = None
    """When the service was first seen to answer again: by the looks at it, or else by a step of the run."""
    detect: timedelta = _NONE
    """Until it was declared."""
    decide: timedelta = _NONE
    """From there until the runbook began."""
    human_wait: timedelta = _NONE
    """While a person was waited for."""
    act: timedelta = _NONE
    verify: timedelta = _NONE
    rto: timedelta | None = None
    """What was promised when it began."""
    rpo: timedelta | None = None
    newest: datetime | None = None
    """When the newest record that survived was written, by the heartbeat in the database."""
    rpa_doubt: timedelta | None = None
    """By how much less may have been lost: the records are so far apart."""
    lost_bytes: int | None = None
    """Of log that the old primary was seen to have, and the new one lacks."""
    stopped: datetime | None = None
    """When the old primary took no writes any more: fenced, or dead before."""
    lost_transactions: int | None = None
    """So many were committed on the old primary alone, by its own log; None where nobody has read that (yet)."""
    lost_bound: str = ""
    """Between which positions nobody can tell that, where that log is not all there."""
    stranded: str = ""
    """Where they are listed, and where that log lies."""

    @property
    def rpa(self) -> timedelta | None:
        """The newest data that was lost, at most; None where nothing measured it."""
        if self.newest is None or self.stopped is None:
            return None
        return max(_NONE, self.stopped - self.newest)

    @property
    def is_rpo_kept(self) -> bool | None:
        """Whether the RPO was kept; None where none was promised, or nothing measured it."""
        return None if self.rpa is None or self.rpo is None else self.rpa <= self.rpo

    @property
    def rta(self) -> timedelta | None:
        """How long users were without the service."""
        return None if self.up is None else self.up - self.bad

    @property
    def rta_at_most(self) -> timedelta | None:
        """How long at most: since they were last seen to be served. None where nobody looked as they do."""
        return None if self.up is None or self.good is None else self.up - self.good

    @property
    def is_kept(self) -> bool | None:
        """Whether the RTO was kept; None where none was promised, or the service is not back."""
        return None if self.rta is None or self.rto is None else self.rta <= self.rto


def recovery_times(record: IncidentRecord, plan: RunPlan, outages: Iterable[Outage] = ()) -> RecoveryTimes:
    """The times of an incident. `outages` of the service, as users saw them, are believed before the run's steps."""
    start = record.start
    rto = None if start.rto_seconds is None else timedelta(seconds=start.rto_seconds)
    outage = None if record.is_drill else _seen(record, outages)
    bad, up = (start.began, _first(record, "up")) if outage is None else (outage.bad, outage.up)
    loss = next((fact.body for fact in record.facts if isinstance(fact.body, LossMeasured)), None)
    lost, bounded = _lost(record), _bounded(record)
    sums = dict.fromkeys(("human_wait", "act", "verify"), _NONE)
    progress, before = Progress(start.began), max(record.started, bad)
    for fact in record.facts:
        until = fact.at if up is None else min(fact.at, up)
        if until > before:
            sums[_doing(plan, progress)] += until - before
            before = until
        progress = after(plan, progress, fact.body, fact.at)
    if up is not None and up > before:
        sums["verify"] += up - before  # the run is over, and the service did not answer yet
    began = max(bad, record.started if up is None else min(record.started, up))
    declared = start.declared or record.started
    detected = min(max(bad, declared), began)
    return RecoveryTimes(
        bad=bad,
        declared=declared,
        start=record.started,
        good=None if outage is None else outage.good,
        fenced=_first(record, "fenced"),
        promoted=_first(record, "new_primary"),
        up=up,
        detect=detected - bad,
        decide=began - detected,
        rto=rto,
        rpo=None if start.rpo_seconds is None else timedelta(seconds=start.rpo_seconds),
        newest=None if loss is None else loss.newest,
        rpa_doubt=None if loss is None or loss.every_seconds is None else timedelta(seconds=loss.every_seconds),
        lost_bytes=None if loss is None else loss.lost_bytes,
        stopped=start.began if start.was_dead else _first(record, "fenced"),
        lost_transactions=int(lost[_LOST]) if lost else None,
        lost_bound=bounded.get("lost", ""),
        stranded=lost.get("stranded", "") or bounded.get("stranded", ""),
        **sums,
    )


def _seen(record: IncidentRecord, outages: Iterable[Outage]) -> Outage | None:
    """The outage that the run was about: the first one that lasted while it ran, or since its first symptom."""
    begin, end = min(record.start.began, record.started), record.finished
    begun = (each for each in outages if end is None or each.bad <= end)
    return min((each for each in begun if each.up is None or each.up >= begin), key=lambda each: each.bad, default=None)


def expected(records: tuple[IncidentRecord, ...], step: str) -> timedelta | None:
    """How long a step took in the newest of these runs in which it succeeded; None where it never did."""
    for record in records:
        began: datetime | None = None
        for fact in record.facts:
            match fact.body:
                case StepStarted(step=title, doing=Doing.APPLY) if title == step:
                    began = fact.at
                case StepFinished(step=title, doing=Doing.APPLY, outcome="succeeded") if title == step and began:
                    return fact.at - began
    return None


def promoted_at(record: IncidentRecord) -> datetime | None:
    """When a lost primary was replaced in a run that is over; a drill or a run that did not get there has none.

    Nor has one that handed over in order: nothing was lost there, so it says nothing about the next loss.
    """
    if record.is_drill or record.finished is None:
        return None
    orderly = {
        fact.body.step for fact in record.facts if isinstance(fact.body, StepStarted) and fact.body.action == HANDS_OVER
    }
    return next((at for at, done in _done(record) if "new_primary" in done.facts and done.step not in orderly), None)


def _done(record: IncidentRecord) -> Iterator[tuple[datetime, StepFinished | StepChecked | StepAnswered]]:
    """What was found out, and when: at a step's end, when it was asked whether it is done, or by a person's word."""
    said = StepFinished | StepChecked | StepAnswered
    return ((fact.at, fact.body) for fact in record.facts if isinstance(fact.body, said))


def _first(record: IncidentRecord, name: str) -> datetime | None:
    return next((at for at, done in _done(record) if name in done.facts), None)


def _lost(record: IncidentRecord) -> Mapping[str, str]:
    """What the step has found out that read the log of the old primary; another one may have read a standby's."""
    found = (done.facts for _, done in _done(record) if _LOST in done.facts)
    return max(found, key=lambda facts: int(facts[_LOST]), default={})


def _bounded(record: IncidentRecord) -> Mapping[str, str]:
    """The same of a step that has found that log not to be all there."""
    found = (done.facts for _, done in _done(record) if "stranded" in done.facts and _LOST not in done.facts)
    return next(found, {})


def _doing(plan: RunPlan, progress: Progress) -> str:
    """What a run is doing: waiting for a person outweighs all else, for it is what holds the rest up."""
    states = [(step, progress.of(step.title).state) for step in plan.steps]
    if any(state is StepState.ASKING for _, state in states):
        return "human_wait"
    running = [step for step, state in states if state is StepState.RUNNING]
    if any(step.waits is not None and (step.waits.people or step.waits.within is None) for step in running):
        return "human_wait"
    return "verify" if running and all(step.action == "verify" for step in running) else "act"
