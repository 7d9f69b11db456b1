"""What an incident leaves for the runs after it."""

from datetime import UTC, datetime

import pytest

from drd.core.events import Body, IncidentStarted, StepAnswered, StepChecked, StepFinished, StepOrdered
from drd.core.incident import IncidentFact, IncidentRecord, awaited_before, told_before
from drd.core.policy import Cause
from drd.core.runbook import ORDERED_TO_LEAD
from drd.core.runbook_plan import RunPlan
from drd.core.runbook_step import Answer, Choice, Doing, StepOutcome

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
RULE, OLDER = 'FIRST 1 ("two")', 'ANY 2 ("two", "three")'


def a_run(
    *told: Body, is_drill: bool = False, cause: Cause = Cause.MANUAL, fenced: str = "", **variables: str
) -> IncidentRecord:
    words = ("payments", "loss", "hardware", "5e", "{}", cause, "anna", "", NOON, is_drill, ())
    facts = tuple(IncidentFact(NOON, body) for body in (IncidentStarted(*words, variables, fenced=fenced), *told))
    return IncidentRecord("01RUN", "payments", "loss", is_drill, NOON, None, None, facts)


def ended(**facts: str) -> StepFinished:
    return StepFinished("move", Doing.APPLY, StepOutcome.SUCCEEDED, facts=facts)


FOUND = StepChecked("move", Doing.APPLY, Answer.DONE, {"new_primary": "two"})
MOVED = a_run(ended(new_primary="two", synchronous=RULE))
FOUND_MOVED = a_run(FOUND, synchronous=RULE)
UNMOVED = a_run(ended(fenced="one"), new_primary="typed-by-a-person", synchronous=OLDER)
BACK = a_run(ended(synchronous_now=RULE), synchronous=RULE)


def test_who_was_told_to_lead_and_is_not_seen_to_may_do_so_yet() -> None:
    told = StepOrdered("move", {"ordered_to_lead": "two"})
    assert a_run().told_to_lead == ""
    assert a_run(told).told_to_lead == "two"
    by_hand = StepAnswered("move", Choice.DONE, "anna", "", {"new_primary": "two"})
    for seen in (FOUND, ended(new_primary="two"), by_hand):
        assert a_run(told, seen).told_to_lead == ""


@pytest.mark.parametrize(
    ("runs", "now", "awaited"),
    [
        ([], RULE, ""),
        ([UNMOVED], "", ""),
        ([MOVED], "", RULE),
        ([FOUND_MOVED], "", RULE),
        ([UNMOVED, a_run(FOUND, is_drill=True, synchronous=OLDER), MOVED], "", RULE),
        ([MOVED, a_run(FOUND, synchronous=OLDER)], "", RULE),
        ([a_run(FOUND), MOVED], "", ""),
        ([BACK, MOVED], RULE, RULE),
        ([BACK, MOVED], "", ""),
    ],
    ids=[
        "nothing was replaced",
        "a run that did not get there",
        "what the promotion told",
        "what the run began with",
        "drills and others are passed over",
        "the newest counts",
        "commits waited for nobody before the last one",
        "another one is back already",
        "a person has turned it off since",
    ],
)
def test_who_is_brought_back_is_waited_for_as_before_the_primary_was_replaced(
    runs: list[IncidentRecord], now: str, awaited: str
) -> None:
    assert awaited_before(runs, now) == awaited


TOLD = StepOrdered("move", {ORDERED_TO_LEAD: "two"})


@pytest.mark.parametrize(
    ("later", "primary", "may_yet"),
    [
        ([], "one", True),
        ([], "", True),
        ([], "two", False),
        ([a_run(is_drill=True)], "one", True),
        ([a_run(FOUND, is_drill=True)], "one", True),
        ([a_run(cause=Cause.HEALTH)], "one", True),
        ([a_run(ended(new_primary="three"), cause=Cause.HEALTH)], "one", False),
        ([a_run(cause=Cause.MANUAL)], "one", True),
        ([a_run(fenced="three"), a_run()], "one", True),
        ([a_run(), a_run(fenced="two")], "one", False),
        ([a_run(ended(fenced="two", fenced_by="ssh"))], "one", False),
        ([a_run(ended(fenced="two", fenced_by="a person"))], "one", False),
        ([a_run(ended(fenced="two", fenced_by="revoke"))], "one", True),
        ([a_run(ended(fenced="one", fenced_by="power"))], "one", True),
    ],
    ids=[
        "nothing has happened since",
        "nobody knows who leads",
        "it leads",
        "a drill tells nothing",
        "nor does one that says who leads",
        "a run that drd has begun did not get there",
        "another one leads since",
        "a person has begun a run since, and said nothing of it",
        "a person has begun a run since, and said of another one that it is fenced",
        "a person has begun a run since, and said that it is fenced",
        "a run has fenced it since",
        "a person has fenced it in a run since",
        "a run has cut it off since, which is taken back",
        "a run has fenced the other one",
    ],
)
def test_who_was_told_to_lead_may_do_so_after_its_run_is_over(
    later: list[IncidentRecord], primary: str, may_yet: bool
) -> None:
    run = a_run(TOLD, cause=Cause.HEALTH)
    assert told_before([*later, run], primary) == (run if may_yet else None)


def test_who_was_told_to_lead_may_do_so_at_any_moment_until_it_is_known_who_does() -> None:
    first, other = (StepOrdered("move", {ORDERED_TO_LEAD: name}) for name in ("two", "three"))
    assert a_run().told_to_lead == ""
    assert a_run(first).told_to_lead == "two"
    assert a_run(first, other).told_to_lead == "three", "the order that was given last"
    assert a_run(first, ended(new_primary="two")).told_to_lead == ""
    assert a_run(StepOrdered("move", {"other": "two"})).told_to_lead == ""
    assert a_run(first).progress(RunPlan((), ())).of("move").facts == {ORDERED_TO_LEAD: "two"}
