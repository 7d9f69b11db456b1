"""Whether a service is protected as its policy promises, in one word."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drd.core.catalogue import PolicyRecord, RunRecord, Suspicion
from drd.core.policy import Cause, Mode, Outcome, Policy
from drd.core.requirements import Place
from drd.core.standing import Assessment, assess

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def a_policy(rpo: str | None = "1h", **require: Any) -> Policy:
    return Policy.model_validate(
        {
            "policy": "orders",
            "objectives": {"rpo": rpo} if rpo else {},
            "backup": {"to": ("local", "offsite"), "keep": {"last": 1}, "require": require},
        }
    )


def places(local: float | None = 0.5, offsite: float | None = None, **more: Any) -> tuple[Place, ...]:
    """The policy's two stores, with the age of the newest copy in each in hours; `more` is about the off-site one."""
    return (
        Place("local", None if local is None else NOW - hours(local)),
        Place("offsite", None if offsite is None else NOW - hours(offsite), None, True, 1.2e6, **more),
    )


def a_record(outcome: Outcome | None = Outcome.SUCCEEDED, age: timedelta = hours(1000)) -> PolicyRecord:
    run = RunRecord(
        "01RUN", "orders", Mode.FULL, Cause.SCHEDULE, NOW - hours(1), NOW, outcome, "it was away", "plug it in"
    )
    return PolicyRecord("orders", NOW - age, {}, {}, run if outcome else None, 0, 1, 0, None)


def assessed(
    known: tuple[Place, ...] | None = None,
    policy: Policy | None = None,
    record: PolicyRecord | None = None,
    paused_until: datetime | None = None,
    is_running: bool = False,
) -> Assessment:
    known = places() if known is None else known
    return assess(policy or a_policy(), record or a_record(), known, paused_until, is_running, NOW)


def test_what_keeps_its_promise_is_ok() -> None:
    assert assessed() == Assessment("ok")


@pytest.mark.parametrize(("outcome", "state"), [(Outcome.FAILED, "failed"), (Outcome.INCOMPLETE, "incomplete")])
def test_a_bad_last_run_is_told_with_its_own_words(outcome: Outcome, state: str) -> None:
    assert assessed(record=a_record(outcome)) == Assessment(state, "it was away", "plug it in")  # type: ignore[arg-type]


def test_a_bad_last_run_is_told_before_a_pause() -> None:
    assert assessed(record=a_record(Outcome.FAILED), paused_until=NOW + hours(1)).state == "failed"


def test_a_cancelled_run_alone_is_no_failure() -> None:
    assert assessed(record=a_record(Outcome.CANCELLED)).state == "ok"


def test_a_run_under_way_is_told() -> None:
    assert assessed(record=a_record(Outcome.FAILED), is_running=True).state == "running"


def test_a_pause_is_told_until_it_is_over() -> None:
    assert assessed(paused_until=NOW + hours(1)) == Assessment(
        "paused", "until 2026-03-02 09:00+00:00", "type: drd resume orders"
    )
    assert assessed(paused_until=NOW).state == "ok"


def test_without_any_point_it_has_never_run() -> None:
    assert assessed(places(None), record=a_record(None)).state == "never run"


def test_a_point_older_than_the_rpo_is_late() -> None:
    assert assessed(places(1)).state == "ok"
    late = assessed(places(1.5))
    assert (late.state, late.hint) == ("late", "type: drd explain orders")
    assert late.note == "the newest recovery point is 1h 30m old, the RPO is 1h"


def test_wal_that_is_safe_here_keeps_the_rpo_between_two_points() -> None:
    old = places(1.5)
    assert assess(a_policy(), a_record(), old, None, False, NOW, received=NOW - hours(0.5)).state == "ok"
    assert assess(a_policy(), a_record(), old, None, False, NOW, received=NOW - hours(3)).state == "late"
    assert assess(a_policy(), a_record(), places(None), None, False, NOW, received=NOW).state == "never run"


def test_without_an_rpo_nothing_is_late() -> None:
    assert assessed(places(9999), a_policy(rpo=None)).state == "ok"


def test_a_required_copy_that_is_not_there_is_missed() -> None:
    late = assessed(policy=a_policy(rpo=None, copies=2))
    assert (late.state, late.note) == ("late", "copies: 1 of 2: store offsite has none")


def test_of_several_clauses_the_worst_is_told_and_how_many_more_there_are() -> None:
    late = assessed(policy=a_policy(copies=2, offsite=1, distance="500 km"))
    assert late.note == "copies: 1 of 2: store offsite has none (and 2 more)"


def test_what_waiting_does_not_heal_is_lacking_and_told_first() -> None:
    known = places(0.5, 0.5, is_immutable=True, broken_promise="has no object lock by default")
    lacking = assessed((*known, Place("attic", None)), a_policy(copies=3, immutable=1), a_record(age=hours(0.1)))
    assert lacking == Assessment(
        "lacking",
        "immutable: 0 of 1: store offsite has no object lock by default (and 1 more)",
        "type: drd explain orders",
    )


def test_a_suspicion_is_told_before_all_else_with_what_to_type() -> None:
    suspicion = Suspicion("99 % of the files changed, usual is 1 %", NOW, "01RUN")
    suspect = assessed(policy=a_policy(copies=2), record=replace(a_record(), suspicion=suspicion))
    assert suspect == Assessment(
        "suspect",
        "99 % of the files changed, usual is 1 %; until somebody has looked nothing of it is forgotten",
        "look at the source and at drd points orders; when you know why, type: drd release --policy orders",
    )


def test_the_first_copies_of_a_new_policy_are_not_missed_yet() -> None:
    new = assessed(policy=a_policy(copies=2), record=a_record(age=hours(0.1)))
    assert new == Assessment("ok", "its first copies are on their way")
