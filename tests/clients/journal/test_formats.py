"""Formats: an older drd refuses a newer journal, and a newer one copies the file before it changes it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from drd.clients.journal.schema import Layout
from drd.core.errors import JournalDamaged, PermanentError
from drd.core.events import FORMAT
from tests.clients.journal.made import StillClock, whole_run

NEXT = FORMAT + 1


def add_a_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE notes (text)")


def fail(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE notes (text)")
    connection.execute("this is no SQL")


@pytest.fixture
async def older(tmp_path: Path, clock: StillClock) -> Path:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        await journal.append(*whole_run("web", 1), run="r1")
    return tmp_path


def stored_format(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        [(number,)] = connection.execute("PRAGMA user_version")
        return int(number)


async def test_a_migration_copies_the_file_first(older: Path, clock: StillClock) -> None:
    layout = Layout(NEXT, {FORMAT: add_a_table})
    async with await SqliteJournal.open(older, clock, ballast_bytes=4096, layout=layout) as journal:
        assert journal.verify().sound
        await journal.append(*whole_run("web", 2), run="r2")
        assert len(await journal.points("web")) == 2
    copy = older / f"journal-before-{NEXT}.db"
    assert stored_format(older / "journal.db") == NEXT
    assert stored_format(copy) == FORMAT
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (5,)


async def test_an_older_drd_refuses_a_newer_journal_and_names_the_copy(older: Path, clock: StillClock) -> None:
    layout = Layout(NEXT, {FORMAT: add_a_table})
    async with await SqliteJournal.open(older, clock, ballast_bytes=4096, layout=layout):
        pass
    for readonly in (False, True):
        with pytest.raises(JournalDamaged, match=rf"has format {NEXT}.*up to {FORMAT} — .*journal-before-{NEXT}.db"):
            await SqliteJournal.open(older, clock, readonly=readonly)
    (older / f"journal-before-{NEXT}.db").replace(older / "journal.db")
    async with await SqliteJournal.open(older, clock, ballast_bytes=4096) as journal:
        assert journal.verify().sound


async def test_a_migration_that_fails_changes_nothing(older: Path, clock: StillClock) -> None:
    with pytest.raises(PermanentError):
        await SqliteJournal.open(older, clock, layout=Layout(NEXT, {FORMAT: fail}))
    assert stored_format(older / "journal.db") == FORMAT
    async with await SqliteJournal.open(older, clock, ballast_bytes=4096) as journal:
        assert journal.verify().events == 5


async def test_a_format_that_no_migration_leads_from_is_said(older: Path, clock: StillClock) -> None:
    with pytest.raises(JournalDamaged, match=f"no migration is known from its format {NEXT}"):
        await SqliteJournal.open(older, clock, layout=Layout(NEXT + 1, {FORMAT: add_a_table}))


async def test_a_reader_does_not_migrate(older: Path, clock: StillClock) -> None:
    with pytest.raises(PermanentError, match=r"older format .* — start the new daemon once"):
        await SqliteJournal.open(older, clock, readonly=True, layout=Layout(NEXT, {FORMAT: add_a_table}))
    assert stored_format(older / "journal.db") == FORMAT
