"""Reading beside a daemon, after one, and after one that was killed: nothing in the state folder changes."""

import asyncio
import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from drd.core.errors import Busy, PermanentError
from drd.core.events import PolicyAdded
from tests.clients.journal.made import StillClock, whole_run


def contents(state: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(state.iterdir())}


async def everything(state: Path) -> tuple[int, int, bool]:
    """Events, points, and whether the chain is sound, as a reader sees them."""
    async with await SqliteJournal.open(state, StillClock(), readonly=True) as reader:
        return len(list(reader.events())), len(await reader.points("web")), reader.verify().sound


async def test_a_reader_sees_what_a_living_daemon_has_just_written(journal: SqliteJournal, tmp_path: Path) -> None:
    async with await SqliteJournal.open(tmp_path, StillClock(), readonly=True) as reader:
        for number in range(3):
            await journal.append(PolicyAdded("web"), *whole_run("web", number), run=f"r{number}")
            assert await reader.points("web") == await journal.points("web")
            assert await reader.policies() == await journal.policies()
            assert await reader.newest_points() == await journal.newest_points()
            assert await reader.head() == await journal.head()
        assert reader.daemon == journal.daemon
        assert list(reader.events()) == list(journal.events())


async def test_a_reader_beside_a_daemon_changes_no_file(
    journal: SqliteJournal, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The copy stands for a daemon's files: this process has them open, and reading them raw would drop its locks."""
    await journal.append(*whole_run("web", 1), run="r1")
    copy = shutil.copytree(tmp_path, tmp_path_factory.mktemp("state") / "copy")
    before = contents(copy)
    assert await everything(copy) == (5, 1, True)
    assert contents(copy) == before


async def test_a_reader_after_a_daemon_leaves_no_file_behind(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        await journal.append(*whole_run("web", 1), run="r1")
        await journal.seal()
        await journal.append(*whole_run("web", 2), run="r2")
    before = contents(tmp_path)
    assert await everything(tmp_path) == (10, 2, True)
    assert contents(tmp_path) == before


async def test_a_log_without_its_index_is_read_all_the_same(
    journal: SqliteJournal, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await journal.append(*whole_run("web", 1), run="r1")
    copy = shutil.copytree(tmp_path, tmp_path_factory.mktemp("state") / "copy")
    (copy / "journal.db-shm").unlink()
    before = contents(copy)
    assert await everything(copy) == (5, 1, True)
    assert contents(copy) == before


async def test_without_a_journal_it_says_how_to_get_one(tmp_path: Path, clock: StillClock) -> None:
    with pytest.raises(PermanentError, match=r"there is no journal in .* — start the daemon with `drd run`"):
        await SqliteJournal.open(tmp_path, clock, readonly=True)
    assert list(tmp_path.iterdir()) == []


async def test_a_long_reading_does_not_hold_the_writer_up(journal: SqliteJournal) -> None:
    for number in range(3):
        await journal.append(*whole_run("web", number), run=f"r{number}")
    reading = journal.events()
    next(reading)
    await asyncio.wait_for(journal.append(*whole_run("web", 4), run="r4"), timeout=5)
    reading.close()


async def test_a_database_that_somebody_else_locks_is_busy(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        await journal._in_thread(journal._writer().connection.execute, "PRAGMA busy_timeout = 50")
        other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match=r"another process keeps .*journal.db locked — .*fuser"):
            await journal.append(PolicyAdded("web"))
        other.execute("ROLLBACK")
        other.close()
        await journal.append(PolicyAdded("web"))
        assert set(await journal.policies()) == {"web"}
        assert journal.verify().events == 2
