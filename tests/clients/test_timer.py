import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from drd.clients.timer import SchedulerTimer

DEADLINE_SECONDS = 60


@pytest.fixture
async def timer() -> AsyncIterator[SchedulerTimer]:
    made = SchedulerTimer()
    made.start()
    yield made
    made.stop()


class Wakes:
    """Hears wake-ups on the loop and remembers when they came."""

    def __init__(self, wanted: int) -> None:
        self.heard: list[tuple[str, datetime]] = []
        self._wanted = wanted
        self._enough = asyncio.Event()

    def __call__(self, key: str) -> None:
        asyncio.get_running_loop()
        self.heard.append((key, datetime.now(UTC)))
        if len(self.heard) >= self._wanted:
            self._enough.set()

    async def all(self) -> list[str]:
        await asyncio.wait_for(self._enough.wait(), DEADLINE_SECONDS)
        return [key for key, _ in self.heard]


async def test_a_wake_up_comes_at_its_moment_on_the_loop(timer: SchedulerTimer) -> None:
    wakes = Wakes(1)
    moment = datetime.now(UTC) + timedelta(milliseconds=200)
    timer.arm("orders", moment, wakes)
    assert await wakes.all() == ["orders"]
    assert timedelta(0) <= wakes.heard[0][1] - moment < timedelta(seconds=DEADLINE_SECONDS)


async def test_a_moment_in_the_past_wakes_at_once_however_late_it_is(timer: SchedulerTimer) -> None:
    wakes = Wakes(1)
    timer.arm("orders", datetime.now(UTC) - timedelta(days=3), wakes)
    assert await wakes.all() == ["orders"]


async def test_arming_again_replaces_the_wake_up(timer: SchedulerTimer) -> None:
    old, new = Wakes(1), Wakes(1)
    timer.arm("orders", datetime.now(UTC) + timedelta(milliseconds=100), old)
    timer.arm("orders", datetime.now(UTC) + timedelta(milliseconds=200), new)
    await new.all()
    assert old.heard == []


async def test_a_disarmed_key_never_wakes_and_disarming_twice_is_harmless(timer: SchedulerTimer) -> None:
    gone, later = Wakes(1), Wakes(1)
    timer.arm("gone", datetime.now(UTC) + timedelta(milliseconds=100), gone)
    timer.arm("later", datetime.now(UTC) + timedelta(milliseconds=300), later)
    timer.disarm("gone")
    timer.disarm("gone")
    await later.all()
    assert gone.heard == []


async def test_of_two_hundred_wake_ups_at_one_moment_none_is_lost_or_comes_early(timer: SchedulerTimer) -> None:
    wakes = Wakes(200)
    moment = datetime.now(UTC) + timedelta(milliseconds=500)
    for number in range(2000):
        timer.arm(f"policy-{number}", moment if number < 200 else moment + timedelta(hours=1), wakes)
    assert len(set(await wakes.all())) == 200
    assert all(heard >= moment for _, heard in wakes.heard)


async def test_after_stopping_nothing_wakes() -> None:
    timer = SchedulerTimer()
    timer.start()
    wakes = Wakes(1)
    timer.arm("orders", datetime.now(UTC) + timedelta(milliseconds=100), wakes)
    timer.stop()
    timer.stop()
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert wakes.heard == []


async def test_a_naive_moment_is_refused(timer: SchedulerTimer) -> None:
    with pytest.raises(ValueError, match="aware"):
        timer.arm("orders", datetime(2026, 1, 1), Wakes(1))  # noqa: DTZ001 (that is the point)


def test_a_machine_without_a_time_zone_can_wake() -> None:
    script = """
from datetime import UTC, datetime
from drd.clients.timer import SchedulerTimer
SchedulerTimer().arm("orders", datetime(2026, 3, 2, tzinfo=UTC), print)
"""
    words = [sys.executable, "-W", "error", "-P", "-c", script]
    subprocess.run(words, env={**os.environ, "TZ": "No/Where"}, check=True, timeout=60)
