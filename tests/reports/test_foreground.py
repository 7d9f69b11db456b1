"""What a terminal shows of the daemon's events."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from drd.core.events import Body, Event, MirrorFinished, WalForgotten, WalInterrupted, WalShipped
from drd.reports.foreground import Foreground

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


def shipped(store: str = "local.wal", policy: str = "orders") -> WalShipped:
    return WalShipped(policy, store, "0" * 64, "73", "000000010000000000000001", 2**24, "0/2000000", BEGIN, ())


def mirrored(store: str, *, is_complete: bool = True) -> MirrorFinished:
    return MirrorFinished(store, "local", is_complete, 3, 1024, 1.0, 0, "")


def shown(*bodies: tuple[float, Body]) -> list[str]:
    foreground = Foreground()
    events = [
        Event("daemon", sequence, BEGIN + timedelta(seconds=seconds), "boot", sequence, None, 0, body, "ab" * 32)
        for sequence, (seconds, body) in enumerate(bodies, 1)
    ]
    return [line for event in events if (line := foreground.line(event, ZONE)) is not None]


def test_routine_batches_of_wal_take_one_line_a_minute_which_counts_the_others() -> None:
    lines = shown(*((at, shipped(store)) for at in range(0, 121, 15) for store in ("local.wal", "offsite.wal")))
    assert len(lines) == 3
    assert "wal shipped" in lines[0]
    assert "more since" not in lines[0]
    assert lines[1].endswith("(7 more since the last such line)")


def test_each_policy_has_its_own_line() -> None:
    assert len(shown((0, shipped()), (1, shipped(policy="payments")), (2, shipped()))) == 2


def test_rounds_of_mirrors_of_wal_and_its_tidying_are_not_shown() -> None:
    assert not shown((0, mirrored("offsite.wal")), (1, WalForgotten("orders", "local.wal", ("1", "2"))))


def test_everything_else_is_shown_at_once() -> None:
    lines = shown(
        (0, shipped()),
        (1, WalInterrupted("orders", "the server is away", "")),
        (2, WalForgotten("orders", "local.wal", ("1",), ("000000010000000000000001",))),
        (3, mirrored("offsite")),
        (4, mirrored("offsite.wal", is_complete=False)),
    )
    assert len(lines) == 5


def test_a_clock_that_was_set_back_hides_nothing_for_longer() -> None:
    assert len(shown((3600, shipped()), (0, shipped()))) == 2
