"""The disk of the spool is full of WAL that a store has not got yet, and later there is room again."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.shops import POLICY, SLOT, Shop
from tests.postgres_lab import Lab
from tests.system.disks import small_disk
from tests.system.machine import Machine
from tests.system.programs import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

MEBIBYTE = 2**20
DISK_MIB = 288
"""Of which drd leaves 256 free, so that there is room for 32 MiB of WAL."""


@pytest.fixture
def shop(two_stores: Machine, postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(two_stores, postgres_lab, f"full{abs(hash(request.node.name)) % 10000}")
    with small_disk(two_stores.state / "spool", DISK_MIB):
        yield made
        two_stores.shut_down()
    made.cluster.kill()


def test_where_receiving_stops_the_server_keeps_the_wal_and_nothing_is_lost(shop: Shop) -> None:
    fill(shop, "stop")
    assert shop.cluster.rows("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", SLOT)
    shop.write_and_remove_wal()
    make_room(shop)
    shop.wait_shipped(seconds=150)
    assert not shop.machine.events("wal-gap-found", POLICY)
    assert shop.restored("--from", "offsite") == shop.orders


def test_where_the_slot_is_let_go_the_servers_disk_is_spared_and_a_new_base_backup_leads_on(shop: Shop) -> None:
    fill(shop, "let_go")
    shop.write_and_remove_wal()
    told = wait_for(lambda: told_of(shop, "was dropped before the server's disk is full"), "the slot is let go", 180)
    assert told["is_lost"]
    wait_for(
        lambda: not shop.cluster.rows("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", SLOT), "it is gone"
    )
    shop.write_and_remove_wal()
    shop.cluster.execute("CHECKPOINT")
    assert shop.cluster.value("SELECT sum(size) FROM pg_ls_waldir()") < DISK_MIB * MEBIBYTE / 10
    before = len(shop.machine.points(POLICY))
    make_room(shop)
    wait_for(lambda: shop.machine.events("wal-gap-found", POLICY), "the gap is named", 180)
    wait_for(lambda: len(shop.machine.points(POLICY)) > before, "a new base backup is made by itself", 180)
    shop.wait_shipped(seconds=150)
    assert shop.restored("--from", "offsite") == shop.orders


def fill(shop: Shop, rule: str) -> None:
    """Sell while a store is away until the spool is full."""
    assert shop.machine.s3 is not None
    shop.keep_little_wal()
    shop.protect(when_full=rule)
    shop.open()
    shop.wait_shipped()
    shop.machine.s3.stop()
    for _ in range(40):
        if told_of(shop, "the disk of the spool has"):
            break
        shop.sell(2000)
        shop.cluster.execute("CHECKPOINT")
    told = wait_for(lambda: told_of(shop, "the disk of the spool has"), "it is told")
    assert told["hint"]
    [wal] = shop.machine.status()["wal"]
    assert any("no WAL of orders is received" in need for need in wal["needs"])
    assert 'drd_wal_spool_full{policy="orders"} 1' in shop.machine.metrics()


def make_room(shop: Shop) -> None:
    """Have the store back, so that the spool empties."""
    assert shop.machine.s3 is not None
    shop.machine.s3.start()
    wait_for(shop.is_received, "WAL is received again", 180)


def told_of(shop: Shop, words: str) -> dict[str, Any] | None:
    """What was told of an interruption in these words."""
    return next((each for each in shop.machine.events("wal-interrupted", POLICY) if words in each["message"]), None)
