"""The replication slot that WAL is received by is dropped, loses its WAL, or is read by a program that hangs."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from tests.faults.shops import POLICY, SLOT, Shop
from tests.postgres_lab import Lab
from tests.system.machine import Machine
from tests.system.programs import kill_hard, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture
def shop(two_stores: Machine, postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(two_stores, postgres_lab, f"slot{abs(hash(request.node.name)) % 10000}")
    yield made
    made.cluster.kill()


def test_a_slot_that_is_dropped_is_made_again_and_nothing_is_lost_while_the_server_has_the_wal(shop: Shop) -> None:
    shop.open()
    drop_slot(shop)
    shop.sell(20)
    told = wait_for(lambda: told_of(shop, "is missing on the server"), "it is told")
    assert not told["is_lost"]
    assert told["hint"]
    wait_for(shop.is_received, "WAL is received by a new slot")
    shop.wait_shipped()
    assert not shop.machine.events("wal-gap-found", POLICY)
    assert not shop.machine.events("new-base-wanted", POLICY)
    for store in shop.machine.settings["stores"]:
        assert shop.restored("--from", store) == shop.orders, store


def test_a_slot_that_is_dropped_with_its_wal_is_told_and_a_new_base_backup_leads_on(shop: Shop) -> None:
    shop.keep_little_wal()
    shop.open()
    before, count = shop.moment()
    daemon = shop.machine.daemon
    assert daemon is not None
    daemon.signal(signal.SIGSTOP)  # or it would have a new slot before the server had removed anything
    drop_slot(shop)
    shop.write_and_remove_wal()
    daemon.signal(signal.SIGCONT)
    assert_a_new_base_leads_on(shop, before, count)


def test_a_slot_that_is_lost_by_the_servers_limit_is_told_and_a_new_base_backup_leads_on(shop: Shop) -> None:
    shop.keep_little_wal(max_slot_wal_keep_size="4MB")
    shop.open()
    before, count = shop.moment()
    receiver = pid_of_receiver(shop)
    os.kill(receiver, signal.SIGSTOP)
    try:
        shop.write_and_remove_wal()
        wait_for(lambda: told_of(shop, SLOT, is_lost=True), "the loss is told")
    finally:
        kill_hard(receiver)
    assert_a_new_base_leads_on(shop, before, count)


def test_a_receiver_that_hangs_is_noticed_and_started_again_and_nothing_is_lost(shop: Shop) -> None:
    shop.open()
    receiver = pid_of_receiver(shop)
    os.kill(receiver, signal.SIGSTOP)
    shop.sell(50)
    told = wait_for(lambda: told_of(shop, "no WAL was received for"), "the stall is noticed")
    assert not told["is_lost"]
    wait_for(lambda: shop.is_received() and pid_of_receiver(shop) != receiver, "another one receives")
    wait_for(lambda: shop.machine.events("wal-resumed", POLICY), "that is told as well")
    shop.wait_shipped()
    assert not shop.machine.events("wal-gap-found", POLICY)
    assert shop.restored("--from", "offsite") == shop.orders


def drop_slot(shop: Shop) -> None:
    """Drop drd's slot though somebody receives by it."""

    def dropped() -> bool:
        with suppress(psycopg.errors.ObjectInUse):
            shop.cluster.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s AND active",
                SLOT,
            )
            shop.cluster.execute("SELECT pg_drop_replication_slot(%s)", SLOT)
            return True
        return False

    wait_for(dropped, "the slot is dropped")


def pid_of_receiver(shop: Shop) -> int:
    """Who receives for drd."""
    daemon = shop.machine.daemon
    assert daemon is not None
    return wait_for(lambda: daemon.child("pg_receivewal"), "WAL is received")


def told_of(shop: Shop, words: str, *, is_lost: bool = False) -> dict[str, object] | None:
    """What was told of an interruption in these words."""
    told = shop.machine.events("wal-interrupted", POLICY)
    return next((each for each in told if words in str(each["message"]) and each["is_lost"] >= is_lost), None)


def assert_a_new_base_leads_on(shop: Shop, before: str, count: int) -> None:
    """The gap is named, a new base backup is made by itself, and all moments before and after the gap are there."""
    wait_for(lambda: told_of(shop, "", is_lost=True), "the loss is told")
    wait_for(lambda: shop.machine.events("wal-gap-found", POLICY), "the gap is named", 90)
    wait_for(lambda: len(shop.machine.points(POLICY)) > 1, "a new base backup is made by itself", 90)
    wait_for(shop.is_received, "WAL is received by a new slot")
    shop.wait_shipped()
    assert shop.restored("--from", "offsite") == shop.orders
    assert shop.restored("--from", "local", "--at", before) == count
