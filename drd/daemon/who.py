"""Who did what in an incident: drd itself, and each person by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set

from drd.core.events import AbortAsked, Body, DeadlineMissed, IncidentStarted, PeopleTold, StepAnswered, StepFinished
from drd.core.incident import IncidentRecord
from drd.core.runbook_step import Doing, StepOutcome
from drd.ports.incidents import WhoLine

DRD = "drd"


def who_did_what(record: IncidentRecord) -> tuple[WhoLine, ...]:
    """A line each, in the order in which they came in; what somebody did several times is counted."""
    answered = {fact.body.step for fact in record.facts if isinstance(fact.body, StepAnswered)}
    deeds = Counter(deed for fact in record.facts for deed in _deeds(fact.body, answered))
    people = dict.fromkeys(who for who, _ in deeds)
    return tuple(
        WhoLine(who=who, did="; ".join(_counted(did, count) for (name, did), count in deeds.items() if name == who))
        for who in people
    )


def _counted(did: str, count: int) -> str:
    return did if count == 1 else f"{did}, {count} times"


def _deeds(body: Body, answered: Set[str]) -> Iterator[tuple[str, str]]:
    match body:
        case IncidentStarted(by=by, is_drill=is_drill):
            yield by, "started the drill" if is_drill else "started the run"
        case StepFinished(doing=Doing.UNDO, outcome=StepOutcome.SUCCEEDED):
            yield DRD, "took a step back"
        case StepFinished(step=step, outcome=StepOutcome.SUCCEEDED) if step not in answered:
            yield DRD, "did a step"
        case StepFinished(step=step, outcome=StepOutcome.FAILED | StepOutcome.UNKNOWN):
            yield DRD, f"failed at: {step}"
        case StepAnswered(step=step, choice=choice, by=by):
            yield by, f"said {choice.value}: {step}"
        case DeadlineMissed(stage=stage, owner=owner):
            yield owner, f"was late with {stage}"
        case PeopleTold(people=people, failures=failures):
            for person in people:
                is_missed = any(each.startswith((f"{person} ", f"{person}:")) for each in failures)
                yield person, "was not reached" if is_missed else "was told"
        case AbortAsked(by=by):
            yield by, "ended it"
