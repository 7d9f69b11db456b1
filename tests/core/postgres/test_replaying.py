"""What a server that recovers is told, and what it is answered when it asks for WAL."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Choice
from drd.core.postgres.replaying import (
    LastWords,
    Offer,
    command,
    has_reached,
    in_list,
    lacks_history,
    last_words,
    missing,
    offers,
    script,
    settings,
)
from drd.core.postgres.target import AtLsn, AtName, AtTime, Latest
from drd.core.postgres.timeline import History, Switch
from drd.core.postgres.wal import Segment

SIZE = 2**20
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BASE = Base("01R", 1, Lsn(2 * SIZE + 40), Lsn(2 * SIZE + 300), NOON)
CHOICE = Choice(BASE, History(1), Lsn(5 * SIZE + 100), Lsn(6 * SIZE), SIZE)
LATER = replace(CHOICE, history=History(2, (Switch(1, Lsn(4 * SIZE + 50)),)))


def names(*numbers: int, timeline: int = 1) -> dict[str, int]:
    return {Segment(timeline, number, SIZE).name: SIZE for number in numbers}


def partial(number: int, timeline: int = 1) -> dict[str, int]:
    return {f"{Segment(timeline, number, SIZE).name}.partial": SIZE}


def wanted(files: dict[str, int], choice: Choice = CHOICE) -> dict[str, str]:
    return {offer.wanted: offer.file for offer in offers(files, choice)}


def test_whole_segments_and_histories_are_offered_and_nothing_else() -> None:
    files = {
        **names(2, 3),
        Segment(1, 4, SIZE).name: SIZE - 1,
        "00000002.history": 40,
        "00000003.history": 0,
        "README": 12,
        f"{Segment(1, 2, SIZE).name}.00000028.backup": 300,
    }
    assert set(wanted(files)) == {*names(2, 3), "00000002.history"}


def test_the_segment_in_writing_is_offered_as_the_very_end_only() -> None:
    end = Segment(1, 4, SIZE).name
    assert wanted({**names(2, 3), **partial(4)})[end] == f"{end}.partial"
    assert wanted({**names(2, 3, 4), **partial(4)})[end] == end
    assert end not in wanted({**names(2, 3, 5), **partial(4)})
    assert end not in wanted({**names(2, 3), **partial(4)}, LATER)
    assert Segment(2, 4, SIZE).name in wanted({**names(2, 3), **partial(4, timeline=2)}, LATER)


def test_what_lacks_on_the_way_to_the_target_is_named() -> None:
    assert missing(offers(names(2, 3, 4, 5), CHOICE), CHOICE) == ()
    [gap] = missing(offers(names(2, 5), CHOICE), CHOICE)
    assert (gap.first.number, gap.last.number) == (3, 4)
    found = {**names(2, 3), **names(4, 5, timeline=2)}
    assert missing(offers(found, LATER), LATER) == ()
    assert lacks_history(offers(found, LATER), LATER)
    assert not lacks_history(offers({**found, "00000002.history": 40}, LATER), LATER)
    assert not lacks_history(offers(names(2), CHOICE), CHOICE)


def test_each_target_is_told_as_it_is_meant() -> None:
    at = datetime(2026, 11, 22, 20, 0, 0, 5, timezone(timedelta(hours=8)))
    time = settings(CHOICE, AtTime(at), "cmd")
    assert time["recovery_target_time"] == "2026-11-22 12:00:00.000005+00:00"
    lsn = settings(CHOICE, AtLsn(Lsn(255)), "cmd")
    assert (lsn["recovery_target_lsn"], lsn["recovery_target_inclusive"]) == ("0/FF", "off")
    name = settings(CHOICE, AtName("before it"), "cmd")
    assert (name["recovery_target_lsn"], name["recovery_target_inclusive"]) == (str(CHOICE.until), "off")
    assert [list(each)[-1] for each in (time, lsn, name)] == [f"recovery_target_{w}" for w in ("time", "lsn", "lsn")]
    for told in (settings(CHOICE, Latest(), "cmd"), settings(CHOICE, AtTime(at), "cmd", to_the_end=True)):
        assert {told[f"recovery_target_{what}"] for what in ("time", "lsn", "name", "xid")} == {""}
    assert settings(CHOICE, Latest(), "cmd")["recovery_target_timeline"] == "current"
    assert settings(LATER, Latest(), "cmd")["recovery_target_timeline"] == "2"


def test_a_header_of_a_page_may_lie_between_the_last_record_and_the_position() -> None:
    assert has_reached(Lsn(8192 - 24), Lsn(8192))
    assert has_reached(Lsn(9000), Lsn(8192))
    assert not has_reached(Lsn(8000), Lsn(8192))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("FATAL:  recovery ended before configured recovery target was reached", LastWords.TARGET_BEHIND_THE_END),
        ('FATAL:  could not restore file "00" from archive: child process exited with 255', LastWords.WAL_AWAY),
        ("22:00:01 GMT [12] FATAL:  no", LastWords.OTHER),
        ("PANIC:  could not locate a valid checkpoint record", LastWords.OTHER),
    ],
)
def test_the_last_words_of_a_server_are_understood(line: str, why: LastWords) -> None:
    found, sentence = last_words(["LOG:  starting", line, "LOG:  database system is shut down"])
    assert found is why
    assert sentence == line.partition(":  ")[2]
    assert last_words(["LOG:  starting"]) == (LastWords.OTHER, "it gave no reason")
    shut = 'postgres: could not access directory "/srv/x": Permission denied'
    assert last_words([shut]) == (LastWords.OTHER, shut)


# --- the script, as the server runs it -------------------------------------------------------------------------------


class Asking:
    """A folder with WAL and the script that gives from it."""

    def __init__(self, folder: Path) -> None:
        self.wal = folder / "the wal's folder 100%"
        self.wal.mkdir(parents=True)
        self.listed, self.script, self.got = folder / "files", folder / "deliver it", folder / "RECOVERYXLOG"
        (self.wal / "0A").write_bytes(b"ten bytes.")
        (self.wal / "0B.partial").write_bytes(b"five.")
        self.list(Offer("0A", "0A", 10), Offer("0B", "0B.partial", 5))
        self.script.write_text(script(self.listed, self.wal))

    def list(self, *offered: Offer) -> None:
        self.listed.write_text(in_list(offered))

    def ask(self, name: str) -> int:
        line = command(self.script).replace("%f", name).replace("%p", self.got.name).replace("%%", "%")
        return subprocess.run(["/bin/sh", "-c", line], cwd=self.got.parent, check=False, timeout=30).returncode


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def test_what_is_there_is_delivered_under_the_name_that_was_asked_for(asking: Asking) -> None:
    assert asking.ask("0A") == 0
    assert asking.got.read_bytes() == b"ten bytes."
    assert asking.ask("0B") == 0
    assert asking.got.read_bytes() == b"five."


def test_only_what_the_list_lacks_is_told_to_be_absent(asking: Asking) -> None:
    (asking.wal / "0C").write_bytes(b"not listed")
    assert [asking.ask(name) for name in ("0C", "00000002.history", "0", "A")] == [1, 1, 1, 1]
    assert not asking.got.exists()


def test_what_is_listed_and_cannot_be_read_stops_the_server(asking: Asking) -> None:
    (asking.wal / "0A").unlink()
    assert asking.ask("0A") == 255
    asking.list(Offer("0B", "0B.partial", 6))
    assert asking.ask("0B") == 255
    assert not asking.got.exists()


def test_without_its_list_nothing_is_told_to_be_absent(asking: Asking) -> None:
    asking.listed.unlink()
    assert asking.ask("0C") == 255
