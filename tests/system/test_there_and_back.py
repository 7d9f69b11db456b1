"""A service is backed up to two stores and put back from either."""

import shutil
from collections.abc import Callable

import pytest

from tests.system.aftermath import assert_stores_are_sound, assert_what_is_claimed_is_there
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.trees import grow, portrait

pytestmark = pytest.mark.system


def test_full_and_incremental_reach_both_stores_and_come_back_identical(two_stores_each_restic: Machine) -> None:
    machine = two_stores_each_restic.protect("shop")
    source = grow(machine.data / "shop")
    (source / "latest").symlink_to("album-0/1-000.bin")
    machine.start()
    first = machine.drd("backup", "shop", "--full", "--json").done().json
    before = portrait(source)
    grow(source, files=3, seed=2)
    (source / "album-0" / "1-000.bin").unlink()
    second = machine.drd("backup", "shop", "--json").done().json
    points = machine.points("shop")
    assert [point["run"] for point in points] == [second["run"], first["run"]]
    assert [point["mode"] for point in points] == ["incremental", "full"]
    assert all(set(point["stores"]) == {"local", "offsite"} for point in points)
    for store in ("local", "offsite"):
        target = machine.folder / f"from-{store}"
        machine.drd("restore", "shop", "--to", str(target), "--from", store).done()
        assert portrait(target) == portrait(source)
    older = machine.folder / "older"
    machine.drd("restore", "shop", "--to", str(older), "--at", points[1]["moment"]).done()
    assert portrait(older) == before
    assert [set(point["proven_in"]) for point in machine.points("shop")] == [{"local", "offsite"}, {"local"}]
    assert_what_is_claimed_is_there(machine, "shop")
    machine.stop()
    assert_stores_are_sound(machine)
    assert machine.drd("journal", "verify", "--json").done().json["sound"]


def test_a_part_comes_back_alone_and_a_whole_beside_its_source(machine: Machine) -> None:
    machine.protect("shop")
    source = grow(machine.data / "shop")
    machine.start()
    machine.drd("backup", "shop").done()
    whole = portrait(source)
    target = machine.folder / "one"
    found = machine.drd("restore", "shop", "--to", str(target), "--path", "album-1", "--json").done().json
    assert found["result"]["files"] == 6
    assert portrait(target).keys() == {path for path in whole if path.startswith("album-1")}
    assert portrait(target)["album-1/1-001.bin"] == whole["album-1/1-001.bin"]
    assert machine.points("shop")[0]["proven_in"] == []
    shutil.rmtree(source / "album-0")
    beside = machine.drd("restore", "shop", "--to", "beside", "--json").done().json["result"]["places"]
    assert [place.startswith(f"{source}.restored-") for place in beside] == [True]
    assert portrait(machine.data / beside[0]) == whole
    assert not (source / "album-0").exists()
    refused = machine.drd("restore", "shop", "--to", str(target)).done(2)
    assert "is not empty" in refused.stderr


def test_a_store_that_turns_out_damaged_gives_way_to_the_next_and_is_healed(two_stores: Machine) -> None:
    machine = two_stores.protect("shop")
    source = grow(machine.data / "shop")
    machine.start()
    machine.drd("backup", "shop").done()
    pack = max((machine.repository / "data").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    content = bytearray(pack.read_bytes())
    content[100] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)
    target = machine.folder / "back"
    told = machine.drd("restore", "shop", "--to", str(target)).done()
    assert portrait(target) == portrait(source)
    assert "repository is damaged" in told.stdout
    assert [(end["store"], end["outcome"]) for end in machine.events("restore-finished")] == [
        ("local", "failed"),
        ("offsite", "succeeded"),
    ]
    assert ("local", "restore", False) in [
        (checked["store"], checked["subset"], checked["sound"]) for checked in machine.events("store-checked")
    ]
    wait_for(lambda: machine.state_of("local") == "ok", "healed from its mirror", 120)
    assert [path.name for path in machine.folder.glob("*restoring*")] == []


def test_a_new_machine_restores_from_its_configuration_and_the_off_site_store_alone(two_stores: Machine) -> None:
    machine = two_stores.protect("shop")
    source = grow(machine.data / "shop")
    machine.start()
    machine.drd("backup", "shop").done()
    [before] = machine.points("shop")
    machine.stop()
    whole = portrait(source)
    for lost in (machine.state, machine.repository, source):
        shutil.rmtree(lost)
    target = machine.folder / "rescued"
    machine.drd("restore", "shop", "--to", str(target)).done()
    assert portrait(target) == whole
    points = machine.points("shop")
    assert [point["stores"] for point in points] == [["offsite"]]
    assert points[0]["total_bytes"] == before["total_bytes"] > 0


def test_without_a_daemon_commands_do_the_same_work_themselves(two_stores: Machine) -> None:
    machine = two_stores.protect("shop")
    source = grow(machine.data / "shop")
    done = machine.drd("backup", "shop", "--json").done().json
    assert done["outcome"] == "succeeded"
    points = machine.points("shop")
    assert [set(point["stores"]) for point in points] == [{"local", "offsite"}]
    machine.drd("restore", "shop", "--to", str(machine.folder / "back"), "--from", "offsite").done()
    assert portrait(machine.folder / "back") == portrait(source)
    assert machine.drd("status", "--json").done().json["running"] is False
    machine.start()
    assert [point["run"] for point in machine.points("shop")] == [done["run"]]


def test_a_program_s_output_is_saved_and_one_that_dies_saves_nothing(
    another_machine: Callable[..., Machine], restic_binaries: dict[str, object]
) -> None:
    for age, restic in restic_binaries.items():
        machine = another_machine(age, restic)
        listing = {"command": {"argv": ["cat", "listing"], "filename": "members.txt"}}
        machine.protect("members", listing)
        (machine.data / "listing").write_text("a\nb\nc\n")
        machine.start()
        machine.drd("backup", "members").done()
        machine.drd("restore", "members", "--to", str(machine.folder / "back")).done()
        assert (machine.folder / "back" / "members.txt").read_text() == "a\nb\nc\n"
        # It writes much, and then fails: the half of it must not become a recovery point.
        broken = {"command": {"argv": ["sh", "-c", "head -c 3000000 /dev/urandom; exit 3"], "filename": "members.txt"}}
        machine.protect("members", broken)
        machine.drd("reload").done()
        failed = machine.drd("backup", "members", "--json").done(1).json
        assert failed["outcome"] == "failed"
        assert len(machine.points("members")) == 1
        assert len(machine.snapshots_in("local")) == 1
        machine.stop()


def test_several_sources_make_one_recovery_point_of_several_parts(two_stores: Machine) -> None:
    machine = two_stores
    uploads = grow(machine.data / "uploads")
    (machine.data / "listing").write_text("who follows whom\n")
    machine.protect(
        "community",
        [
            {"files": {"paths": ["uploads"]}, "part": "pictures"},
            {"command": {"argv": ["cat", "listing"], "filename": "members.txt"}, "part": "members"},
        ],
    )
    machine.start()
    machine.drd("backup", "community").done()
    assert len(machine.snapshots_in("offsite")) == 2
    (point,) = machine.points("community")
    assert set(point["stores"]) == {"local", "offsite"}
    target = machine.folder / "back"
    machine.drd("restore", "community", "--to", str(target), "--from", "offsite").done()
    assert portrait(target / "pictures") == portrait(uploads)
    assert (target / "members" / "members.txt").read_text() == "who follows whom\n"
    # One part that fails leaves no recovery point of the other.
    (machine.data / "listing").unlink()
    machine.drd("backup", "community").done(1)
    assert len(machine.points("community")) == 1
