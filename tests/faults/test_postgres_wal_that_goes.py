"""WAL that nothing needs any more goes from the stores of a real server's policy, and what is promised stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.shops import POLICY, Shop, works_on
from tests.postgres_lab import Lab
from tests.system.disks import small_disk
from tests.system.machine import Machine
from tests.system.programs import Running, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

DISK_MIB = 276
"""Of which drd leaves 256 free, so that a group of the spool holds 5 MiB."""
BASES = 2


@pytest.fixture
def shop(two_stores: Machine, postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(two_stores, postgres_lab, f"goes{abs(hash(request.node.name)) % 10000}")
    with small_disk(two_stores.state / "spool", DISK_MIB):
        yield made
        two_stores.shut_down()
    made.cluster.kill()


def test_any_moment_keeps_what_it_promises_and_lets_the_rest_go(shop: Shop) -> None:
    early, count = with_old_wal(shop)
    old = groups_in(shop)
    forget(shop)
    assert groups_in(shop) == old, "an hour is promised"
    assert shop.restored("--from", "offsite", "--at", early) == count
    promise(shop, "1s")
    forget(shop)
    left = groups_in(shop)
    for store in shop.machine.settings["stores"]:
        assert len(left[store]) < len(old[store]), store
        assert max(left[store]) == max(old[store]), store
    recent, count = shop.moment()
    for store in shop.machine.settings["stores"]:
        assert shop.restored("--from", store, "--at", recent) == count
        assert shop.restored("--from", store) == shop.orders
    refused = shop.machine.drd("restore", POLICY, "--at", early, "--to", str(shop.place().data))
    assert refused.code
    assert "covered: " in refused.stderr


@pytest.mark.parametrize("store", ["local", "offsite"])
def test_kill_9_of_drd_while_wal_is_forgotten_takes_nothing_that_is_promised(shop: Shop, store: str) -> None:
    with_old_wal(shop)
    promise(shop, "1s")
    daemon = shop.machine.daemon
    assert daemon is not None
    place = f"{shop.machine.repository}-wal" if store == "local" else "s3:"
    command = shop.machine.command("forget", POLICY, "--confirm", POLICY)
    wait_for(lambda: forgets_wal(daemon, place), f"WAL of {store} is forgotten")
    daemon.kill()
    assert command.ended(30) != 0, "the command must not take this for success"
    shop.sell(50)
    shop.assert_all_is_sound()
    shop.machine.start()
    forget(shop)
    left = groups_in(shop)
    assert left["local"] == left["offsite"], "what was begun is ended"


def test_wal_that_vanished_from_a_store_is_noticed_held_and_healed(shop: Shop) -> None:
    shop.open()
    shop.sell(50)
    moment, count = shop.moment()
    shop.machine.stop()
    for each in (Path(f"{shop.machine.repository}-wal") / "snapshots").iterdir():
        each.unlink()
    shop.machine.start()
    wait_for(lambda: events_of(shop, "damage-healed"), "what vanished is back", 120)
    found = events_of(shop, "damage-found")
    assert f"{POLICY}, WAL from " in found[0]["message"]
    assert "drd did not forget" in events_of(shop, "hold-placed")[0]["reason"]
    shop.sell(50)
    shop.wait_shipped()
    assert shop.restored("--from", "local", "--at", moment) == count
    assert shop.restored("--from", "local") == shop.orders
    assert shop.machine.status()["warnings"] == []


def events_of(shop: Shop, kind: str) -> list[dict[str, Any]]:
    """What is on record of the WAL beside the first store."""
    return [each for each in shop.machine.events(kind) if each["store"] == "local.wal"]


def forgets_wal(daemon: Running, place: str) -> int | None:
    """The pid of a restic that removes WAL from a store; it only lists with --dry-run."""
    pid = works_on(daemon, place, "forget")
    return pid if pid is not None and "--dry-run" not in daemon.children().get(pid, []) else None


def with_old_wal(shop: Shop) -> tuple[str, int]:
    """Several groups of WAL that lie before the newest base backup; an early moment, and the orders then."""
    shop.keep_little_wal()
    promise(shop, "1h")
    shop.open()
    early = shop.moment()
    for _ in range(BASES):
        shop.write_and_remove_wal()
        shop.machine.drd("backup", POLICY, "--full").done()
    shop.write_and_remove_wal()
    shop.wait_shipped()
    return early


def promise(shop: Shop, any_moment: str) -> None:
    """Have one base backup kept, and every moment of so long; a spool that is full for a while costs no WAL."""
    shop.keep = {"last": 1, "any_moment": any_moment}
    shop.protect(when_full="stop")
    if shop.machine.daemon is not None:
        shop.machine.drd("reload").done()


def forget(shop: Shop) -> None:
    """Apply retention, as a person does."""
    shop.machine.drd("forget", POLICY, "--confirm", POLICY).done()


def groups_in(shop: Shop) -> dict[str, set[str]]:
    """Store → the groups of WAL that it has."""
    found: dict[str, set[str]] = {}
    for store in shop.machine.settings["stores"]:
        events = [each for each in shop.machine.events(policy=POLICY) if each.get("store") == f"{store}.wal"]
        shipped = {each["group"] for each in events if each["kind"] == "wal-shipped"}
        gone = {group for each in events if each["kind"] == "wal-forgotten" for group in each["groups"]}
        found[store] = shipped - gone
    return found
