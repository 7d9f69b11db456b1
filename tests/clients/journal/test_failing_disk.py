"""A disk that fails under a journal in use, or damage that is found there: told, and over when it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from drd.core.errors import NOT_NOW, JournalUnusable
from drd.core.events import PolicyAdded
from tests.clients.journal.conftest import BALLAST_BYTES
from tests.clients.journal.made import StillClock


@contextmanager
def failing(file: Path) -> Iterator[None]:
    """Every write to this open file of our own process is an error, as of a disk that fails."""
    descriptors = [int(each.name) for each in Path("/proc/self/fd").iterdir() if os.path.realpath(each) == str(file)]
    assert descriptors
    kept = [os.dup(each) for each in descriptors]
    nothing = os.open("/dev/null", os.O_RDONLY)
    for each in descriptors:
        os.dup2(nothing, each)
    try:
        yield
    finally:
        for each, own in zip(descriptors, kept, strict=True):
            os.dup2(own, each)
            os.close(own)
        os.close(nothing)


async def test_a_disk_that_fails_is_told_and_the_journal_goes_on_when_it_works_again(
    tmp_path: Path, clock: StillClock
) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=BALLAST_BYTES) as journal:
        await journal.append(PolicyAdded("shop"))
        with failing(tmp_path / "journal.db-wal"):
            with pytest.raises(JournalUnusable, match=r"journal.db cannot be used: disk I/O error — look at .*dmesg"):
                await journal.append(PolicyAdded("posts"))
            with pytest.raises(NOT_NOW):
                await journal.mark()
        await journal.append(PolicyAdded("web"))
        assert set(await journal.policies()) == {"shop", "web"}
        assert journal.verify().sound


async def test_damage_that_is_found_in_use_is_told_with_what_to_do(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=BALLAST_BYTES) as journal:
        await journal.append(PolicyAdded("shop"))
        writer = journal._writer()
        with writer.connection:
            writer.connection.execute("PRAGMA writable_schema = ON")
            writer.connection.execute("UPDATE sqlite_master SET rootpage = 9999 WHERE name = 'events'")
        writer._is_open = False
        with pytest.raises(JournalUnusable, match=r"journal.db is damaged: .* — put a good copy back"):
            await journal.append(PolicyAdded("posts"))
