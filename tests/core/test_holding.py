"""What pauses keep runs from that are under way."""

from datetime import UTC, datetime, timedelta

import pytest

from drd.core.catalogue import Pause
from drd.core.holding import NO_HOLD, Hold, hold_of

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_pause(what: str, policy: str = "orders", until: datetime = NOW + HOUR) -> Pause:
    return Pause(policy, what, until, f"of {what}", "bob")


@pytest.mark.parametrize(
    ("pauses", "hold"),
    [
        ((), NO_HOLD),
        ((a_pause("backup"),), NO_HOLD),
        ((a_pause("failover", "payments"), a_pause("runbooks", "payments")), NO_HOLD),
        ((a_pause("failover", until=NOW), a_pause("runbooks", until=NOW)), NO_HOLD),
        ((a_pause("failover"),), Hold("paused by bob: of failover")),
        ((a_pause("all"),), Hold("paused by bob: of all")),
        ((a_pause("all"), a_pause("runbooks")), Hold("paused by bob: of all", "paused by bob: of runbooks")),
    ],
)
def test_a_pause_of_failovers_holds_consent_and_the_kill_switch_every_step(
    pauses: tuple[Pause, ...], hold: Hold
) -> None:
    assert hold_of(pauses, "orders", NOW) == hold
