"""Whether a service is protected as its policy promises, in one word."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drd.core.catalogue import Copy, PolicyRecord, RecoveryPoint, RunRecord
from drd.core.policy import Cause, Mode, Outcome, Policy
from drd.core.standing import Assessment, assess

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
OFFSITE = frozenset({"offsite"})


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


def a_point(age: timedelta, store: str = "local") -> RecoveryPoint:
    copies = (Copy(store, "main", "1f"),)
    return RecoveryPoint("orders", "01RUN", Mode.FULL, NOW - age, Outcome.SUCCEEDED, 1, 1, copies)


def a_record(outcome: Outcome | None = Outcome.SUCCEEDED, age: timedelta = hours(1000)) -> PolicyRecord:
    run = RunRecord(
        "01RUN", "orders", Mode.FULL, Cause.SCHEDULE, NOW - hours(1), NOW, outcome, "it was away", "plug it in"
    )
    return PolicyRecord("orders", NOW - age, {}, {}, run if outcome else None, 0, 1, 0, None)


def assessed(
    newest: dict[str, RecoveryPoint] | None = None,
    policy: Policy | None = None,
    record: PolicyRecord | None = None,
    paused_until: datetime | None = None,
    is_running: bool = False,
) -> Assessment:
    points = {"local": a_point(hours(0.5))} if newest is None else newest
    return assess(policy or a_policy(), record or a_record(), points, OFFSITE, paused_until, is_running, NOW)


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
        "paused", "until 2026-03-02 09:00 UTC", "type: drd resume orders"
    )
    assert assessed(paused_until=NOW).state == "ok"


def test_without_any_point_it_has_never_run() -> None:
    assert assessed({}, record=a_record(None)).state == "never run"


def test_a_point_older_than_the_rpo_is_late() -> None:
    assert assessed({"local": a_point(hours(1))}).state == "ok"
    late = assessed({"local": a_point(hours(1.5))})
    assert (late.state, late.hint) == ("late", "type: drd explain orders")
    assert late.note == "the newest recovery point is 1h 30m old, the RPO is 1h"


def test_without_an_rpo_nothing_is_late() -> None:
    assert assessed({"local": a_point(hours(9999))}, a_policy(rpo=None)).state == "ok"


def test_a_required_copy_that_is_not_there_is_missed() -> None:
    late = assessed(policy=a_policy(rpo=None, copies=2))
    assert (late.state, late.note) == ("late", "1 of 2 required copies exist")


def test_a_store_that_has_been_away_for_weeks_keeps_no_promise() -> None:
    newest = {"local": a_point(hours(0.5)), "offsite": a_point(hours(500), "offsite")}
    assert assessed(newest, a_policy(copies=2)).note == "1 of 2 required copies are within the RPO of 1h"
    assert assessed(newest, a_policy(offsite=1)).note == "0 of 1 required off-site copies are within the RPO of 1h"
    newest["offsite"] = a_point(hours(0.9), "offsite")
    assert assessed(newest, a_policy(copies=2, offsite=1)).state == "ok"


def test_the_first_copies_of_a_new_policy_are_not_missed_yet() -> None:
    new = assessed(policy=a_policy(copies=2), record=a_record(age=hours(0.1)))
    assert new == Assessment("ok", "its first copies are on their way")
