"""Sealing and verifying the journal, and its heads in the stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drd.core.errors import Busy, JournalDamaged, PermanentError
from drd.core.events import HeadAnchored, JobFailed
from drd.daemon.status import status
from drd.ports.journal import Verdict
from tests.fakes.house import DAEMON, FakeHouse, a_store

pytestmark = pytest.mark.looptime
DAY = 86_400


@asynccontextmanager
async def anchoring(house: FakeHouse) -> AsyncIterator[asyncio.Task[None]]:
    """The house with this loop under way."""
    task = asyncio.create_task(house.anchor.serve())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_head_is_written_into_every_store_of_its_own_each_week() -> None:
    house = FakeHouse()
    house.in_force.replace(house.in_force())
    await house.run()
    async with anchoring(house):
        await asyncio.sleep(6 * DAY)
        assert [fact.store for fact in house.journal.of(HeadAnchored)] == ["local"]
        await asyncio.sleep(2 * DAY)
    assert [fact.store for fact in house.journal.of(HeadAnchored)] == ["local", "local"]


async def test_a_mirror_gets_its_anchors_with_its_origin_and_an_independent_store_its_own() -> None:
    house = FakeHouse()
    far = a_store(house.offsite, site="far", metres=1.2e6, independent=True)
    house = FakeHouse(stores=(a_store(house.local), far))
    await house.run()
    await house.copy.fill("offsite")
    async with anchoring(house):
        await asyncio.sleep(DAY)
    assert [fact.store for fact in house.journal.of(HeadAnchored)] == ["local", "offsite"]


async def test_what_was_anchored_is_read_back_from_the_store_and_only_what_this_daemon_wrote() -> None:
    house = FakeHouse()
    await house.run()
    await house.anchor.anchor("local")
    tags = ("drd", "kind=anchor", "daemon=01OTHER", "sequence=3", "head=ff")
    house.local.plant(house.foreign(run="01OTHER", tags=tags))
    [anchored] = house.journal.of(HeadAnchored)
    heads = await house.anchor.anchors("local")
    assert heads == {anchored.anchored_sequence: anchored.anchored_head}
    assert house.journal.events[anchored.anchored_sequence - 1].head == anchored.anchored_head
    assert house.journal.events[0].daemon == DAEMON


async def test_a_store_that_was_never_used_gets_no_anchor() -> None:
    house = FakeHouse()
    await house.anchor.anchor("local")
    assert house.local.snapshots == {}


async def test_a_store_that_is_away_gets_its_anchor_when_it_is_back() -> None:
    house = FakeHouse()
    await house.run()
    await asyncio.sleep(700)
    house.local.away = "unplugged"
    async with anchoring(house):
        await asyncio.sleep(DAY)
        assert house.journal.of(HeadAnchored) == []
        house.local.away = ""
        await asyncio.sleep(301)
    assert len(house.journal.of(HeadAnchored)) == 1


async def test_every_store_is_anchored_anew_in_a_new_month_when_a_segment_was_sealed() -> None:
    house = FakeHouse()
    await house.run()
    async with anchoring(house):
        await asyncio.sleep(30 * DAY)
    times = [event.at for event in house.journal.events if isinstance(event.body, HeadAnchored)]
    assert [(at.month, at.day) for at in times] == [(3, 2), (3, 9), (3, 16), (3, 23), (3, 30), (4, 1)]


async def test_a_restart_anchors_nothing_anew() -> None:
    house = FakeHouse()
    await house.run()
    for _ in range(3):
        async with anchoring(house):
            await asyncio.sleep(DAY)
        house = FakeHouse(after=house)
    assert len(house.journal.of(HeadAnchored)) == 1
    async with anchoring(house):
        await asyncio.sleep(5 * DAY)
    assert len(house.journal.of(HeadAnchored)) == 2


async def test_a_store_that_got_another_repository_is_anchored_anew() -> None:
    house = FakeHouse()
    await house.run()
    async with anchoring(house):
        await asyncio.sleep(DAY)
        house.local.identity, house.local.snapshots = None, {}
        await house.stores.accept("local")
        await asyncio.sleep(301)
    assert len(await house.anchor.anchors("local")) == 1
    assert len(house.journal.of(HeadAnchored)) == 2


async def test_an_anchor_that_cannot_be_journaled_now_is_not_written_again_and_again() -> None:
    house = FakeHouse()
    await house.run()
    house.journal.is_full = True
    async with anchoring(house):
        await asyncio.sleep(DAY)
    assert len(await house.anchor.anchors("local")) == 1
    house.journal.is_full = False
    await house.anchor.outbox.pay()
    assert len(house.journal.of(HeadAnchored)) == 1


async def test_a_journal_that_is_being_read_is_sealed_at_a_later_look() -> None:
    house = FakeHouse()
    house.journal.seal = Busy("the journal is being read", "")
    async with anchoring(house) as task:
        await asyncio.sleep(DAY)
        assert not task.done()
    assert house.journal.of(JobFailed) == []


async def test_a_journal_that_cannot_be_sealed_is_told_once_and_ends_nothing() -> None:
    house = FakeHouse()
    house.journal.seal = PermanentError("links cannot be made there", "use another file system")
    async with anchoring(house) as task:
        await asyncio.sleep(DAY)
        assert not task.done()
    assert [(fact.store, fact.job) for fact in house.journal.of(JobFailed)] == [("", "seal")]


@pytest.mark.parametrize(
    "found",
    [Verdict(False, 16, 17, "its head is another"), JournalDamaged("journal-2026-01.db is no database", "put it back")],
    ids=["an event that does not fit", "a segment that cannot be read"],
)
async def test_a_journal_that_does_not_verify_is_told_once_and_shown_and_ends_nothing(
    found: Verdict | JournalDamaged,
) -> None:
    house = FakeHouse()
    house.journal.verdict = found
    async with anchoring(house) as task:
        await asyncio.sleep(3 * DAY)
        assert not task.done()
        assert house.journal.verified == 3
        [told] = house.journal.of(JobFailed)
        assert told.job == "verify"
        assert "the journal does not verify" in told.message
        assert "drd journal verify" in (await status(house.house, "1", None)).warnings[-1]
        house.journal.verdict = None
        await asyncio.sleep(DAY)
        assert house.anchor.problem == ""
        assert (await status(house.house, "1", None)).warnings == ()
