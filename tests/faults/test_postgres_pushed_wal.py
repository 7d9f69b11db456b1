"""`drd wal-push` as the `archive_command` of a real server, beside receiving."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drd.cli import wal_push
from tests.faults.shops import SLOT, Shop
from tests.postgres_lab import Lab
from tests.system.machine import DRD, Machine
from tests.system.programs import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture
def shop(two_stores: Machine, postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(two_stores, postgres_lab, f"push{abs(hash(request.node.name)) % 10000}")
    yield made
    made.cluster.kill()


def test_segments_come_once_by_two_paths_and_a_receiver_that_is_down_leaves_no_gap(shop: Shop) -> None:
    incoming = push_to(shop)
    shop.keep_little_wal()
    shop.open()
    shop.sell(3000)
    shop.cluster.execute("SELECT pg_switch_wal()")
    shop.wait_shipped()
    wait_archived(shop)
    wait_for(lambda: not segments_in(incoming), "what came by both paths is taken once")
    # drd is down, its slot is gone, and the server removes what it has archived: there is only what was pushed.
    shop.machine.stop()
    shop.cluster.execute("SELECT pg_drop_replication_slot(%s)", SLOT)
    shop.write_and_remove_wal()
    wait_archived(shop)
    pushed = segments_in(incoming)
    assert len(pushed) > 8
    first = min(pushed)
    assert not (shop.cluster.data / "pg_wal" / first).exists()
    between, count = shop.cluster.value("SELECT clock_timestamp()"), shop.orders
    shop.machine.start()
    wait_for(lambda: not segments_in(incoming), "what was pushed is taken")
    wait_for(shop.is_received, "WAL is received again", 90)
    shop.sell(50)
    shop.cluster.execute("SELECT pg_switch_wal()")
    shop.wait_shipped(seconds=150)
    for store in shop.machine.settings["stores"]:
        assert shop.restored("--from", store) == shop.orders, store
    assert shop.restored("--from", "offsite", "--at", between.isoformat()) == count
    assert not list((shop.machine.state / "spool").glob("*/*/refused/*"))
    assert {path.name for path in incoming.iterdir()} == {"cluster"}


def push_to(shop: Shop) -> Path:
    """A folder between the server's user and drd, and the server's `archive_command` into it."""
    incoming = shop.cluster.folder / "incoming"
    incoming.mkdir(mode=0o770)
    if shop.lab.user:
        shutil.chown(incoming, shop.lab.user, os.getgid())
        incoming.chmod(0o2770)
    shop.protect(incoming=str(incoming))
    shop.cluster.configure({"archive_mode": "on", "archive_command": f"{program_of(shop)} wal-push %p {incoming}"})
    shop.cluster.stop()
    shop.cluster.start()
    return incoming


def program_of(shop: Shop) -> str:
    """drd where the server's user may run it; else the same module without the rest of drd."""
    if subprocess.run([DRD, "--version"], capture_output=True, check=False, **shop.lab.identity).returncode == 0:
        return str(DRD)
    shutil.copy(wal_push.__file__, shop.cluster.folder / "wal_push.py")
    program = shop.cluster.folder / "drd.py"
    program.write_text("import sys, wal_push\nsys.exit(wal_push.main(sys.argv[2:]))\n")
    return f"/usr/bin/python3 {program}"


def wait_archived(shop: Shop) -> None:
    """Until the server has archived all segments but the newest."""
    status = shop.cluster.data / "pg_wal" / "archive_status"
    wait_for(lambda: list(status.glob("*.done")) and not list(status.glob("*.ready")), "the server has archived", 150)


def segments_in(folder: Path) -> list[str]:
    """Whole segments in a folder."""
    return sorted(path.name for path in folder.iterdir() if len(path.name) == 24)
