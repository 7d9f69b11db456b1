"""The machine under drd fails: its disk is full, its programs are gone, its record is damaged."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.faults.middles import POLICY
from tests.system.aftermath import assert_all_is_sound
from tests.system.disks import small_disk
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.trees import grow

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

MEBIBYTE = 1024 * 1024


def test_a_full_state_disk_is_told_and_overcome(machine: Machine) -> None:
    with small_disk(machine.state, 32):
        daemon = _with_a_first_point(machine).daemon
        assert daemon is not None
        _fill(machine.state)
        failed = machine.drd("backup", POLICY).done(1)
        assert f"the disk that holds {machine.state} is full" in failed.stderr
        assert "make room" in failed.stderr
        wait_for(lambda: "is full" in daemon.said(), "it tells of it in its log")
        assert daemon.is_alive
        (machine.state / "filler").unlink()
        wait_for(lambda: "has room again" in daemon.said(), "it notices that there is room")
        assert_all_is_sound(machine, POLICY)


def test_ballast_lets_a_run_be_recorded_on_a_disk_that_has_just_filled_up(machine: Machine) -> None:
    with small_disk(machine.state, 200):
        daemon = _with_a_first_point(machine).daemon
        assert daemon is not None
        wait_for((machine.state / "ballast").exists, "the ballast is there")
        _fill(machine.state)
        machine.drd("backup", POLICY).done()
        assert not (machine.state / "ballast").exists()
        assert [event["kind"] for event in machine.events("ballast-released")]
        (machine.state / "filler").unlink()
        wait_for((machine.state / "ballast").exists, "the ballast is back")
        assert_all_is_sound(machine, POLICY)


def test_a_missing_restic_is_one_sentence_that_says_what_to_install(machine: Machine) -> None:
    grow(machine.data / POLICY)
    machine.settings["restic"] = str(machine.folder / "restic")
    machine.protect(POLICY)
    daemon = machine.launch()
    assert daemon.ended() == 1
    assert "error: " in daemon.said()
    assert "apt-get install restic" in daemon.said()
    assert "apt-get install restic" in machine.drd("backup", POLICY).done(1).stderr
    shutil.copy(machine.restic, machine.settings["restic"])
    machine.start()
    machine.drd("backup", POLICY).done()
    # An upgrade takes it away for a moment.
    Path(machine.settings["restic"]).unlink()
    failed = machine.drd("backup", POLICY, "--json").done(1).json
    assert "is not there" in failed["message"]
    shutil.copy(machine.restic, machine.settings["restic"])
    assert_all_is_sound(machine, POLICY)


def test_an_event_that_was_changed_on_the_disk_is_named(machine: Machine) -> None:
    _with_a_first_point(machine)
    machine.stop()
    victim = machine.events("snapshot-created")[0]
    _change_one_byte_of(machine.state / "journal.db", victim["snapshot_id"])
    verdict = machine.drd("journal", "verify", "--json").done(1).json
    assert (verdict["sound"], verdict["sequence"]) == (False, victim["sequence"])
    assert f"event {victim['sequence']}" in machine.drd("journal", "verify").done(1).stdout


def test_a_journal_that_is_no_database_any_more_is_refused_with_what_to_type(machine: Machine) -> None:
    _with_a_first_point(machine)
    machine.stop()
    journal = machine.state / "journal.db"
    content = bytearray(journal.read_bytes())
    content[:4096] = b"\x00\xff" * 2048
    journal.write_bytes(content)
    daemon = machine.launch()
    assert daemon.ended() == 1
    assert f"the journal {journal} is damaged" in daemon.said()
    assert f"mv {journal} {journal}.damaged" in daemon.said()
    assert "is damaged" in machine.drd("status").done(1).stderr
    machine.drd("journal", "verify").done(1)
    # What the hint says helps: the recovery points are found again in the stores.
    journal.rename(journal.with_name("journal.db.damaged"))
    machine.start()
    wait_for(lambda: machine.points(POLICY), "the recovery points are found again")
    assert_all_is_sound(machine, POLICY)


def _with_a_first_point(machine: Machine) -> Machine:
    grow(machine.data / POLICY)
    machine.protect(POLICY)
    machine.start()
    machine.drd("backup", POLICY).done()
    return machine


def _fill(disk: Path) -> None:
    """Not a byte is left."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            return


def _change_one_byte_of(database: Path, text: str) -> None:
    """As a failing disk would: SQLite itself notices nothing."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(database.read_bytes())
    at = content.index(text.encode())
    content[at] ^= 1
    database.write_bytes(content)
