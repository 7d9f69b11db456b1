"""Runs: what they save where, and that they say honestly what came of it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from drd.core.errors import SourceRefused, TransientError
from drd.core.events import PolicyAdded, RunFinished, RunStarted, SnapshotCreated, StoreCreated, StoreWentAway
from drd.core.policy import Mode, Outcome
from drd.engines.run_result import judge
from drd.engines.work_queues import JobClass
from drd.ports.repository import Saved, SaveOutcome
from tests.fakes.clock import START
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.source import FakeSource

pytestmark = pytest.mark.looptime


async def test_a_run_saves_its_source_into_the_first_store_and_is_on_record() -> None:
    house = FakeHouse()
    result = await house.run(run="01RUN")
    assert result.outcome is Outcome.SUCCEEDED
    assert [type(event.body) for event in house.journal.events] == [
        RunStarted,
        StoreCreated,
        SnapshotCreated,
        RunFinished,
    ]
    [point] = await house.journal.points("orders")
    assert point.is_good
    assert point.stores == ("local",)
    assert point.total_bytes == result.total_bytes == 605
    [snapshot] = house.local.snapshots.values()
    assert {"drd", "policy=orders", "run=01RUN", "part=main", "parts=1", "kind=full"} <= set(snapshot.tags)
    assert not any(tag.startswith("outcome=") for tag in snapshot.tags)


async def test_what_a_person_should_know_of_a_good_run_stands_in_the_journal() -> None:
    house = FakeHouse(protected(a_policy(), main=FakeSource(note="2 other file systems are left out")))
    assert (await house.run()).outcome is Outcome.SUCCEEDED
    assert [fact.message for fact in house.journal.of(RunFinished)] == ["2 other file systems are left out"]


async def test_what_a_source_says_of_its_part_is_in_the_tags_and_on_record() -> None:
    ended = START - timedelta(minutes=5, microseconds=1)
    house = FakeHouse(
        protected(a_policy(), base=FakeSource(moment=ended, facts=("source=fake", "of=it")), files=FakeSource())
    )
    await house.run(run="01RUN")
    base, files = house.local.snapshots.values()
    ended_at = START - timedelta(minutes=5)
    assert {"of=it", "source=fake", f"at={ended_at:%Y-%m-%dT%H:%M:%SZ}"} <= set(base.tags)
    assert f"at={START:%Y-%m-%dT%H:%M:%SZ}" in files.tags
    [point] = await house.journal.points("orders")
    assert (point.moment, point.facts) == (ended_at, {"base": ("of=it", "source=fake")})


def in_two_steps(**more: Any) -> FakeSource:
    ended = START + timedelta(minutes=5)
    return FakeSource(rest="/rest", note="read in place", moment=ended, facts=("of=it",), **more)


async def test_what_makes_data_whole_is_saved_after_it_and_says_of_which_moment_both_are() -> None:
    house = FakeHouse(protected(a_policy(), base=in_two_steps(), files=FakeSource(moment=START + timedelta(hours=1))))
    house.disk.folders["/rest"] = {"label": b"here"}
    result = await house.run(run="01RUN")
    assert (result.outcome, result.message) == (Outcome.SUCCEEDED, "read in place")
    data, rest, files = house.local.snapshots.values()
    assert {"part=base.data", "part-of=base", "parts=3"} <= set(data.tags)
    assert {"part=base", "of=it", "parts=3"} <= set(rest.tags)
    assert {"part=files", "parts=3"} <= set(files.tags)
    [point] = await house.journal.points("orders")
    assert point.moment == START + timedelta(minutes=5)
    assert point.parts == {"base", "files"}
    assert {copy.part for copy in point.copies} == {"base.data", "base", "files"}


async def test_data_that_nothing_makes_whole_is_no_recovery_point() -> None:
    house = FakeHouse(protected(a_policy(), base=in_two_steps(spoilt=TransientError("the server ended it", "again"))))
    result = await house.run(run="01RUN")
    assert (result.outcome, result.message) == (Outcome.FAILED, "the server ended it")
    assert not any(point.is_good for point in await house.journal.points("orders"))
    assert [set(each.tags) & {"part=base.data", "parts=2"} for each in house.local.snapshots.values()] == [
        {"part=base.data", "parts=2"}
    ]


async def test_a_store_that_is_away_gives_way_to_the_next() -> None:
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")
    house.local.away = "the disk is unplugged"
    await house.clock.sleep(700)
    result = await house.run(run="02RUN")
    assert result.outcome is Outcome.SUCCEEDED
    point = (await house.journal.points("orders"))[-1]
    assert point.stores == ("offsite",)
    assert [fact.store for fact in house.journal.of(StoreWentAway)] == ["local"]


async def test_a_store_that_goes_away_in_the_middle_gives_way_to_the_next() -> None:
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")

    def fail(work: str) -> None:
        if work == "end of save":
            house.local.away = "it hangs"

    house.repository("local").before = fail
    result = await house.run(run="02RUN")
    assert result.outcome is Outcome.SUCCEEDED
    assert (await house.journal.points("orders"))[-1].stores == ("offsite",)


async def test_a_run_without_any_store_that_answers_fails_and_says_which() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    house.local.away = "the disk is unplugged"
    result = await house.run()
    assert result.outcome is Outcome.FAILED
    assert "the disk is unplugged" in result.message
    assert house.journal.of(RunFinished)[0].outcome is Outcome.FAILED


async def test_a_run_says_which_store_it_wrote_to_or_was_to_write_to() -> None:
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")
    house.local.away = "the disk is unplugged"
    await house.clock.sleep(700)
    await house.run()
    house.offsite.passwords = {b"another"}
    await house.clock.sleep(700)
    await house.run()
    house.offsite.away = "the line is cut"
    await house.clock.sleep(700)
    await house.run()
    assert [(fact.store, fact.outcome) for fact in house.journal.of(RunFinished)] == [
        ("local", Outcome.SUCCEEDED),
        ("offsite", Outcome.SUCCEEDED),
        ("offsite", Outcome.FAILED),
        ("local", Outcome.FAILED),
    ]


async def test_a_source_that_is_refused_fails_the_run_with_its_own_words() -> None:
    refusal = SourceRefused("/srv is not mounted", "mount /srv")
    house = FakeHouse(protected(a_policy(), main=FakeSource(refusal=refusal)))
    result = await house.run()
    assert (result.outcome, result.message, result.hint) == (Outcome.FAILED, "/srv is not mounted", "mount /srv")
    assert not house.local.snapshots


async def test_a_producer_that_dies_saves_nothing() -> None:
    house = FakeHouse(protected(a_policy(), main=FakeSource(program="pg_dump")))
    result = await house.run()
    assert result.outcome is Outcome.FAILED
    assert not house.local.snapshots
    assert await house.journal.points("orders") == ()


async def test_what_a_producer_said_is_shown_and_never_journaled() -> None:
    refusal = SourceRefused("the program pg_dump ended with exit code 1", "look at the log", 'row "Smith" is broken')
    house = FakeHouse(protected(a_policy(), main=FakeSource(refusal=refusal)))
    result = await house.run()
    assert result.whole_message == 'the program pg_dump ended with exit code 1: row "Smith" is broken'
    [finished] = house.journal.of(RunFinished)
    assert (finished.message, finished.hint) == ("the program pg_dump ended with exit code 1", "look at the log")


async def test_an_incomplete_run_does_not_move_the_recovery_point() -> None:
    house = FakeHouse()
    await house.run(run="01GOOD")
    house.disk.unreadable["/srv"] = 2
    result = await house.run(run="02BAD")
    assert result.outcome is Outcome.INCOMPLETE
    assert "2 items" in result.message
    newest = (await house.journal.newest_points())["orders", "local"]
    assert newest.run == "01GOOD"
    record = await house.journal.policy("orders")
    assert record is None  # nobody has loaded the policy


async def test_a_source_that_shrank_beyond_its_guard_fails_the_run() -> None:
    house = FakeHouse(protected(a_policy(guard={"shrink": "30 %"})))
    await house.journal.append(PolicyAdded("orders"))
    await house.run(run="01GOOD")
    house.disk.folders["/srv"] = {"readme": b"hello"}
    result = await house.run(run="02BAD")
    assert result.outcome is Outcome.FAILED
    assert "shrunk from 605 B to 5 B" in result.message
    assert (await house.journal.newest_points())["orders", "local"].run == "01GOOD"
    record = await house.journal.policy("orders")
    assert record is not None
    assert record.last_total_bytes == 605


async def test_a_run_is_stopped_at_its_deadline() -> None:
    house = FakeHouse(protected(a_policy(deadline="10m")))
    house.repository("local").seconds["save"] = 3600
    began = asyncio.get_running_loop().time()
    result = await house.run()
    assert asyncio.get_running_loop().time() - began == 600
    assert result.outcome is Outcome.FAILED
    assert "deadline of 10m" in result.message
    assert house.local.shared == 0


async def test_a_time_out_that_is_not_the_deadline_is_not_called_the_deadline() -> None:
    house = FakeHouse()

    def fail(work: str) -> None:
        if work == "save":
            raise TimeoutError("a socket")

    house.repository("local").before = fail
    with pytest.raises(TimeoutError):
        await house.run()
    [finished] = house.journal.of(RunFinished)
    assert (finished.outcome, finished.message) == (Outcome.FAILED, "a mistake in drd ended the run")


async def test_a_cancelled_run_is_on_record_as_cancelled() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 3600
    task = asyncio.create_task(house.run())
    await asyncio.sleep(60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [finished] = house.journal.of(RunFinished)
    assert (finished.outcome, finished.seconds) == (Outcome.CANCELLED, 60)
    assert await house.journal.unfinished() == ()


async def test_a_run_that_is_cancelled_twice_still_puts_its_end_on_record_before_it_ends() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 3600
    task = asyncio.create_task(house.run())
    await asyncio.sleep(60)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert len(house.journal.of(RunFinished)) == 1


async def test_a_full_reads_everything_again_and_an_incremental_does_not() -> None:
    house = FakeHouse()
    asked: list[bool] = []
    repository = house.repository("local")
    save = repository.save

    async def watch(request: Any, on_progress: Any) -> Saved:
        asked.append(request.reread_everything)
        return await save(request, on_progress)

    repository.save = watch  # type: ignore[method-assign]
    await house.run(mode=Mode.FULL)
    await house.run(mode=Mode.INCREMENTAL)
    assert asked == [True, False]


@pytest.mark.parametrize(("window", "share"), [({}, 1.0), ({"cpu": "30 %"}, 0.3), ({"cpu": "0 %"}, 0.0)])
async def test_restic_gets_no_more_of_the_processors_than_the_window_says(window: dict[str, str], share: float) -> None:
    house = FakeHouse(protected(a_policy(window=window)))
    asked: list[float] = []
    repository = house.repository("local")
    save = repository.save

    async def watch(request: Any, on_progress: Any) -> Saved:
        asked.append(request.processor_share)
        return await save(request, on_progress)

    repository.save = watch  # type: ignore[method-assign]
    await house.run()
    assert asked == [share]


async def test_several_sources_make_one_recovery_point_of_several_parts() -> None:
    policy = protected(a_policy(), files=FakeSource(path="/srv"), database=FakeSource(program="pg_dump"))
    house = FakeHouse(policy)
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    await house.run()
    [point] = await house.journal.points("orders")
    assert {copy.part for copy in point.copies} == {"files", "database"}
    assert point.total_bytes == 605 + 12
    assert all("parts=2" in snapshot.tags for snapshot in house.local.snapshots.values())


async def test_the_moment_of_a_point_is_when_reading_began_and_not_when_it_was_queued() -> None:
    house = FakeHouse()
    house.repository("local").seconds["prune"] = 1800
    await house.stores.open("local", may_make=True)
    pruning = asyncio.create_task(house.retain.prune("local"))
    await asyncio.sleep(1)
    await house.run()
    await pruning
    [point] = await house.journal.points("orders")
    assert (point.moment - START).total_seconds() == 1800


async def test_a_wrong_password_fails_the_run_and_is_no_absence() -> None:
    house = FakeHouse()
    await house.run()
    house.local.passwords = {b"another"}
    result = await house.run()
    assert result.outcome is Outcome.FAILED
    assert "password" in result.message
    assert house.journal.of(StoreWentAway) == []


@pytest.mark.parametrize("obstacle", ["is_full", "is_locked"])
async def test_a_run_whose_point_stands_succeeds_although_the_journal_takes_nothing_now(obstacle: str) -> None:
    policy = protected(a_policy(), files=FakeSource(), database=FakeSource(program="pg_dump"))
    house = FakeHouse(policy)
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    house.repository("local").seconds["save"] = 60
    task = asyncio.create_task(house.run(run="01RUN"))
    await asyncio.sleep(90)
    setattr(house.journal, obstacle, True)
    assert (await task).outcome is Outcome.SUCCEEDED
    assert house.journal.of(SnapshotCreated) == []
    setattr(house.journal, obstacle, False)
    await house.backup.outbox.pay()
    [point] = await house.journal.points("orders")
    assert (point.run, point.is_good, len(point.copies)) == ("01RUN", True, 2)
    assert [type(event.body) for event in house.journal.events[-3:]] == [SnapshotCreated, SnapshotCreated, RunFinished]
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.SUCCEEDED]


async def test_a_full_state_disk_at_the_end_of_a_run_that_fails_puts_its_end_on_record_later() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 60
    task = asyncio.create_task(house.run())
    await asyncio.sleep(30)
    house.journal.is_full = True
    house.disk.unreadable["/srv"] = 2
    result = await task
    assert result.outcome is Outcome.INCOMPLETE
    assert house.backup.outbox.owed == 2
    house.journal.is_full = False
    await house.backup.outbox.pay()
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.INCOMPLETE]
    assert await house.journal.unfinished() == ()


async def test_a_run_whose_beginning_cannot_be_put_on_record_does_not_begin() -> None:
    house = FakeHouse()
    house.journal.is_full = True
    result = await house.run()
    assert result.outcome is Outcome.FAILED
    assert house.local.identity is None
    assert house.backup.outbox.owed == 0


async def test_a_run_shows_its_progress_while_it_lasts_and_not_after() -> None:
    house = FakeHouse()
    watching = asyncio.ensure_future(anext(house.board.follow("01RUN")))
    await asyncio.sleep(0)
    await house.run(run="01RUN")
    assert (await watching).done_bytes == 605
    assert house.board.latest("01RUN") is None


async def test_who_waits_for_a_run_is_told_what_it_waits_for() -> None:
    house = FakeHouse()

    async def check() -> None:
        async with house.queues.take("local", JobClass.CHECK, 1):
            await asyncio.sleep(600)

    checking = asyncio.create_task(check())
    watching = asyncio.ensure_future(anext(house.board.follow("01RUN")))
    await asyncio.sleep(0)
    running = asyncio.create_task(house.run(run="01RUN"))
    assert (await watching).phase == "waiting for the check in store local"
    assert (await running).outcome is Outcome.SUCCEEDED
    await checking


def a_saved(total: int, outcome: SaveOutcome = SaveOutcome.COMPLETE, unreadable: int = 0) -> Saved:
    return Saved("1f", outcome, START, 1.0, total, 1, total, unreadable=unreadable)


async def test_what_accompanies_a_source_makes_it_no_larger_and_its_lack_no_smaller() -> None:
    policy = a_policy(guard={"shrink": "30 %"})
    house = FakeHouse(protected(policy, main=FakeSource(accompanying=600)))
    await house.journal.append(PolicyAdded("orders"))
    first = await house.run(run="01WITH")
    house.disk.folders["/srv"] = {"readme": b"hello"}
    house = FakeHouse(protected(policy, main=FakeSource()), after=house)
    second = await house.run(run="02WITHOUT")
    assert (first.total_bytes, second.total_bytes) == (5, 5)
    assert second.outcome is Outcome.SUCCEEDED
    [_, created] = house.journal.of(SnapshotCreated)
    assert created.total_bytes == 5


def test_a_first_run_has_nothing_to_have_shrunk_from() -> None:
    assert judge({"main": a_saved(1)}, None, 0.3).outcome is Outcome.SUCCEEDED


def test_a_run_exactly_at_its_guard_is_good() -> None:
    assert judge({"main": a_saved(70)}, 100, 0.3).outcome is Outcome.SUCCEEDED
    assert judge({"main": a_saved(69)}, 100, 0.3).outcome is Outcome.FAILED


def test_one_unreadable_part_makes_the_whole_run_incomplete() -> None:
    parts = {"files": a_saved(5), "database": a_saved(5, SaveOutcome.INCOMPLETE, 3)}
    result = judge(parts, None, 0.3)
    assert result.outcome is Outcome.INCOMPLETE
    assert result.message.startswith("3 items")


def test_a_part_of_which_every_file_was_excluded_fails_unless_it_may_be_empty() -> None:
    nothing = Saved("1f", SaveOutcome.COMPLETE, START, 1.0, 0, 0, 0)
    result = judge({"main": nothing}, None, 0.3, frozenset({"main"}))
    assert result.outcome is Outcome.FAILED
    assert "not a single file" in result.message
    assert judge({"main": nothing}, None, 0.3).outcome is Outcome.SUCCEEDED
