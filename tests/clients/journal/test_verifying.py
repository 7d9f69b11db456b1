"""Every way to damage a journal is found, and the first event that does not fit is named."""

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from drd.clients.journal.chain import next_head
from drd.core.errors import JournalDamaged
from drd.ports.journal import Verdict
from tests.clients.journal.made import StillClock, whole_run

Damage = Callable[[sqlite3.Connection], None]


@pytest.fixture
async def three_segments(tmp_path: Path, clock: StillClock) -> Path:
    """Events 1 to 41 in the first file, 42 to 82 in the second, 83 to 123 in the third."""
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        for month in range(3):
            for number in range(10):
                await journal.append(*whole_run("web", month * 10 + number), run=f"r{month}-{number}")
            if month < 2:
                assert await journal.seal()
                clock.move(timedelta(days=31))
    return tmp_path


async def verdict(state: Path, anchors: dict[int, str] | None = None) -> Verdict:
    async with await SqliteJournal.open(state, StillClock(), readonly=True) as journal:
        return journal.verify(anchors)


def damage(file: Path, how: Damage) -> None:
    file.chmod(0o600)
    connection = sqlite3.connect(file)
    connection.execute("DROP TRIGGER events_are_never_changed")
    connection.execute("DROP TRIGGER events_are_never_removed")
    how(connection)
    connection.commit()
    connection.close()


def flip(sequence: int) -> Damage:
    def how(connection: sqlite3.Connection) -> None:
        [(data,)] = connection.execute("SELECT bytes FROM events WHERE sequence = ?", (sequence,))
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        connection.execute("UPDATE events SET bytes = ? WHERE sequence = ?", (flipped, sequence))

    return how


def forge_head(sequence: int) -> Damage:
    return lambda connection: connection.execute(  # type: ignore[return-value]
        "UPDATE events SET head = zeroblob(32) WHERE sequence = ?", (sequence,)
    )


def remove(first: int, last: int) -> Damage:
    return lambda connection: connection.execute(  # type: ignore[return-value]
        "DELETE FROM events WHERE sequence BETWEEN ? AND ?", (first, last)
    )


def swap(one: int, other: int) -> Damage:
    def how(connection: sqlite3.Connection) -> None:
        rows = {
            sequence: connection.execute("SELECT bytes, head FROM events WHERE sequence = ?", (sequence,)).fetchone()
            for sequence in (one, other)
        }
        for sequence, (data, head) in ((one, rows[other]), (other, rows[one])):
            connection.execute("UPDATE events SET bytes = ?, head = ? WHERE sequence = ?", (data, head, sequence))

    return how


def rewrite(sequence: int) -> Damage:
    """The forger's way: change an event and compute every later head anew."""

    def how(connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT sequence, bytes, head FROM events WHERE sequence >= ? ORDER BY sequence", (sequence - 1,)
        ).fetchall()
        head = rows[0][2]
        for number, data, _ in rows[1:]:
            forged = data.replace(b'"succeeded"', b'"succeedex"') if number == sequence else data
            head = next_head(head, forged)
            connection.execute("UPDATE events SET bytes = ?, head = ? WHERE sequence = ?", (forged, head, number))
        connection.execute("UPDATE projection SET last_head = ?", (head,))

    return how


async def test_an_undamaged_journal_is_sound(three_segments: Path) -> None:
    assert await verdict(three_segments) == Verdict(sound=True, events=123)


@pytest.mark.parametrize("file", ["journal-2026-10.db", "journal-2026-11.db", "journal.db"])
@pytest.mark.parametrize("place", [0, 7, 39])
async def test_a_flipped_bit_is_found_in_every_segment(three_segments: Path, file: str, place: int) -> None:
    sequence = {"journal-2026-10.db": 1, "journal-2026-11.db": 42, "journal.db": 83}[file] + place
    damage(three_segments / file, flip(sequence))
    found = await verdict(three_segments)
    assert (found.sound, found.sequence, found.events) == (False, sequence, sequence - 1)
    assert file in found.problem


@pytest.mark.parametrize(
    ("file", "how", "first", "problem"),
    [
        ("journal-2026-10.db", forge_head(9), 9, "do not give the head"),
        ("journal-2026-10.db", remove(9, 9), 9, "event 9 is missing before"),
        ("journal-2026-10.db", remove(1, 1), 1, "event 1 is missing before"),
        ("journal-2026-11.db", remove(50, 59), 50, "events 50 to 59 are missing before"),
        ("journal-2026-10.db", remove(40, 41), 40, "events 40 to 41 are missing before journal-2026-11.db"),
        ("journal-2026-11.db", swap(50, 60), 50, "do not give the head"),
        ("journal.db", remove(122, 123), 122, "all up to 123 were here once"),
        ("journal.db", swap(122, 123), 122, "do not give the head"),
    ],
)
async def test_the_first_event_that_does_not_fit_is_named(
    three_segments: Path, file: str, how: Damage, first: int, problem: str
) -> None:
    damage(three_segments / file, how)
    found = await verdict(three_segments)
    assert (found.sound, found.sequence) == (False, first)
    assert problem in found.problem


async def test_a_missing_segment_is_named_by_its_events(three_segments: Path) -> None:
    (three_segments / "journal-2026-11.db").unlink()
    found = await verdict(three_segments)
    assert (found.sound, found.sequence) == (False, 42)
    assert found.problem == "events 42 to 82 are missing before journal.db goes on with 83"


async def test_a_chain_that_was_computed_anew_is_betrayed_by_an_anchor_outside(
    three_segments: Path, clock: StillClock
) -> None:
    async with await SqliteJournal.open(three_segments, clock, readonly=True) as journal:
        anchors = {event.sequence: event.head for event in journal.events() if event.sequence in (84, 110)}
    assert (await verdict(three_segments, anchors)).sound
    damage(three_segments / "journal.db", rewrite(87))
    assert (await verdict(three_segments)).sound
    found = await verdict(three_segments, anchors)
    assert (found.sound, found.sequence) == (False, 110)
    assert "anchored outside" in found.problem


async def test_a_chain_that_was_cut_off_is_betrayed_by_an_anchor_outside(three_segments: Path) -> None:
    found = await verdict(three_segments, {500: "0" * 64})
    assert (found.sound, found.sequence) == (False, 124)


async def test_a_page_that_cannot_be_read_is_named_by_its_first_event(three_segments: Path) -> None:
    file = three_segments / "journal-2026-10.db"
    file.chmod(0o600)
    connection = sqlite3.connect(file)
    [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'")
    connection.close()
    with file.open("r+b") as raw:
        raw.seek((page - 1) * 4096)
        raw.write(b"\xa5" * 4096)
    found = await verdict_of_unreadable(three_segments)
    assert "malformed" in found or "damaged" in found


async def verdict_of_unreadable(state: Path) -> str:
    try:
        return (await verdict(state)).problem
    except JournalDamaged as error:
        return error.message


async def test_a_file_that_is_no_database_says_what_to_type(three_segments: Path, clock: StillClock) -> None:
    (three_segments / "journal.db").write_bytes(b"these are no pages at all" * 1000)
    for readonly in (True, False):
        with pytest.raises(JournalDamaged, match=r"is damaged: .* — .*`mv .*journal.db .*journal.db.damaged`"):
            await SqliteJournal.open(three_segments, clock, readonly=readonly)


async def test_a_database_of_something_else_is_refused(tmp_path: Path, clock: StillClock) -> None:
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.execute("CREATE TABLE events (a)")
    connection.close()
    for readonly in (True, False):
        with pytest.raises(JournalDamaged, match="not a journal of drd's"):
            await SqliteJournal.open(tmp_path, clock, readonly=readonly)


async def test_a_journal_that_lost_its_tail_does_not_open_for_writing(three_segments: Path, clock: StillClock) -> None:
    damage(three_segments / "journal.db", remove(122, 123))
    with pytest.raises(JournalDamaged, match="events up to 123 were written"):
        await SqliteJournal.open(three_segments, clock)


async def test_a_missing_current_file_is_not_taken_for_a_new_journal(three_segments: Path, clock: StillClock) -> None:
    (three_segments / "journal.db").unlink()
    with pytest.raises(JournalDamaged, match="it is missing, though sealed segments of it are there"):
        await SqliteJournal.open(three_segments, clock)


def test_the_triggers_refuse_to_change_or_remove_events(three_segments: Path) -> None:
    connection = sqlite3.connect(three_segments / "journal.db")
    for statement in ("UPDATE events SET head = zeroblob(32)", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="events are never"):
            connection.execute(statement)
    connection.close()
