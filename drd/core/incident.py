"""An incident: one run of a runbook, for real or as a drill, with all that the journal tells of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Final

from drd.core.encoding import body_of, moment
from drd.core.events import Body, IncidentStarted, StepAnswered, StepChecked, StepFinished, StepOrdered
from drd.core.fencing import A_PERSON, Rung
from drd.core.policy import Outcome
from drd.core.rows import IncidentRow
from drd.core.runbook import ORDERED_TO_LEAD, SYNCHRONOUS, SYNCHRONOUS_NOW
from drd.core.runbook_plan import RunPlan
from drd.core.runbook_progress import Progress, after

_FENCED_FOR_GOOD: Final = frozenset({Rung.SSH.value, Rung.POWER.value, A_PERSON})
"""By what a node is fenced so that no later run gives it back."""


@dataclass(frozen=True, slots=True)
class IncidentFact:
    """One event of an incident."""

    at: datetime
    body: Body


@dataclass(frozen=True, slots=True)
class IncidentRecord:
    """One run of a runbook. It is open as long as it has no outcome."""

    run: str
    policy: str
    runbook: str
    is_drill: bool
    started: datetime
    finished: datetime | None
    outcome: Outcome | None
    facts: tuple[IncidentFact, ...]
    """Its events, oldest first; the first is its start."""

    @property
    def start(self) -> IncidentStarted:
        """How it began."""
        first = self.facts[0].body
        assert isinstance(first, IncidentStarted)  # noqa: S101 — the projection makes no other
        return first

    @property
    def found(self) -> dict[str, str]:
        """All that its steps have found out, those too that were found done, the latest last."""
        told = (
            fact.body.facts for fact in self.facts if isinstance(fact.body, StepAnswered | StepChecked | StepFinished)
        )
        return {name: value for each in told for name, value in each.items()}

    @property
    def told_to_lead(self) -> str:
        """Who was told to take over and is not known to have done so: it may at any moment. Empty for nobody."""
        told = [fact.body.facts for fact in self.facts if isinstance(fact.body, StepOrdered)]
        return "" if "new_primary" in self.found or not told else told[-1].get(ORDERED_TO_LEAD, "")

    @property
    def seen_to(self) -> frozenset[str]:
        """Who does not and will not lead by an earlier order: fenced by this run for good, or as its starter says."""
        found = self.found
        is_for_good = found.get("fenced_by", "") in _FENCED_FOR_GOOD
        return frozenset(filter(None, (self.start.fenced, found.get("fenced", "") if is_for_good else "")))

    def progress(self, plan: RunPlan) -> Progress:
        """How far it has come, by the plan that its own document gives."""
        began = Progress(self.start.began)
        return reduce(lambda so_far, fact: after(plan, so_far, fact.body, fact.at), self.facts, began)


def told_before(runs: Iterable[IncidentRecord], primary: str) -> IncidentRecord | None:
    """The run that has told somebody to take over who may do so yet; None where none has.

    `runs` are those of its policy, newest first, `primary` is who leads, or did last, and is fenced before another one
    is promoted. It may do so until a later run has fenced it, or was begun by a person who says that it is fenced.
    """
    seen_to = {primary}
    for record in runs:
        if record.is_drill:
            continue
        if told := record.told_to_lead:
            return None if told in seen_to else record
        if "new_primary" in record.found:
            return None
        seen_to |= record.seen_to
    return None


def awaited_before(runs: Iterable[IncidentRecord], now: str) -> str:
    """What commits waited for on the primary that was replaced last, for whoever is brought back in a run of its own.

    `runs` are those of its policy, newest first, `now` is what commits wait for now. Empty where they waited for
    nobody, and where somebody has turned the waiting off since a run of drd had turned it on again.
    """
    has_waited = False
    for record in runs:
        found = {} if record.is_drill else record.found
        has_waited = has_waited or SYNCHRONOUS_NOW in found
        if "new_primary" in found:
            return "" if has_waited and not now else {**record.start.variables, **found}.get(SYNCHRONOUS, "")
    return ""


def incident_of(row: IncidentRow) -> IncidentRecord:
    """The record of a row."""
    return IncidentRecord(
        run=row["run"],
        policy=row["policy"],
        runbook=row["runbook"],
        is_drill=bool(row["is_drill"]),
        started=moment(row["started"]),
        finished=None if row["finished"] is None else moment(row["finished"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        facts=tuple(IncidentFact(moment(at), body_of(kind, fields)) for at, kind, fields in row["facts"]),
    )
