"""What was promised to the users of a service, as it is written."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from drd.core.policy import Objectives, Policy


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        (None, None),
        ("4h per year", (timedelta(hours=4), timedelta(days=365))),
        ("30m per month", (timedelta(minutes=30), timedelta(days=30))),
        ("1m 30s per  day ", (timedelta(seconds=90), timedelta(days=1))),
    ],
)
def test_an_interruption_is_allowed_for_so_long_of_so_long(
    written: str | None, budget: tuple[timedelta, timedelta] | None
) -> None:
    assert Objectives(downtime=written).downtime_budget == budget


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("4h", "it is written like 4h per year"),
        ("4h per decade", "it is written like 4h per year"),
        ("four hours per year", "a duration"),
    ],
)
def test_a_budget_that_cannot_be_read_says_how_it_is_written(written: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Objectives(downtime=written)


def test_the_shortest_rpo_is_that_of_the_disaster_that_may_lose_least() -> None:
    def shortest(rpo: str | None, **disasters: str | None) -> timedelta | None:
        found = {name: {"runbook": name, "rpo": each} for name, each in disasters.items()}
        plan = {"to": ["local"], "keep": {"last": 3}}
        written = {"policy": "orders", "objectives": {"rpo": rpo}, "backup": plan, "disasters": found}
        return Policy.model_validate(written).shortest_rpo

    assert shortest(None) is None
    assert shortest(None, site=None) is None
    assert shortest("5s", hardware=None, site="1m") == timedelta(seconds=5)
    assert shortest("5s", hardware="2s") == timedelta(seconds=2)
    assert shortest(None, hardware="2s") == timedelta(seconds=2)
