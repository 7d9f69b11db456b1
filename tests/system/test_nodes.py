"""A policy over two real servers: WAL goes on from the new primary after a failover, and nothing lies between."""

from collections.abc import Iterator
from typing import Any

import pytest

from drd.core.postgres.heartbeat import CREATE, rights
from drd.core.postgres.names import slot_name
from tests.postgres_lab import Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.test_wal import buy, has_reached, now_of

pytestmark = pytest.mark.system
SLOT = slot_name("orders")
NAMES = ("orders-1", "orders-2")


@pytest.fixture
def pair(postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, Cluster]]:
    name = f"n{abs(hash(request.node.name)) % 10000}"
    primary = postgres_lab.new(f"{name}a", is_durable=True, settings={"max_slot_wal_keep_size": "2GB"})
    primary.make_role("drd", "secret", "REPLICATION")
    primary.execute("CREATE TABLE orders (number bigserial, note text)")
    for statement in (*CREATE, *rights("drd"), "GRANT pg_read_all_stats TO drd;"):
        primary.execute(statement)
    standby = postgres_lab.standby(primary, f"{name}b")
    for cluster in (primary, standby):
        cluster.admit("drd")
        cluster.reload()
    yield primary, standby
    primary.kill()
    standby.kill()


def protected(machine: Machine, pair: tuple[Cluster, Cluster], lab: Lab) -> Machine:
    nodes: dict[str, Any] = {}
    for name, cluster in zip(NAMES, pair, strict=True):
        machine.set_secret(name, cluster.dsn("drd", "secret").decode())
        dsn = {"file": str(machine.folder / "secrets" / name)}
        nodes[name] = {"host": "127.0.0.1", "site": "hangzhou", "postgres": {"dsn": dsn}}
    machine.settings["nodes"] = nodes
    source = {
        "postgres": {"from": "standby", "fallback": "primary", "wal": "continuous", "programs": str(lab.programs)}
    }
    machine.protect("orders", source)
    machine.policies["orders"]["nodes"] = list(NAMES)
    return machine.write()


def is_shipped(machine: Machine, cluster: Cluster) -> None:
    """Wait until all is shipped that is committed by now."""
    moment = now_of(cluster)
    wait_for(lambda: has_reached(machine, "local.wal", moment), "WAL is shipped")


def lost(machine: Machine) -> list[dict[str, Any]]:
    return [each for each in machine.events("wal-interrupted", "orders") if each["is_lost"]]


def slot_of(cluster: Cluster) -> Any:
    return cluster.rows("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = %s", SLOT)


def test_after_a_failover_wal_comes_from_the_new_primary_and_none_lacks(
    machine: Machine, pair: tuple[Cluster, Cluster], postgres_lab: Lab
) -> None:
    primary, standby = pair
    protected(machine, pair, postgres_lab).start()
    buy(primary)
    is_shipped(machine, primary)
    wait_for(lambda: slot_of(standby), "the standby has a slot")
    assert machine.drd("backup", "orders").done().code == 0
    assert any("taken from orders-2, a standby" in str(each) for each in machine.events("run-finished", "orders"))
    buy(primary, 100)
    wait_for(lambda: standby.value("SELECT count(*) FROM orders") == 101, "the standby has followed")
    beats = standby.value("SELECT count(*) FROM drd.heartbeat WHERE policy = 'orders'")
    primary.kill()
    standby.promote()
    buy(standby, 100)
    is_shipped(machine, standby)
    assert beats == 1
    assert lost(machine) == []
    target = postgres_lab.folder / "restored"
    machine.drd("restore", "orders", "--to", str(target), "--at", "latest").done()
    assert (target / "PG_VERSION").exists()


def test_a_new_primary_is_followed_while_the_old_one_still_answers(
    machine: Machine, pair: tuple[Cluster, Cluster], postgres_lab: Lab
) -> None:
    primary, standby = pair
    protected(machine, pair, postgres_lab).start()
    buy(primary)
    is_shipped(machine, primary)
    wait_for(lambda: slot_of(standby), "the standby has a slot")
    standby.promote()
    buy(standby, 10)
    is_shipped(machine, standby)
    assert lost(machine) == []
