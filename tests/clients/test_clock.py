"""The machine's clocks."""

from datetime import UTC, timedelta

from drd.clients.clock import SystemClock


def test_wall_time_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_the_boot_has_an_id_that_stays() -> None:
    assert SystemClock().boot_id == SystemClock().boot_id
    assert len(SystemClock().boot_id) == 36


async def test_sleeping_takes_at_least_as_long_as_asked() -> None:
    clock = SystemClock()
    before = clock.monotonic()

    await clock.sleep(0.05)

    assert clock.monotonic() - before >= 0.05
