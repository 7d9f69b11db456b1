"""Starting runs: one a policy, each to an end that is on record."""

import asyncio

import pytest

from drd.core.errors import PermanentError
from drd.core.events import BugFound, PolicyAdded, RunFinished, RunStarted, SnapshotCreated
from drd.core.policy import Cause, Mode, Outcome
from drd.engines.dispatch import Ticket
from drd.engines.run_result import Request
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.source import FakeSource

pytestmark = pytest.mark.looptime

REQUEST = Request("orders", Mode.FULL, Cause.SCHEDULE)


def submitted(house: FakeHouse, request: Request = REQUEST) -> Ticket:
    ticket = house.dispatch.submit(request)
    assert ticket is not None
    return ticket


def with_a_bug(house: FakeHouse) -> None:
    def break_(work: str) -> None:
        if work == "save":
            raise KeyError("a mistake")

    house.repository("local").before = break_


async def test_a_policy_runs_once_at_a_time_and_others_join() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 60
    first = submitted(house)
    assert submitted(house, Request("orders", Mode.INCREMENTAL, Cause.MANUAL)) is first
    await asyncio.sleep(30)
    assert house.dispatch.is_running("orders")
    await first.task
    assert not house.dispatch.is_running("orders")
    assert len(house.journal.of(RunStarted)) == 1


async def test_a_policy_that_is_not_there_is_named() -> None:
    with pytest.raises(PermanentError, match="no policy attic"):
        FakeHouse().dispatch.submit(Request("attic", Mode.FULL, Cause.MANUAL))


async def test_a_bug_fails_its_run_with_its_traceback_on_record() -> None:
    house = FakeHouse()
    with_a_bug(house)
    result = await submitted(house).task
    assert result.outcome is Outcome.FAILED
    [bug] = house.journal.of(BugFound)
    assert (bug.unit, bug.error, bug.quarantined) == ("run of orders", "KeyError", False)
    assert "a mistake" in bug.traceback
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.FAILED]


async def test_the_third_bug_in_a_row_quarantines_the_policy() -> None:
    house = FakeHouse()
    with_a_bug(house)
    for count in range(3):
        assert not house.dispatch.is_quarantined("orders"), count
        await submitted(house).task
    assert house.dispatch.quarantined() == {"orders"}
    assert [fact.quarantined for fact in house.journal.of(BugFound)] == [False, False, True]


async def test_a_run_without_a_bug_begins_the_count_anew() -> None:
    house = FakeHouse()
    for _ in range(2):
        with_a_bug(house)
        await submitted(house).task
        await submitted(house).task
        house.repository("local").before = lambda work: None
        await submitted(house).task
    assert not house.dispatch.is_quarantined("orders")


async def test_draining_gives_runs_their_grace_and_starts_nothing() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 30
    ticket = submitted(house)
    await asyncio.sleep(1)
    await house.dispatch.drain(60)
    assert (await ticket.task).outcome is Outcome.SUCCEEDED
    assert asyncio.get_running_loop().time() == 30
    assert house.dispatch.submit(REQUEST) is None


async def test_draining_cancels_after_the_grace_and_waits_for_the_end_on_record() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 3600
    submitted(house)
    await asyncio.sleep(1)
    await house.dispatch.drain(60)
    assert asyncio.get_running_loop().time() == 61
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.CANCELLED]
    assert [result.outcome for _, result in house.told.ended] == [Outcome.CANCELLED]
    assert house.dispatch.running() == ()


async def test_a_drain_that_is_cut_short_leaves_the_run_to_the_next() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 3600
    ticket = submitted(house)
    patient = asyncio.create_task(house.dispatch.drain(600))
    await asyncio.sleep(1)
    patient.cancel()
    await asyncio.gather(patient, return_exceptions=True)
    assert not ticket.task.done()
    await house.dispatch.drain(0)
    assert len(house.journal.of(RunFinished)) == 1


async def test_a_full_state_disk_during_a_bug_does_not_escape_the_run() -> None:
    house = FakeHouse()

    def break_(work: str) -> None:
        if work == "save":
            house.journal.is_full = True
            raise KeyError("a mistake")

    house.repository("local").before = break_
    result = await submitted(house).task
    assert result.outcome is Outcome.FAILED
    assert house.backup.outbox.owed == 2


async def test_a_run_that_a_crash_cut_off_is_ended_as_cancelled() -> None:
    house = FakeHouse()
    await house.journal.append(PolicyAdded("orders"))
    await house.journal.append(RunStarted("orders", Mode.FULL, Cause.SCHEDULE, None), run="01CUT")
    [record] = await house.dispatch.end_interrupted_runs()
    assert record.run == "01CUT"
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.CANCELLED]
    assert await house.journal.unfinished() == ()
    policy = await house.journal.policy("orders")
    assert policy is not None
    assert Mode.FULL not in policy.last_success_start


async def _crash_after_the_snapshot(house: FakeHouse, outcome: Outcome, *parts: str) -> None:
    await house.journal.append(PolicyAdded("orders"))
    await house.journal.append(RunStarted("orders", Mode.FULL, Cause.SCHEDULE, None), run="01CUT")
    now = house.clock.now()
    for part in parts:
        body = SnapshotCreated("orders", part, "local", f"1f-{part}", now, Mode.FULL, outcome, 605, 2, 605, 1.0)
        await house.journal.append(body, run="01CUT")
    await house.dispatch.end_interrupted_runs()


async def test_a_run_whose_every_part_stands_ended_well_whatever_became_of_its_daemon() -> None:
    house = FakeHouse()
    await _crash_after_the_snapshot(house, Outcome.SUCCEEDED, "main")
    [finished] = house.journal.of(RunFinished)
    assert (finished.outcome, finished.total_bytes) == (Outcome.SUCCEEDED, 605)
    assert (await house.journal.newest_points())["orders", "local"].run == "01CUT"


async def test_a_run_that_was_incomplete_before_the_crash_stays_incomplete() -> None:
    house = FakeHouse()
    await _crash_after_the_snapshot(house, Outcome.INCOMPLETE, "main")
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.INCOMPLETE]


@pytest.mark.parametrize("change", ["removed", "another part added"])
async def test_a_run_that_left_its_point_ended_well_whatever_became_of_its_policy(change: str) -> None:
    house = FakeHouse()
    if change == "removed":
        house.put_in_force()
    else:
        house.put_in_force(protected(a_policy(), main=FakeSource(), database=FakeSource(program="pg_dump")))
    await _crash_after_the_snapshot(house, Outcome.SUCCEEDED, "main")
    [finished] = house.journal.of(RunFinished)
    assert (finished.outcome, finished.message, finished.total_bytes) == (Outcome.SUCCEEDED, "", 605)
    assert (await house.journal.newest_points())["orders", "local"].run == "01CUT"


async def test_a_run_keeps_the_policy_it_began_with() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 60
    ticket = submitted(house)
    await asyncio.sleep(1)
    house.put_in_force()
    assert (await ticket.task).outcome is Outcome.SUCCEEDED
