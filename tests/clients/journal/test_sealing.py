"""Sealing: a new file goes on from the old one's head, and a crash between any two steps leaves a whole journal."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from drd.core.errors import Busy, DrdError
from drd.core.events import Event, SegmentOpened
from tests.clients.journal.made import StillClock, whole_run
from tests.clients.journal.test_rebuilding import forget_projections, opened_and_closed, tables

STEPS = 5


async def test_the_new_file_begins_with_the_old_ones_head(journal: SqliteJournal, clock: StillClock) -> None:
    seen: list[Event] = []
    journal.observe(seen.append)
    await journal.append(*whole_run("web", 1), run="r1")
    before = await journal.head()
    assert await journal.seal() == "journal-2026-10.db"
    opened = seen[-1]
    assert opened.body == SegmentOpened("journal-2026-10.db", before.digest, before.sequence)
    assert opened.sequence == before.sequence + 1
    assert (await journal.head()).digest == opened.head
    assert list(journal.events(newest=1)) == [opened]


async def test_everything_goes_on_after_sealing(journal: SqliteJournal, clock: StillClock) -> None:
    await journal.append(*whole_run("web", 1), run="r1")
    await journal.mark()
    mark, points = await journal.last_mark(), await journal.points("web")
    await journal.seal()
    assert await journal.points("web") == points
    assert await journal.last_mark() == mark
    await journal.append(*whole_run("web", 2), run="r2")
    assert [event.sequence for event in journal.events()] == list(range(1, 11))
    assert [event.sequence for event in journal.events(run="r1")] == [2, 3, 4, 5]
    assert [event.sequence for event in journal.events(newest=7)] == [4, 5, 6, 7, 8, 9, 10]
    assert journal.verify().sound


async def test_a_month_is_sealed_when_the_next_has_begun(journal: SqliteJournal, clock: StillClock) -> None:
    assert await journal.seal_if_due() is None
    clock.move(timedelta(days=30, hours=11, minutes=59))
    assert await journal.seal_if_due() is None
    clock.move(timedelta(minutes=1))
    assert await journal.seal_if_due() == "journal-2026-10.db"
    assert await journal.seal_if_due() is None


async def test_a_month_may_be_sealed_more_than_once(journal: SqliteJournal) -> None:
    names = [await journal.seal() for _ in range(3)]
    assert names == ["journal-2026-10.db", "journal-2026-10.2.db", "journal-2026-10.3.db"]
    assert journal.verify().sound
    assert [event.sequence for event in journal.events()] == [1, 2, 3, 4]


async def test_a_sealed_file_is_read_only_and_holds_events_alone(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        await journal.append(*whole_run("web", 1), run="r1")
        await journal.seal()
    sealed = tmp_path / "journal-2026-10.db"
    assert sealed.stat().st_mode & 0o777 == 0o400
    with closing(sqlite3.connect(f"file:{sealed}?mode=ro", uri=True)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"events"}
    assert sorted(path.name for path in tmp_path.glob("journal*")) == ["journal-2026-10.db", "journal.db"]


async def test_a_journal_that_is_being_read_is_sealed_later(journal: SqliteJournal, clock: StillClock) -> None:
    await journal.append(*whole_run("web", 1), run="r1")
    reading = journal.events()
    next(reading)
    with pytest.raises(Busy, match="is being read"):
        await journal.seal()
    await journal.append(*whole_run("web", 2), run="r2")
    reading.close()
    assert await journal.seal() == "journal-2026-10.db"
    assert journal.verify().sound
    assert (await journal.head()).sequence == 10


@pytest.mark.parametrize("done", range(STEPS + 1))
async def test_a_crash_between_two_steps_of_sealing_leaves_a_whole_journal(
    tmp_path: Path, clock: StillClock, done: int
) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        for number in range(5):
            await journal.append(*whole_run("web", number), run=f"r{number}")
        written = list(journal.events())
        await journal._in_thread(_first_steps, journal, done)
    is_switched = done >= 4
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        assert journal.verify().sound
        assert list(journal.events())[: len(written)] == written
        assert (await journal.head()).sequence == len(written) + is_switched
        await journal.append(*whole_run("web", 9), run="r9")
        assert len(await journal.points("web")) == 6
        expected = ["journal-2026-10.db"] if is_switched else []
        assert sorted(path.name for path in tmp_path.glob("journal-*.db")) == expected
        assert await journal.seal() == ("journal-2026-10.2.db" if is_switched else "journal-2026-10.db")
        assert journal.verify().sound
    now = tables(tmp_path)
    forget_projections(tmp_path)
    await opened_and_closed(tmp_path)
    assert tables(tmp_path) == now


def _first_steps(journal: SqliteJournal, done: int) -> None:
    sealing, written = journal._writer().sealing()
    steps = sealing.steps(written.rows[0])
    assert len(steps) == STEPS
    for step in steps[:done]:
        step()


async def test_a_reader_that_came_before_the_switch_sees_every_event_once(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        await journal.append(*whole_run("web", 1), run="r1")
        await journal._in_thread(_first_steps, journal, 2)
        async with await SqliteJournal.open(tmp_path, clock, readonly=True) as reader:
            reading = reader.events()
            assert next(reading).sequence == 1
        rest = [event.sequence for event in reading]
    assert rest == [2, 3, 4, 5]


async def test_a_file_that_could_not_be_opened_again_after_sealing_is_opened_by_the_next_append(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    await journal.append(*whole_run("web", 1), run="r1")
    await journal._in_thread(journal._writer().connection.execute, "PRAGMA wal_checkpoint(TRUNCATE)")
    hidden, current = tmp_path / "hidden", tmp_path / "journal.db"
    current.rename(hidden)
    current.mkdir()
    with pytest.raises(DrdError):
        await journal._in_thread(journal._writer()._reopen)
    with pytest.raises(DrdError):
        await journal.append(*whole_run("web", 2), run="r2")
    current.rmdir()
    hidden.rename(current)
    await journal.append(*whole_run("web", 2), run="r2")
    assert journal.verify().sound
    assert len(await journal.points("web")) == 2
