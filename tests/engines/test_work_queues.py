"""Whose turn it is in a store."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drd.core.errors import TransientError
from drd.engines.work_queues import JobClass, WorkQueues
from tests.fakes.clock import FakeClock

EXCLUSIVE = (JobClass.CHECK, JobClass.FORGET, JobClass.PRUNE)


class Work:
    """Jobs in one store; `log` says who began, in order."""

    def __init__(self, at_once: int = 2, patience: float = 3600) -> None:
        self.queues = WorkQueues(FakeClock(), patience)
        self.at_once = at_once
        self.log: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def begin(self, name: str, job: JobClass, seconds: float = 10) -> asyncio.Task[None]:
        async def work() -> None:
            async with self.queues.take("local", job, self.at_once):
                self.log.append(name)
                await asyncio.sleep(seconds)

        task = asyncio.create_task(work())
        self.tasks.append(task)
        return task

    async def end(self) -> list[str]:
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert self.queues.running("local") == ()
        return self.log


@pytest.mark.looptime
async def test_more_urgent_classes_go_first() -> None:
    work = Work(at_once=1)
    work.begin("first", JobClass.BACKUP)
    await asyncio.sleep(1)
    for job in (JobClass.PRUNE, JobClass.FORGET, JobClass.CHECK, JobClass.COPY, JobClass.BACKUP, JobClass.WAL):
        work.begin(job.name, job)
    assert await work.end() == ["first", "WAL", "BACKUP", "COPY", "CHECK", "FORGET", "PRUNE"]


@pytest.mark.looptime
async def test_within_a_class_the_first_to_come_goes_first() -> None:
    work = Work(at_once=1)
    for name in "abc":
        work.begin(name, JobClass.BACKUP)
    assert await work.end() == ["a", "b", "c"]


@pytest.mark.looptime
async def test_exclusive_work_is_alone() -> None:
    work = Work(at_once=4)
    work.begin("backup", JobClass.BACKUP)
    work.begin("check", JobClass.CHECK)
    await asyncio.sleep(1)
    assert work.queues.running("local") == (JobClass.BACKUP,)
    await asyncio.sleep(10)
    assert work.queues.running("local") == (JobClass.CHECK,)
    work.begin("late", JobClass.BACKUP)
    await asyncio.sleep(1)
    assert work.queues.running("local") == (JobClass.CHECK,)
    await work.end()


@pytest.mark.looptime
async def test_no_more_than_so_many_jobs_run_at_once() -> None:
    work = Work(at_once=3)
    for number in range(9):
        work.begin(str(number), JobClass.BACKUP)
    for _ in range(3):
        await asyncio.sleep(9)
        assert len(work.queues.running("local")) == 3
        await asyncio.sleep(1)
    await work.end()


@pytest.mark.looptime
async def test_copies_leave_a_place_for_what_is_more_urgent() -> None:
    work = Work(at_once=2)
    work.begin("slow copy", JobClass.COPY, 36_000)
    work.begin("second copy", JobClass.COPY)
    await asyncio.sleep(1)
    work.begin("backup", JobClass.BACKUP)
    await asyncio.sleep(1)
    assert work.log == ["slow copy", "backup"]
    assert await work.end() == ["slow copy", "backup", "second copy"]


@pytest.mark.looptime
async def test_a_copy_that_has_waited_long_holds_no_backup_up() -> None:
    work = Work(at_once=2)
    work.begin("slow copy", JobClass.COPY, 36_000)
    work.begin("second copy", JobClass.COPY)
    await asyncio.sleep(7200)
    work.begin("backup", JobClass.BACKUP)
    await asyncio.sleep(1)
    assert work.log == ["slow copy", "backup"]
    await work.end()


@pytest.mark.looptime
async def test_a_restore_does_not_wait_for_a_place() -> None:
    work = Work(at_once=1)
    work.begin("backup", JobClass.BACKUP, 36_000)
    await asyncio.sleep(7200)
    work.begin("prune", JobClass.PRUNE)
    await asyncio.sleep(7200)
    work.begin("restore", JobClass.RESTORE)
    await asyncio.sleep(0)
    assert work.log == ["backup", "restore"]
    assert await work.end() == ["backup", "restore", "prune"]


@pytest.mark.looptime
async def test_a_job_that_has_waited_too_long_goes_before_every_other() -> None:
    work = Work(at_once=1, patience=60)
    work.begin("backup", JobClass.BACKUP, 50)
    await asyncio.sleep(1)
    work.begin("prune", JobClass.PRUNE)
    for number in range(6):
        await asyncio.sleep(15)
        work.begin(f"backup {number}", JobClass.BACKUP, 50)
    log = await work.end()
    assert log.index("prune") == 2  # after the one that went when it had waited less


@pytest.mark.looptime
async def test_an_endless_stream_of_overlapping_backups_does_not_starve_a_prune() -> None:
    work = Work(at_once=2, patience=60)
    work.begin("first", JobClass.BACKUP, 50)
    prune = work.begin("prune", JobClass.PRUNE)
    for number in range(20):
        await asyncio.sleep(20)
        work.begin(f"backup {number}", JobClass.BACKUP, 50)
    assert prune.done()
    await work.end()


@pytest.mark.looptime
async def test_a_waiting_job_that_is_cancelled_gives_way() -> None:
    work = Work(at_once=1)
    work.begin("first", JobClass.BACKUP)
    waiting = work.begin("second", JobClass.BACKUP)
    work.begin("third", JobClass.BACKUP)
    await asyncio.sleep(1)
    waiting.cancel()
    assert await work.end() == ["first", "third"]


@pytest.mark.looptime
async def test_a_job_that_is_cancelled_in_the_tick_of_its_turn_gives_the_turn_on() -> None:
    work = Work(at_once=1)
    first = work.begin("first", JobClass.BACKUP, 36_000)
    second = work.begin("second", JobClass.BACKUP)
    work.begin("third", JobClass.BACKUP)
    await asyncio.sleep(1)
    first.cancel()
    for _ in range(3):  # the turn passes to the second in one of these ticks
        await asyncio.sleep(0)
        second.cancel()
    assert "third" in await work.end()


@pytest.mark.looptime
async def test_a_job_that_fails_gives_its_turn_back() -> None:
    queues = WorkQueues(FakeClock())
    with pytest.raises(ValueError, match="broken"):
        async with queues.take("local", JobClass.PRUNE, 1):
            raise ValueError("broken")
    assert queues.running("local") == ()


@pytest.mark.looptime
async def test_two_that_take_the_same_stores_do_not_deadlock() -> None:
    queues = WorkQueues(FakeClock())

    async def take(stores: dict[str, int]) -> None:
        async with queues.take_all(stores, JobClass.COPY):
            await asyncio.sleep(10)

    async with asyncio.timeout(100):
        await asyncio.gather(take({"a": 1, "b": 1}), take({"b": 1, "a": 1}), take({"b": 1, "a": 1}))
    assert queues.running("a") == queues.running("b") == ()


@pytest.mark.looptime
async def test_a_limit_that_a_reload_has_raised_counts_at_once() -> None:
    work = Work(at_once=1)
    work.begin("a", JobClass.BACKUP)
    work.begin("b", JobClass.BACKUP)
    await asyncio.sleep(1)
    work.at_once = 3
    work.begin("c", JobClass.BACKUP)
    await asyncio.sleep(1)
    assert len(work.queues.running("local")) == 3
    await work.end()


@pytest.mark.looptime
async def test_a_check_that_waits_for_a_copy_of_days_holds_no_backup_up() -> None:
    queues, began = WorkQueues(FakeClock()), list[str]()

    async def work(job: JobClass, seconds: float) -> None:
        async with queues.take("local", job, 2):
            began.append(job.name)
            await asyncio.sleep(seconds)

    async with asyncio.TaskGroup() as group:
        group.create_task(work(JobClass.COPY, 172_800))
        await asyncio.sleep(1)
        group.create_task(work(JobClass.CHECK, 10))
        await asyncio.sleep(3601)
        group.create_task(work(JobClass.BACKUP, 10))
        group.create_task(work(JobClass.LIST, 10))
        await asyncio.sleep(1)
        assert began == ["COPY", "BACKUP", "LIST"]
    assert began[-1] == "CHECK"


@pytest.mark.looptime
@pytest.mark.parametrize("job", [JobClass.CHECK, JobClass.PRUNE])
async def test_a_check_or_a_prune_is_stopped_for_a_restore(job: JobClass) -> None:
    work = Work()
    stopped = work.begin("long", job, 86_400)
    await asyncio.sleep(1)
    work.begin("restore", JobClass.RESTORE)
    await asyncio.sleep(1)
    assert work.log == ["long", "restore"]
    with pytest.raises(TransientError, match=f"the {job.name.lower()} of store local was stopped for a restore"):
        await stopped
    await work.end()


@pytest.mark.looptime
async def test_a_prune_is_stopped_for_wal_that_has_waited_and_not_before() -> None:
    work = Work()
    quick, patient = work.begin("short", JobClass.PRUNE, 39), work.begin("wal", JobClass.WAL)
    await asyncio.wait([quick, patient])
    assert work.log == ["short", "wal"]
    stopped = work.begin("long", JobClass.PRUNE, 86_400)
    await asyncio.sleep(3600)
    began = asyncio.get_running_loop().time()
    shipped = work.begin("more wal", JobClass.WAL)
    with pytest.raises(TransientError, match="the prune of store local was stopped for WAL"):
        await stopped
    assert asyncio.get_running_loop().time() - began < 41
    await shipped


@pytest.mark.looptime
async def test_a_check_is_not_stopped_for_wal() -> None:
    work = Work()
    work.begin("check", JobClass.CHECK, 600)
    work.begin("wal", JobClass.WAL)
    assert await work.end() == ["check", "wal"]
    assert not any(task.cancelled() or task.exception() for task in work.tasks)


@pytest.mark.looptime
async def test_a_check_that_ends_while_it_is_stopped_for_a_restore_is_not_cancelled_later() -> None:
    queues = WorkQueues(FakeClock())

    async def check() -> str:
        async with queues.take("local", JobClass.CHECK, 1):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(1)  # what it was about to finish anyway
        await asyncio.sleep(1)
        return "done"

    checking = asyncio.create_task(check())
    await asyncio.sleep(1)
    async with queues.take("local", JobClass.RESTORE, 1):
        assert await checking == "done"
    assert checking.cancelling() == 0


@pytest.mark.looptime
async def test_a_person_who_cancels_a_check_is_not_told_of_a_restore() -> None:
    work = Work()
    check = work.begin("check", JobClass.CHECK, 86_400)
    await asyncio.sleep(1)
    restore = work.begin("restore", JobClass.RESTORE)
    check.cancel()
    await asyncio.wait([check, restore])
    assert check.cancelled()
    assert work.log == ["check", "restore"]


@pytest.mark.looptime
async def test_who_waits_is_told_for_what() -> None:
    queues, told = WorkQueues(FakeClock()), list[str]()
    async with queues.take("local", JobClass.FORGET, 1):
        waiting = asyncio.create_task(_take_a_moment(queues, told))
        await asyncio.sleep(1)
    await waiting
    assert told == ["waiting for the forget in store local"]


async def _take_a_moment(queues: WorkQueues, told: list[str]) -> None:
    async with queues.take("local", JobClass.BACKUP, 1, told.append):
        pass


class TurnsMachine(RuleBasedStateMachine):
    """Jobs come, end and are cancelled at every point, also several in one tick."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.queues = WorkQueues(self, patience_seconds=50)  # type: ignore[arg-type]
        self.holding: dict[int, JobClass] = {}
        self.doors: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.count = 0

    def monotonic(self) -> float:
        return self.now

    async def _job(self, number: int, job: JobClass) -> None:
        with suppress(TransientError):  # stopped for a restore
            async with self.queues.take("local", job, 2):
                self.holding[number] = job
                try:
                    await self.doors[number].wait()
                finally:
                    del self.holding[number]

    def _tick(self, act: Callable[[], None], ticks: int) -> None:
        async def go() -> None:
            act()
            for _ in range(ticks):
                await asyncio.sleep(0)

        self.loop.run_until_complete(go())

    @rule(jobs=st.lists(st.sampled_from(list(JobClass)), min_size=1, max_size=3), ticks=st.integers(0, 3))
    def come(self, jobs: list[JobClass], ticks: int) -> None:
        def act() -> None:
            for job in jobs:
                self.count += 1
                self.doors[self.count] = asyncio.Event()
                self.tasks[self.count] = self.loop.create_task(self._job(self.count, job))

        self._tick(act, ticks)

    @precondition(lambda self: self.holding)
    @rule(data=st.data(), ticks=st.integers(0, 3))
    def end_one(self, data: st.DataObject, ticks: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.holding)))
        self._tick(self.doors[number].set, ticks)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), ticks=st.integers(0, 3))
    def end_one_and_cancel_another_in_the_same_tick(self, data: st.DataObject, ticks: int) -> None:
        cancelled = self.tasks[data.draw(st.sampled_from(sorted(self.tasks)))]
        ended = data.draw(st.sampled_from(sorted(self.doors)))

        def act() -> None:
            self.doors[ended].set()
            self.loop.call_soon(cancelled.cancel) if data.draw(st.booleans()) else cancelled.cancel()

        self._tick(act, ticks)

    @rule(seconds=st.sampled_from([1.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def exclusive_work_is_alone_and_the_limit_is_kept(self) -> None:
        held = list(self.holding.values())
        if any(job.is_exclusive for job in held):
            assert len(held) == 1
        counted = [job for job in held if job not in (JobClass.RESTORE, JobClass.LIST)]
        assert len(counted) <= 2

    def teardown(self) -> None:
        """Let everything end: nobody starves, no place is lost."""
        for _ in range(4 * len(self.tasks) + 4):
            for number in list(self.holding):
                self.doors[number].set()
            self._tick(lambda: None, 3)
        assert all(task.done() for task in self.tasks.values()), "a job starved or a turn was lost"
        assert self.queues.running("local") == ()
        self.loop.close()


TestTurnsMachine = TurnsMachine.TestCase
TestTurnsMachine.settings = settings(max_examples=60, stateful_step_count=30)
