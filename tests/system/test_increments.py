"""Incremental base backups of a real server without continuous WAL: made, kept, copied, and restored as one cluster."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.postgres_lab import Cluster, Lab
from tests.system.machine import Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


@pytest.fixture
def shop(newer_postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    name = f"shop{abs(hash(request.node.name)) % 10000}"
    cluster = newer_postgres_lab.new(name, segment_mib=1, settings={"summarize_wal": "on"})
    cluster.make_role("drd", "secret", "REPLICATION")
    cluster.admit("drd")
    cluster.reload()
    cluster.execute(f"CREATE TABLESPACE fast LOCATION '{cluster.make_folder('fast')}'")
    cluster.execute("CREATE TABLE orders (number int PRIMARY KEY, note text) TABLESPACE fast")
    cluster.execute("INSERT INTO orders SELECT i, repeat('y', 500) FROM generate_series(1, 20000) i")
    cluster.execute("VACUUM orders")
    cluster.execute("CREATE EXTENSION amcheck")
    yield cluster
    cluster.kill()


def protect(machine: Machine, cluster: Cluster, lab: Lab, **backup: Any) -> None:
    machine.set_secret("dsn", cluster.dsn("drd", "secret").decode())
    where = {"dsn": {"file": str(machine.folder / "secrets" / "dsn")}, "programs": str(lab.programs)}
    machine.protect("orders", {"postgres": where}, **backup)


def back_up(machine: Machine, cluster: Cluster, *words: str) -> dict[str, Any]:
    """Write an order, and take a backup; what the journal says of it."""
    cluster.execute("INSERT INTO orders SELECT max(number) + 1, 'new' FROM orders")
    machine.drd("backup", "orders", *words).done()
    return machine.events("snapshot-created", "orders")[-1]


def orders_in(machine: Machine, lab: Lab, name: str, *words: str) -> int:
    copy = lab._place(name, has_port=False)
    ended = machine.drd("restore", "orders", "--to", str(copy.data), "--programs", str(lab.programs), *words).done()
    assert "pg_verifybackup found it whole" in ended.stdout
    with (copy.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"unix_socket_directories = '{copy.sockets}'\nport = {copy.port}\n")
    copy.start()
    assert copy.rows("SELECT * FROM verify_heapam('orders')") == []
    assert copy.value("SELECT bt_index_check('orders_pkey', true)") in ("", None)
    count = copy.value("SELECT count(*) FROM orders")
    copy.kill()
    assert sorted(path.name for path in copy.folder.iterdir()) == ["data", "data.tablespaces", "log", "s"]
    return int(count)


def test_what_changed_is_saved_and_comes_back_whole(machine: Machine, shop: Cluster, newer_postgres_lab: Lab) -> None:
    protect(machine, shop, newer_postgres_lab)
    full, changed = back_up(machine, shop, "--full"), back_up(machine, shop)
    assert [fact for fact in changed["facts"] if fact.startswith("pg-prior=")]
    assert changed["total_bytes"] < full["total_bytes"] / 2
    assert orders_in(machine, newer_postgres_lab, "newest") == 20002


@pytest.mark.faults
def test_a_chain_is_kept_and_comes_back_on_a_new_machine(
    two_stores: Machine, shop: Cluster, newer_postgres_lab: Lab
) -> None:
    machine, lab = two_stores, newer_postgres_lab
    protect(machine, shop, lab, keep={"last": 1})
    taken = [back_up(machine, shop, "--full"), back_up(machine, shop), back_up(machine, shop)]
    priors = [[fact for fact in each["facts"] if fact.startswith("pg-prior=")] for each in taken]
    assert [len(each) for each in priors] == [0, 1, 1]
    assert taken[2]["total_bytes"] < taken[0]["total_bytes"] / 2

    machine.drd("forget", "orders", "--confirm", "orders").done()
    assert len(machine.points("orders")) == 3, "what an incremental that is kept follows is kept too"
    assert orders_in(machine, lab, "earlier", "--at", taken[1]["moment"]) == 20002
    refused = machine.drd("restore", "orders", "--to", str(machine.folder / "x"), "--path", "base/PG_VERSION")
    assert "incremental base backup" in refused.stderr

    for lost in (machine.state, machine.repository):
        subprocess.run(["rm", "-r", str(lost)], check=True)
    assert orders_in(machine, lab, "anew", "--from", "offsite") == 20003


@pytest.mark.faults
def test_without_summaries_and_on_a_new_timeline_it_is_a_full_and_says_why(
    machine: Machine, shop: Cluster, newer_postgres_lab: Lab
) -> None:
    lab = newer_postgres_lab
    protect(machine, shop, lab)
    back_up(machine, shop, "--full")
    shop.configure({"summarize_wal": "off"})
    shop.reload()
    assert not [fact for fact in back_up(machine, shop)["facts"] if fact.startswith("pg-prior=")]
    assert "a full base backup" in machine.events("run-finished", "orders")[-1]["message"]
    shop.configure({"summarize_wal": "on"})
    shop.reload()
    assert [fact for fact in back_up(machine, shop)["facts"] if fact.startswith("pg-prior=")]
    subprocess.run(["rm", "-r", str(machine.state / "kept")], check=True)
    assert not [fact for fact in back_up(machine, shop)["facts"] if fact.startswith("pg-prior=")]
    assert "is not kept here" in machine.events("run-finished", "orders")[-1]["message"]
    shop.stop()
    (shop.data / "recovery.signal").touch()
    shop.configure({"restore_command": "false"})
    shop.start()
    assert not [fact for fact in back_up(machine, shop)["facts"] if fact.startswith("pg-prior=")]
    assert "of timeline 1" in machine.events("run-finished", "orders")[-1]["message"]
