"""A failure that lasts is one event, and none is lost to a full disk."""

import pytest

from drd.core.errors import StateFull
from drd.core.events import JobFailed
from drd.engines.telling import ToldOnce
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal

pytestmark = pytest.mark.looptime


def failure(words: str = "no route", store: str = "offsite") -> JobFailed:
    return JobFailed(store, "copy", words, "")


async def tell(told: ToldOnce[str], words: str = "no route", store: str = "offsite") -> bool:
    return await told.tell(store, words, failure(words, store))


async def test_a_failure_that_lasts_is_told_once_for_each_subject_and_again_when_it_changes() -> None:
    journal = FakeJournal(FakeClock())
    told = ToldOnce[str](journal)
    assert [await tell(told), await tell(told), await tell(told, store="vault")] == [True, False, True]
    assert [await tell(told, "no key"), await tell(told)] == [True, True]
    assert len(journal.of(JobFailed)) == 4


async def test_what_is_over_is_news_when_it_comes_back() -> None:
    journal = FakeJournal(FakeClock())
    told = ToldOnce[str](journal)
    await tell(told)
    told.over("offsite")
    told.over("a store of which nothing was told")
    assert await tell(told)


async def test_what_the_journal_could_not_take_was_not_told() -> None:
    journal = FakeJournal(FakeClock())
    told = ToldOnce[str](journal)
    journal.is_full = True
    with pytest.raises(StateFull):
        await tell(told)
    journal.is_full = False
    assert await tell(told)
    assert journal.of(JobFailed) == [failure()]
