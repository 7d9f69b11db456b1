"""Stores that go away, refuse, fill up or are not what they were."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.middles import POLICY, amid_a_copy, let_go
from tests.system.aftermath import assert_all_is_sound
from tests.system.disks import small_disk
from tests.system.machine import LOCAL_PASSWORD, NO_READ_OVERRIDE, OFFSITE_PASSWORD, Machine
from tests.system.programs import wait_for
from tests.system.trees import grow

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

CAUGHT_UP_SECONDS = 90.0
"""drd tries an absent store again after 15 s, and then after 60 s."""


def test_an_off_site_store_that_is_away_holds_nobody_up_and_is_caught_up(two_stores: Machine) -> None:
    machine = _with_a_first_point(two_stores)
    assert machine.s3 is not None
    machine.s3.stop()
    grow(machine.data / POLICY, seed=2)
    run = machine.drd("backup", POLICY, "--json").done(3).json
    assert run["outcome"] == "succeeded"
    assert run["result"]["late"] == ["offsite"]
    assert machine.points(POLICY)[0]["stores"] == ["local"]
    assert machine.state_of("offsite") == "away"
    assert [event["store"] for event in machine.events("store-went-away")] == ["offsite"]
    away = machine.drd("check", "offsite").done(1)
    assert "error: store offsite is away" in away.stderr
    machine.s3.start()
    wait_for(lambda: set(machine.points(POLICY)[0]["stores"]) == {"local", "offsite"}, "caught up", CAUGHT_UP_SECONDS)
    assert [event["store"] for event in machine.events("store-came-back")] == ["offsite"]
    assert_all_is_sound(machine, POLICY)


def test_an_off_site_store_that_goes_in_the_middle_of_a_copy_has_no_copy_until_it_is_whole(
    two_stores_each_restic: Machine,
) -> None:
    machine = two_stores_each_restic
    assert machine.s3 is not None
    middle = amid_a_copy(machine)
    machine.s3.stop()
    assert middle.command is not None
    assert middle.command.ended() == 3, middle.command.said()
    assert machine.points(POLICY)[0]["stores"] == ["local"]
    machine.s3.start()
    let_go(machine)
    machine.drd("reload").done()
    wait_for(lambda: set(machine.points(POLICY)[0]["stores"]) == {"local", "offsite"}, "caught up", CAUGHT_UP_SECONDS)
    assert_all_is_sound(machine, POLICY)


def test_a_run_goes_to_the_next_store_while_the_first_is_away(two_stores_each_restic: Machine) -> None:
    machine = two_stores_each_restic
    assert machine.s3 is not None
    grow(machine.data / POLICY)
    machine.protect(POLICY, to=["offsite", "local"])
    machine.start()
    machine.drd("backup", POLICY).done()
    machine.s3.stop()
    run = machine.drd("backup", POLICY, "--json").done(3).json
    assert run["result"]["late"] == ["offsite"]
    assert machine.points(POLICY)[0]["stores"] == ["local"]
    machine.s3.start()
    wait_for(lambda: set(machine.points(POLICY)[0]["stores"]) == {"local", "offsite"}, "caught up", CAUGHT_UP_SECONDS)
    assert_all_is_sound(machine, POLICY)


def test_a_store_that_restarts_in_the_middle_of_a_backup_into_it_costs_nothing(two_stores_each_restic: Machine) -> None:
    machine = two_stores_each_restic
    assert machine.s3 is not None
    grow(machine.data / POLICY, files=20, size_bytes=1024 * 1024)
    machine.settings["stores"].pop("local")
    machine.settings["stores"]["offsite"]["limits"] = {"upload": "4 MiB/s"}
    machine.protect(POLICY)
    daemon = machine.start()
    command = machine.command("backup", POLICY)
    bucket = machine.s3.folder / "drd"
    wait_for(lambda: daemon.child("restic", "backup") and list((bucket / "locks").glob("*")), "restic is at work")
    machine.s3.stop()
    machine.s3.start()
    assert command.ended() == 0, command.said()
    let_go(machine)
    machine.restart()
    assert_all_is_sound(machine, POLICY)


def test_a_wrong_password_is_one_sentence_that_says_what_to_correct(two_stores_each_restic: Machine) -> None:
    machine = _with_a_first_point(two_stores_each_restic)
    machine.set_secret("local", "another-password-7713")
    failed = machine.drd("backup", POLICY, "--json").done(1).json
    assert "does not open with its password" in failed["message"]
    assert "`password:`" in failed["hint"]
    machine.set_secret("local", LOCAL_PASSWORD)
    machine.set_secret("offsite", "another-password-7713")
    failed = machine.drd("check", "offsite").done(1)
    assert "does not open with its password" in failed.stderr
    machine.set_secret("offsite", OFFSITE_PASSWORD)
    assert_all_is_sound(machine, POLICY)


def test_wrong_keys_of_a_bucket_are_found_before_restic_is_let_near_it(two_stores: Machine) -> None:
    machine = two_stores
    assert machine.s3 is not None
    machine.set_secret("s3", f"{machine.s3.access_key}:not-the-secret")
    grow(machine.data / POLICY)
    machine.protect(POLICY)
    machine.start()
    run = machine.drd("backup", POLICY, "--json").done(3).json
    assert run["result"]["late"] == ["offsite"]
    assert machine.state_of("offsite") == "away"
    validated = machine.drd("validate", "--reach", "--json").done(1).json
    (finding,) = validated["findings"]
    assert "store offsite" in finding["message"]
    assert finding["hint"]
    machine.set_secret("s3", f"{machine.s3.access_key}:{machine.s3.secret_key}")
    wait_for(lambda: set(machine.points(POLICY)[0]["stores"]) == {"local", "offsite"}, "caught up", CAUGHT_UP_SECONDS)
    assert_all_is_sound(machine, POLICY)


def test_a_store_that_is_suddenly_empty_is_held_and_never_made_anew(machine: Machine) -> None:
    _with_a_first_point(machine)
    aside = machine.folder / "unmounted"
    machine.repository.rename(aside)
    machine.repository.mkdir()
    failed = machine.drd("backup", POLICY, "--json").done(1).json
    assert "holds no repository now" in failed["message"]
    assert "drd accept local" in failed["hint"]
    assert not list(machine.repository.iterdir())
    assert machine.state_of("local") == "held"
    machine.repository.rmdir()
    aside.rename(machine.repository)
    machine.drd("backup", POLICY).done()
    machine.drd("release", "local", "--confirm", "local").done()
    assert_all_is_sound(machine, POLICY)


def test_a_store_whose_loss_is_accepted_begins_anew(machine: Machine) -> None:
    _with_a_first_point(machine)
    shutil.rmtree(machine.repository)
    machine.drd("backup", POLICY).done(1)
    machine.drd("accept", "local", "--confirm", "local").done()
    machine.drd("backup", POLICY).done()
    assert len(machine.points(POLICY)) == 1, "what stood in the old repository is not claimed any more"
    assert_all_is_sound(machine, POLICY)


def test_a_store_without_room_fails_the_run_and_goes_on_when_there_is_room(
    tmp_path: Path, two_stores_each_restic: Machine
) -> None:
    machine = two_stores_each_restic
    with small_disk(tmp_path / "disk", 32) as disk:
        machine.settings["stores"]["local"]["local"] = str(disk / "repository")
        machine.repository = disk / "repository"
        machine.settings["stores"].pop("offsite")
        machine = _with_a_first_point(machine)
        grow(machine.data / POLICY, files=10, size_bytes=1024 * 1024, seed=2)
        (disk / "filler").write_bytes(b"x" * (26 * 1024 * 1024))
        failed = machine.drd("backup", POLICY, "--json").done(1).json
        assert "is full" in failed["message"]
        assert "make room" in failed["hint"]
        assert machine.daemon is not None
        assert machine.daemon.is_alive
        (disk / "filler").unlink()
        assert_all_is_sound(machine, POLICY)


def test_another_live_daemon_in_a_store_means_that_nothing_is_forgotten_there(
    another_machine: Callable[..., Machine], newest_restic: Path
) -> None:
    first, second = (another_machine(name, newest_restic) for name in ("first", "second"))
    for machine in (first, second):
        grow(machine.data / POLICY)
        machine.settings["stores"]["local"]["local"] = str(first.repository)
        machine.protect(POLICY, keep={"last": 1})
    first.start()
    first.drd("backup", POLICY).done()
    second.wrapper = NO_READ_OVERRIDE
    second.start()
    second.drd("backup", POLICY).done()
    first.drd("backup", POLICY).done()
    # A run that is incomplete has the second look at what the store really holds, before its hourly look.
    (second.data / POLICY / "album-0" / "1-000.bin").chmod(0)
    second.drd("backup", POLICY).done(1)
    wait_for(lambda: second.state_of("local") == "held", "the second daemon holds", 90)
    (hold,) = second.events("hold-placed")
    assert "another live daemon" in hold["reason"]
    held = len(first.snapshots_in("local"))
    second.drd("forget", POLICY, "--confirm", POLICY).done(5)
    assert len(first.snapshots_in("local")) == held


def _with_a_first_point(machine: Machine) -> Machine:
    grow(machine.data / POLICY)
    machine.protect(POLICY)
    machine.start()
    machine.drd("backup", POLICY).done()
    return machine


def test_what_was_forgotten_in_one_store_is_not_brought_back_from_another(two_stores: Machine) -> None:
    machine = _with_a_first_point(two_stores)
    assert machine.s3 is not None
    grow(machine.data / POLICY, seed=2)
    machine.drd("backup", POLICY).done()
    machine.protect(POLICY, keep={"last": 1})
    machine.s3.stop()
    machine.restart()
    machine.drd("forget", POLICY, "--confirm", POLICY).done(1)  # the one store cannot be asked
    assert len(machine.snapshots_in("local")) == 1
    machine.s3.start()
    machine.drd("backup", POLICY).done(0, 3)
    wait_for(lambda: set(machine.points(POLICY)[0]["stores"]) == {"local", "offsite"}, "copied", CAUGHT_UP_SECONDS)
    machine.stop()
    back = [event for event in machine.events("copy-created") if event["store"] == "local"]
    assert not back
