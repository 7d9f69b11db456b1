"""When policies are submitted, and what holds them back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from drd.core.events import ClockStepped, Paused, PolicyAdded, RunStarted
from drd.core.policy import Cause, Mode
from drd.core.schedule import Reason
from drd.daemon.startup import resume_work
from drd.engines.run_result import Request
from drd.ports.configuration import Protected
from tests.fakes.clock import START
from tests.fakes.house import FakeHouse, a_policy, minutes, protected

pytestmark = pytest.mark.looptime
HOUR = 3600


def every(interval: str, name: str = "orders", **more: Any) -> Protected:
    return protected(a_policy(name, to=("local",), full={"every": interval}, **more))


@asynccontextmanager
async def scheduled(house: FakeHouse) -> AsyncIterator[asyncio.Task[None]]:
    """The scheduler loaded and under way."""
    await resume_work(house.house, house.in_force())
    await house.scheduler.load(house.dispatch)
    task = asyncio.create_task(house.scheduler.serve())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await house.dispatch.drain(0)


def starts(house: FakeHouse, policy: str = "orders") -> list[float]:
    """Minutes since the beginning at which runs of a policy started."""
    return [
        round((event.at - START).total_seconds() / 60, 1)
        for event in house.journal.events
        if isinstance(event.body, RunStarted) and event.body.policy == policy
    ]


async def test_a_new_policy_runs_at_once_and_then_at_its_interval() -> None:
    house = FakeHouse(every("10m"))
    async with scheduled(house):
        await asyncio.sleep(29 * 60)
    assert starts(house) == [0.0, 10.0, 20.0]
    assert {fact.cause for fact in house.journal.of(RunStarted)} == {Cause.SCHEDULE}


async def test_what_was_missed_while_the_daemon_was_off_is_made_up_once() -> None:
    house = FakeHouse(every("4h"))
    async with scheduled(house):
        await asyncio.sleep(60)
    await asyncio.sleep(13 * HOUR)
    house = FakeHouse(after=house)
    async with scheduled(house):
        await asyncio.sleep(60)
    assert len(house.journal.of(RunStarted)) == 2
    assert house.journal.of(RunStarted)[1].cause is Cause.CATCH_UP


async def test_a_run_that_fails_is_tried_again_less_and_less_often() -> None:
    house = FakeHouse(every("1h"))
    house.local.away = "unplugged"
    async with scheduled(house):
        await asyncio.sleep(35 * 60)
    assert starts(house) == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]


async def test_a_busy_machine_holds_a_run_back_for_an_hour_at_most() -> None:
    house = FakeHouse(every("24h", window={"cpu": "50 %"}))
    house.host.busy = 0.9
    async with scheduled(house):
        await asyncio.sleep(HOUR + 60)
    assert starts(house) == [60.0]


async def test_a_busy_machine_never_holds_a_run_back_beyond_half_its_rpo() -> None:
    house = FakeHouse(every("30m", window={"cpu": "50 %"}, objectives={"rpo": "80m"}))
    async with scheduled(house):
        await asyncio.sleep(60)
        house.host.busy = 0.9
        await asyncio.sleep(HOUR)
    assert starts(house)[0] == 0.0
    assert 40 < starts(house)[1] <= 41


async def test_a_machine_that_is_free_again_runs_within_half_a_minute() -> None:
    house = FakeHouse(every("24h", window={"memory": "10 %"}))
    house.host.memory_free = 0.05
    async with scheduled(house):
        await asyncio.sleep(600)
        house.host.memory_free = 0.5
        await asyncio.sleep(60)
    assert 10 <= starts(house)[0] <= 10.6


async def test_a_run_that_is_made_up_after_hours_is_also_held_back_by_a_busy_machine() -> None:
    house = FakeHouse(every("24h", window={"cpu": "50 %"}))
    async with scheduled(house):
        await asyncio.sleep(60)
    await asyncio.sleep(30 * HOUR)
    house = FakeHouse(after=house)
    house.host.busy = 0.9
    async with scheduled(house):
        await asyncio.sleep(600)
        assert len(starts(house)) == 1
        house.host.busy = 0.1
        await asyncio.sleep(60)
    assert len(starts(house)) == 2


async def test_a_clock_set_forward_brings_due_runs_forward() -> None:
    house = FakeHouse(every("4h"))
    async with scheduled(house):
        await asyncio.sleep(60)
        house.clock.step(timedelta(hours=5))
        await asyncio.sleep(60)
    assert len(house.journal.of(RunStarted)) == 2
    assert [round(fact.seconds) for fact in house.journal.of(ClockStepped)] == [5 * HOUR]


async def test_a_clock_set_back_neither_doubles_nor_stalls_an_interval() -> None:
    house = FakeHouse(every("1h"))
    async with scheduled(house):
        await asyncio.sleep(30 * 60)
        house.clock.step(-timedelta(hours=6))
        await asyncio.sleep(29 * 60)
        assert len(house.journal.of(RunStarted)) == 1
        await asyncio.sleep(2 * 60)
        assert len(house.journal.of(RunStarted)) == 2
        await asyncio.sleep(HOUR)
    assert len(house.journal.of(RunStarted)) == 3


async def test_a_paused_policy_waits_and_goes_on_by_itself() -> None:
    house = FakeHouse(every("10m"))
    async with scheduled(house):
        await asyncio.sleep(60)
        await house.journal.append(Paused("orders", "backup", START + minutes(25), "a migration", "anna"))
        await house.journal.append(Paused("orders", "all", START + minutes(15), "shorter", "anna"))
        await house.scheduler.take_pauses("orders")
        await asyncio.sleep(30 * 60)
    assert starts(house)[:2] == [0.0, 25.0]


async def test_a_pause_outlives_the_daemon() -> None:
    house = FakeHouse(every("1h"))
    await house.journal.append(Paused("orders", "all", START + minutes(30), "", "anna"))
    async with scheduled(house):
        await asyncio.sleep(35 * 60)
    assert starts(house) == [30.0]


async def test_a_quarantined_policy_is_not_started_by_itself() -> None:
    house = FakeHouse(every("1h"))

    def break_(work: str) -> None:
        if work == "save":
            raise KeyError("a mistake")

    house.repository("local").before = break_
    async with scheduled(house):
        await asyncio.sleep(HOUR)
    assert len(house.journal.of(RunStarted)) == 3


async def test_a_reload_that_removes_a_policy_during_its_run_lets_the_run_end() -> None:
    house = FakeHouse(every("1h"), every("1h", "logs"))
    house.repository("local").seconds["save"] = 600
    async with scheduled(house):
        await asyncio.sleep(60)
        house.put_in_force(every("1h", "logs"))
        await resume_work(house.house, house.in_force())
        await house.scheduler.load(house.dispatch)
        await asyncio.sleep(HOUR)
    assert starts(house) == [0.0]
    assert len(starts(house, "logs")) == 2
    assert ("orders", "succeeded") in [(name, str(result.outcome)) for name, result in house.told.ended]


async def test_a_policy_that_comes_back_while_its_run_goes_on_is_scheduled_again() -> None:
    house = FakeHouse(every("20m"))
    house.repository("local").seconds["save"] = 600
    async with scheduled(house):
        await asyncio.sleep(60)
        for policies in ((), (every("20m"),)):
            house.put_in_force(*policies)
            await resume_work(house.house, house.in_force())
            await house.scheduler.load(house.dispatch)
            await asyncio.sleep(60)
        await asyncio.sleep(40 * 60)
    assert starts(house) == [0.0, 20.0, 40.0]


async def test_a_policy_that_left_the_configuration_a_moment_ago_does_not_end_the_loop() -> None:
    house = FakeHouse(every("1h", window={"cpu": "50 %"}))
    async with scheduled(house) as task:
        await asyncio.sleep(30 * 60)
        house.in_force.replace(FakeHouse(every("1h", "logs")).in_force())
        house.scheduler.wake("orders")
        await asyncio.sleep(31 * 60)
        assert not task.done()


async def test_a_run_that_a_person_started_counts() -> None:
    house = FakeHouse(every("1h"))
    async with scheduled(house):
        await asyncio.sleep(40 * 60)
        house.dispatch.submit(Request("orders", Mode.FULL, Cause.MANUAL))
        await asyncio.sleep(HOUR - 60)
        assert starts(house) == [0.0, 40.0]


async def test_a_full_state_disk_ends_nothing_and_runs_go_on_when_there_is_room() -> None:
    house = FakeHouse(every("1h"))
    async with scheduled(house) as task:
        await asyncio.sleep(60)
        house.journal.is_full = True
        house.clock.step(timedelta(hours=2))
        await asyncio.sleep(600)
        assert not task.done()
        house.journal.is_full = False
        await asyncio.sleep(HOUR)
        assert len(house.journal.of(RunStarted)) >= 2
    assert [round(fact.seconds) for fact in house.journal.of(ClockStepped)] == [2 * HOUR]


async def test_it_ticks_every_second() -> None:
    house = FakeHouse(every("1h"))
    async with scheduled(house):
        await asyncio.sleep(100.5)
    assert 100 <= house.tick.count <= 105


async def test_the_verdict_says_what_a_policy_waits_for() -> None:
    house = FakeHouse(every("1h"))
    async with scheduled(house):
        await asyncio.sleep(60)
        verdict = house.scheduler.verdict("orders")
        assert verdict is not None
        assert (verdict.reason, verdict.wake) == (Reason.SLOT, START + minutes(60))
        assert house.scheduler.verdict("attic") is None


async def test_of_a_thousand_policies_two_hundred_that_fall_due_together_are_all_submitted_at_once() -> None:
    many = [every("5m", f"p{number:04}") for number in range(200)]
    rest = [every("24h", f"q{number:04}") for number in range(800)]
    house = FakeHouse(*many, *rest)
    house.local.identity, house.local.passwords = "5e" * 32, {b"credential local-password"}
    async with scheduled(house):
        await asyncio.sleep(60)
        assert len(house.journal.of(RunStarted)) == 1000
        before = len(house.journal.events)
        await asyncio.sleep(300)
        due = [event for event in house.journal.events[before:] if isinstance(event.body, RunStarted)]
        assert len(due) == 200
        assert max((event.at - START).total_seconds() for event in due) < 302


async def test_two_hundred_that_ask_for_the_load_share_one_measurement() -> None:
    house = FakeHouse(*(every("1h", f"p{number:04}", window={"cpu": "50 %"}) for number in range(200)))
    house.host.seconds = 1.0
    async with scheduled(house):
        await asyncio.sleep(30)
        assert len(house.journal.of(RunStarted)) == 200
    assert house.host.asked <= 2


async def test_the_first_run_is_owed_from_when_the_policy_was_first_seen() -> None:
    house = FakeHouse(every("1h", objectives={"rpo": "2h"}))
    await house.journal.append(PolicyAdded("orders"))
    async with scheduled(house):
        await asyncio.sleep(60)
    assert len(house.journal.of(PolicyAdded)) == 1


@pytest.mark.parametrize(
    ("window", "why"),
    [
        ({"cpu": "50 %"}, "the processors are 90 % busy, and window: cpu: allows 50 %"),
        ({"memory": "10 %"}, "5 % of the memory is free, and window: memory: demands 10 %"),
        ({"cpu": "95 %", "memory": "2 %"}, ""),
    ],
)
async def test_why_a_busy_machine_holds_a_run_back_is_told_as_long_as_it_does(window: dict[str, str], why: str) -> None:
    house = FakeHouse(every("24h", window=window))
    house.host.busy, house.host.memory_free = 0.9, 0.05
    async with scheduled(house):
        await asyncio.sleep(600)
        assert house.scheduler.why_held("orders") == why
        await asyncio.sleep(HOUR)
        assert house.scheduler.why_held("orders") == ""
        assert len(starts(house)) == 1
