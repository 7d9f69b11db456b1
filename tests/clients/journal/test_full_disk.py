"""A full disk: the ballast is given up so that facts can still be written, and comes back when there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from drd.core.errors import StateFull
from drd.core.events import BallastReleased, BallastRestored, BugFound, DaemonStarted, Event, PolicyAdded
from tests.clients.journal.conftest import BALLAST_BYTES
from tests.clients.journal.made import StillClock
from tests.clients.journal.test_rebuilding import forget_projections, opened_and_closed, tables

MIB = 1024 * 1024
LONG = BugFound("unit", "error", "x" * 20_000, False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk; CI runs the tests as root too")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def fill(folder: Path, leave: int) -> Path:
    filler = folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free(folder) - leave)
    return filler


async def was_appended(journal: SqliteJournal) -> bool:
    try:
        await journal.append(LONG)
    except StateFull:
        return False
    return True


async def test_a_full_disk_costs_the_ballast_and_no_event(small_disk: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(small_disk, clock, ballast_bytes=BALLAST_BYTES) as journal:
        assert (small_disk / "ballast").stat().st_blocks * 512 >= BALLAST_BYTES
        seen: list[Event] = []
        journal.observe(seen.append)
        filler = fill(small_disk, leave=100_000)
        while journal.has_ballast:
            await journal.append(LONG)
        assert isinstance(seen[-1].body, BallastReleased)
        assert seen[-1].body.free_bytes < 100_000
        assert [event.sequence for event in seen] == list(range(2, len(seen) + 2))
        assert list(journal.events(after=1)) == seen
        assert not await journal.tend_ballast()
        filler.unlink()
        assert await journal.tend_ballast()
        assert isinstance(seen[-1].body, BallastRestored)
        assert journal.has_ballast
        assert not await journal.tend_ballast()
        assert journal.verify().sound


async def test_without_any_room_left_it_says_so_and_goes_on_when_there_is(small_disk: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(small_disk, clock, ballast_bytes=BALLAST_BYTES) as journal:
        filler = fill(small_disk, leave=0)
        kept = 0
        while await was_appended(journal):
            kept += 1
        assert kept > 10
        with pytest.raises(StateFull, match=r"is full, and the ballast there is used up — make room \(`df -h"):
            await journal.append(LONG)
        filler.unlink()
        await journal.append(PolicyAdded("web"))
        written = list(journal.events())
        assert len([event for event in written if event.body == LONG]) == kept
        assert journal.verify().sound
    now = tables(small_disk)
    forget_projections(small_disk)
    await opened_and_closed(small_disk)
    assert tables(small_disk) == now


async def test_a_journal_opens_on_a_full_disk(small_disk: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(small_disk, clock, ballast_bytes=BALLAST_BYTES) as journal:
        await journal.append(PolicyAdded("web"))
    fill(small_disk, leave=0)
    async with await SqliteJournal.open(small_disk, clock, ballast_bytes=BALLAST_BYTES) as journal:
        await journal.append(DaemonStarted("1", "0.19"))
        assert not journal.has_ballast
        [released] = journal.events(kind="ballast-released")
        assert released.sequence == 3
        assert set(await journal.policies()) == {"web"}


async def test_a_database_that_may_not_grow_is_a_full_state(journal: SqliteJournal) -> None:
    """SQLite's own limit: it fails as a full disk does, and what the ballast frees does not help."""
    connection = journal._writer().connection

    def limit(pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await journal.append(PolicyAdded("web"))
    await journal._in_thread(limit, 1)
    journal._writer().ballast.release()
    assert not await was_appended(journal)
    await journal.append(PolicyAdded("db"))
    assert set(await journal.policies()) == {"web", "db"}
    assert journal.verify().sound


async def test_a_new_state_folder_gets_its_ballast(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock) as journal:
        assert journal.has_ballast
    ballast = (tmp_path / "ballast").stat()
    assert ballast.st_size == 64 * MIB
    assert ballast.st_blocks * 512 >= 64 * MIB
