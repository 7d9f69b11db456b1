"""A run says honestly what it read."""

import shutil

import pytest

from tests.system.disks import Image
from tests.system.machine import NO_READ_OVERRIDE, Machine
from tests.system.trees import grow, portrait

pytestmark = pytest.mark.system


def test_an_incremental_reads_what_changed_and_a_full_reads_everything_again(machine: Machine) -> None:
    image = Image(machine.folder / "disk.img", machine.data / "shop")
    machine.protect("shop")
    with image.mounted() as source:
        (source / "silent").write_bytes(b"before-the-change" * 1)
        grow(source)
        machine.start()
        machine.drd("backup", "shop", "--full").done()
    image.replace(b"before-the-change", b"after--the-change")
    with image.mounted():
        machine.drd("backup", "shop").done()
        machine.drd("restore", "shop", "--to", str(machine.folder / "incremental")).done()
        machine.drd("backup", "shop", "--full").done()
        machine.drd("restore", "shop", "--to", str(machine.folder / "full")).done()
    assert (machine.folder / "incremental" / "silent").read_bytes() == b"before-the-change"
    assert (machine.folder / "full" / "silent").read_bytes() == b"after--the-change"
    machine.stop()


def test_what_cannot_be_read_makes_the_run_incomplete_and_no_good_point(two_stores_each_restic: Machine) -> None:
    machine = two_stores_each_restic.protect("shop")
    machine.wrapper = NO_READ_OVERRIDE
    source = grow(machine.data / "shop")
    machine.start()
    good = machine.drd("backup", "shop", "--json").done().json
    (source / "album-0" / "1-000.bin").chmod(0)
    grow(source, files=1, seed=9)
    run = machine.drd("backup", "shop", "--json").done(1).json
    assert run["outcome"] == "incomplete"
    assert "could not be read" in run["message"]
    assert machine.status_of("shop")["state"] == "incomplete"
    newest = machine.points("shop")[0]
    assert (newest["run"], newest["outcome"]) == (run["run"], "incomplete")
    # What is called the newest good point is the one before.
    found = machine.drd("restore", "shop", "--to", str(machine.folder / "back"), "--json").done().json["result"]
    assert found["files"] == 12
    assert good["run"] in {event["point_run"] for event in machine.events("restore-started")}


def test_a_source_that_is_not_what_it_was_fails_the_run_loudly(machine: Machine) -> None:
    source = grow(machine.data / "shop", files=10, size_bytes=65536)
    whole = portrait(source)
    machine.protect("shop", guard={"shrink": "30 %"})
    machine.start()
    machine.drd("backup", "shop").done()
    aside = source.rename(machine.data / "aside")

    missing = machine.drd("backup", "shop", "--json").done(1).json
    assert missing["outcome"] == "failed"
    assert f"{source} does not exist" in missing["message"]
    assert missing["hint"]

    source.mkdir()
    empty = machine.drd("backup", "shop", "--json").done(1).json
    assert f"there is not a single file below {source}" in empty["message"]

    grow(source, files=2, size_bytes=65536)
    shrunk = machine.drd("backup", "shop", "--json").done(1).json
    assert "has shrunk from 640 KiB to 128 KiB" in shrunk["message"]

    shutil.rmtree(source)
    source.symlink_to(aside)
    link = machine.drd("backup", "shop", "--json").done(1).json
    assert "is a symbolic link" in link["message"]
    assert machine.status_of("shop")["state"] == "failed"

    # None of that is a good point, and the good one still comes back.
    machine.drd("restore", "shop", "--to", str(machine.folder / "back")).done()
    assert portrait(machine.folder / "back") == whole
    assert all("/data/" not in str(event["body"].get("first", "")) for event in machine.events())


def test_a_disk_that_is_not_mounted_fails_the_run(machine: Machine) -> None:
    grow(machine.data / "shop")
    machine.protect("shop", {"files": {"paths": ["shop"], "mounted": True}})
    machine.start()
    run = machine.drd("backup", "shop", "--json").done(1).json
    assert "nothing is mounted at" in run["message"]
    assert not machine.points("shop")
