"""What must be on record gets there once, whoever is cancelled and however full the disk is."""

import asyncio

import pytest

from drd.core.errors import StateFull
from drd.core.events import Body, PolicyAdded, PolicyRemoved
from drd.engines.outbox import Outbox
from drd.ports.cancelling import to_the_end
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal

pytestmark = pytest.mark.looptime


class SlowJournal(FakeJournal):
    """Writes what it was given also when nobody waits for it any more, as the real one does."""

    async def append(self, *bodies: Body, run: str | None = None):  # type: ignore[no-untyped-def]
        async def write():  # type: ignore[no-untyped-def]
            await asyncio.sleep(1)
            return await FakeJournal.append(self, *bodies, run=run)

        return await asyncio.shield(asyncio.ensure_future(write()))


async def _work(seconds: float, failure: Exception | None = None) -> str:
    await asyncio.sleep(seconds)
    if failure is not None:
        raise failure
    return "done"


async def _cancelled_at_once(task: "asyncio.Task[object]") -> None:
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancel_takes_effect_when_the_work_is_done() -> None:
    begin = asyncio.get_running_loop().time()
    await _cancelled_at_once(asyncio.create_task(to_the_end(_work(3))))
    assert asyncio.get_running_loop().time() - begin == 3
    assert await to_the_end(_work(1)) == "done"


async def test_a_cancel_is_not_lost_when_the_work_fails() -> None:
    failure = StateFull("the disk is full")
    task = asyncio.create_task(to_the_end(_work(3, failure)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.__cause__ is failure
    with pytest.raises(StateFull):
        await to_the_end(_work(1, failure))


async def test_a_deadline_stays_a_deadline_when_the_work_fails_after_it() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await to_the_end(_work(3, StateFull("the disk is full")))


async def test_facts_that_belong_together_are_owed_and_paid_together() -> None:
    journal = FakeJournal(FakeClock())
    ends = Outbox(journal)
    journal.is_full = True
    assert not await ends.record_together((PolicyAdded("a"), PolicyAdded("b")), "01RUN")
    assert not await ends.record(PolicyRemoved("a"))
    assert ends.owed == 2
    with pytest.raises(StateFull):
        await ends.pay()
    journal.is_full = False
    await ends.pay()
    assert [(event.body, event.run) for event in journal.events] == [
        (PolicyAdded("a"), "01RUN"),
        (PolicyAdded("b"), "01RUN"),
        (PolicyRemoved("a"), None),
    ]


async def test_a_payment_that_is_cancelled_after_the_fact_was_handed_over_does_not_write_it_twice() -> None:
    journal = SlowJournal(FakeClock())
    ends = Outbox(journal)
    journal.is_full = True
    await ends.record(PolicyAdded("a"))
    journal.is_full = False
    await _cancelled_at_once(asyncio.create_task(ends.pay()))
    await ends.pay()
    assert journal.of(PolicyAdded) == [PolicyAdded("a")]


async def test_two_who_pay_at_once_write_each_fact_once() -> None:
    journal = SlowJournal(FakeClock())
    ends = Outbox(journal)
    journal.is_full = True
    await ends.record(PolicyAdded("a"))
    journal.is_full = False
    await asyncio.gather(ends.pay(), ends.pay())
    assert journal.of(PolicyAdded) == [PolicyAdded("a")]


async def test_what_is_on_record_is_not_owed_when_whoever_recorded_it_is_cancelled() -> None:
    journal = SlowJournal(FakeClock())
    ends = Outbox(journal)
    await _cancelled_at_once(asyncio.create_task(ends.record(PolicyAdded("a"))))
    assert (journal.of(PolicyAdded), ends.owed) == ([PolicyAdded("a")], 0)
