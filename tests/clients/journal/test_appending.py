"""Appending: in order, in groups, told to the observers, and all or nothing."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from drd.core.errors import PermanentError
from drd.core.events import DaemonStarted, Event, PolicyAdded, RunFinished, SegmentOpened, StoreCreated
from drd.core.policy import Mode, Outcome
from drd.ports.journal import Catalogue, Journal, JournalReader
from tests.clients.journal.made import StillClock, started, whole_run


async def test_it_is_all_three_ports(journal: SqliteJournal) -> None:
    as_journal: Journal = journal
    as_reader: JournalReader = journal
    as_catalogue: Catalogue = journal
    assert as_journal is as_reader is as_catalogue


async def test_the_first_event_opens_the_chain(journal: SqliteJournal) -> None:
    [first] = journal.events()
    assert first.sequence == 1
    assert first.body == SegmentOpened(None, "0" * 64, 0)


async def test_what_append_returns_is_what_is_read_back(journal: SqliteJournal, clock: StillClock) -> None:
    clock.move(timedelta(seconds=2.5))
    told = await journal.append(*whole_run("web", 1), run="r1")
    assert [event.sequence for event in told] == [2, 3, 4, 5]
    assert told[0].at == clock.wall
    assert told[0].monotonic_ns == 1_002_500_000_000
    assert told[0].boot == clock.boot_id
    assert told[0].daemon == journal.daemon
    assert list(journal.events(after=1)) == list(told)
    assert (await journal.head()).digest == told[-1].head


async def test_appends_at_the_same_time_come_in_the_order_of_asking(journal: SqliteJournal) -> None:
    told = await asyncio.gather(*(journal.append(PolicyAdded(f"p{number}")) for number in range(1200)))
    assert [event.sequence for [event] in told] == list(range(2, 1202))
    assert journal.verify().sound


async def test_appends_at_the_same_time_share_their_syncs(journal: SqliteJournal) -> None:
    frames = [await _pages_written(journal, at_once) for at_once in (1, 50)]
    assert frames[1] * 5 < frames[0]


async def _pages_written(journal: SqliteJournal, at_once: int) -> int:
    """Growth of the log over a hundred appends: each transaction writes its pages once."""
    [log] = _state(journal).glob("*-wal")
    before = log.stat().st_size
    for _ in range(100 // at_once):
        await asyncio.gather(*(journal.append(DaemonStarted("1", "0.19")) for _ in range(at_once)))
    return log.stat().st_size - before


def _state(journal: SqliteJournal) -> Path:
    return journal._side.database.parent


async def test_observers_have_seen_an_event_before_its_append_returns(journal: SqliteJournal) -> None:
    seen: list[Event] = []
    journal.observe(seen.append)
    for number in range(3):
        told = await journal.append(*whole_run("web", number), run=f"r{number}")
        assert seen[-4:] == list(told)
    assert [event.sequence for event in seen] == list(range(2, 14))


async def test_a_body_that_cannot_be_stored_fails_alone(journal: SqliteJournal) -> None:
    good, bad, better = await asyncio.gather(
        journal.append(PolicyAdded("one")),
        journal.append(PolicyAdded("two"), StoreCreated("local", object(), None)),  # type: ignore[arg-type]
        journal.append(PolicyAdded("three")),
        return_exceptions=True,
    )
    assert isinstance(bad, TypeError)
    assert isinstance(good, tuple)
    assert isinstance(better, tuple)
    assert better[0].sequence == good[0].sequence + 1
    assert set(await journal.policies()) == {"one", "three"}
    assert journal.verify().sound


async def test_an_append_that_nobody_waits_for_any_more_is_written_all_the_same(journal: SqliteJournal) -> None:
    waiting = asyncio.create_task(journal.append(PolicyAdded("web")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await journal.append(PolicyAdded("db"))
    assert set(await journal.policies()) == {"web", "db"}


async def test_nothing_to_append_is_nothing(journal: SqliteJournal) -> None:
    assert await journal.append() == ()
    assert (await journal.head()).sequence == 1


async def test_closing_waits_for_what_is_being_written(tmp_path: Path, clock: StillClock) -> None:
    journal = await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096)
    waiting = [asyncio.create_task(journal.append(PolicyAdded(f"p{number}"))) for number in range(700)]
    await asyncio.sleep(0)
    await journal.close()
    assert [len(events) for events in await asyncio.gather(*waiting)] == [1] * 700
    async with await SqliteJournal.open(tmp_path, clock, readonly=True) as reader:
        assert len(await reader.policies()) == 700


async def test_the_catalogue_is_as_new_as_the_last_append(journal: SqliteJournal) -> None:
    await journal.append(PolicyAdded("web"))
    assert (await journal.policies())["web"].last_run is None
    assert await journal.newest_points() == {}
    for number in range(3):
        await journal.append(*whole_run("web", number), run=f"r{number}")
        record = (await journal.policies())["web"]
        assert record == await journal.policy("web")
        assert record.last_run is not None
        assert record.last_run.run == f"r{number}"
        newest = await journal.newest_points()
        assert {place: point.run for place, point in newest.items()} == {
            ("web", "local"): f"r{number}",
            ("web", "offsite"): f"r{number}",
        }
    assert [run.run for run in await journal.runs(newest=2)] == ["r2", "r1"]
    assert [run.run for run in await journal.runs("web")] == ["r2", "r1", "r0"]
    assert await journal.runs("db") == ()
    assert await journal.holdings("offsite") == {"web-0": "web", "web-1": "web", "web-2": "web"}


async def test_a_policy_that_was_never_added_is_not_protected(journal: SqliteJournal) -> None:
    await journal.append(started("web"), run="r1")
    assert await journal.policies() == {}
    assert await journal.policy("web") is None
    assert [run.run for run in await journal.unfinished()] == ["r1"]


async def test_points_that_lack_a_copy_are_named(journal: SqliteJournal) -> None:
    first, second = whole_run("web", 1), whole_run("web", 2)
    await journal.append(*first, run="r1")
    await journal.append(second[0], second[1], second[3], run="r2")
    assert [point.run for point in await journal.uncopied("web", "offsite")] == ["r2"]
    assert await journal.uncopied("web", "local") == ()


async def test_events_are_chosen_by_run_kind_place_and_number(journal: SqliteJournal) -> None:
    for number in range(5):
        await journal.append(*whole_run("web", number), run=f"r{number}")
    assert [event.sequence for event in journal.events(run="r1")] == [6, 7, 8, 9]
    assert [event.sequence for event in journal.events(kind="run-started", newest=2)] == [14, 18]
    assert [event.sequence for event in journal.events(after=19, kind="copy-created")] == [20]
    assert [event.sequence for event in journal.events(newest=3, after=20)] == [21]
    assert list(journal.events(run="r")) == []


async def test_the_mark_says_when_the_daemon_was_last_known_to_live(journal: SqliteJournal, clock: StillClock) -> None:
    assert await journal.last_mark() is None
    clock.move(timedelta(seconds=10))
    await journal.mark()
    mark = await journal.last_mark()
    assert mark is not None
    assert (mark.at, mark.monotonic, mark.boot) == (clock.wall, clock.seconds, clock.boot_id)
    assert (await journal.head()).sequence == 1


async def test_the_daemon_keeps_its_id(tmp_path: Path, clock: StillClock) -> None:
    ids = set()
    for _ in range(2):
        async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
            ids.add(journal.daemon)
    assert len(ids) == 1
    assert len(ids.pop()) == 26


async def test_only_the_owner_may_read_the_files(journal: SqliteJournal) -> None:
    modes = {path.name: path.stat().st_mode & 0o077 for path in _state(journal).glob("journal*")}
    assert modes
    assert set(modes.values()) == {0}


async def test_a_reader_writes_nothing(journal: SqliteJournal, clock: StillClock) -> None:
    async with await SqliteJournal.open(_state(journal), clock, readonly=True) as reader:
        for attempt in (reader.append(PolicyAdded("web")), reader.mark(), reader.seal(), reader.tend_ballast()):
            with pytest.raises(PermanentError, match="for reading only"):
                await attempt


async def test_words_that_are_no_proper_text_do_not_stop_the_journal(journal: SqliteJournal) -> None:
    said = "cannot read caf\udce9\x00\U0001f4a5"
    ended = RunFinished("web", Mode.FULL, Outcome.FAILED, said, "", 1.0, 0, 0)
    await journal.append(PolicyAdded("web"), started("web"), ended, run="r1")
    [run] = await journal.runs()
    assert run.message == "cannot read caf\\udce9\x00\U0001f4a5"
    assert journal.verify().sound
