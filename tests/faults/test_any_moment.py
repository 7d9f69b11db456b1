"""Restores to random moments, positions and names of a cluster that was written to all the time.

A client's own log says what each has to hold: of a moment everything acknowledged before it and nothing begun after it,
of a position or a name exactly what was there. There are tablespaces, a large object, an unlogged table, two base
backups, and a change of timeline in the middle.
"""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.postgres_lab import Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.test_to_a_moment import has_reached, protected

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
CASES = 20
SEED = 20261122
WRITES = (
    "INSERT INTO orders SELECT %(number)s, string_agg(md5(random()::text), '') FROM generate_series(1, 40)",
    "SELECT lo_put(4711, 0, %(text)s)",
    "INSERT INTO baskets VALUES (%(number)s)",
)
BROKEN = """
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace,
       LATERAL verify_heapam(pg_class.oid) WHERE relkind IN ('r', 't') AND relpersistence = 'p'
"""
INDEXES = """
SELECT bt_index_parent_check(pg_class.oid, true) FROM pg_class JOIN pg_am ON pg_am.oid = relam
WHERE amname = 'btree' AND relkind = 'i' AND relpersistence = 'p'
"""


@dataclass
class Log:
    """What the client did: number n stands at index n - 1."""

    begun: list[datetime] = field(default_factory=list)
    acknowledged: list[datetime] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    """Position in the WAL → how many orders were there then."""
    names: dict[str, int] = field(default_factory=dict)

    def must(self, moment: datetime) -> set[int]:
        return {number for number, at in enumerate(self.acknowledged, 1) if at < moment}

    def may(self, moment: datetime) -> set[int]:
        return {number for number, at in enumerate(self.begun, 1) if at <= moment}


@dataclass(frozen=True)
class Shop:
    machine: Machine
    cluster: Cluster
    log: Log
    first: datetime
    """From here on all is covered."""
    last: datetime


class Client(threading.Thread):
    """Writes orders one after the other until it is told to stop."""

    def __init__(self, cluster: Cluster, log: Log) -> None:
        super().__init__()
        self._cluster = cluster
        self._log = log
        self.over = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._cluster.dsn().decode(), autocommit=True) as connection:
            while not self.over.is_set():
                self._write(connection)
                time.sleep(0.01)  # the pace of a shop, not a wait

    def _write(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        number = len(self._log.begun) + 1
        self._log.begun.append(datetime.now(UTC))
        with connection.transaction():
            for statement in WRITES:
                connection.execute(statement.encode(), {"number": number, "text": f"{number:08}".encode()})
        self._log.acknowledged.append(datetime.now(UTC))
        if number % 25 == 0:
            [[position]] = connection.execute("SELECT pg_current_wal_insert_lsn()::text")
            self._log.positions[str(position)] = number
        if number % 400 == 0:
            name = f"after {number}"
            connection.execute("SELECT pg_create_restore_point(%s)", (name,))
            self._log.names[name] = number


def buying(cluster: Cluster, log: Log, count: int) -> None:
    """Let a client write so many orders."""
    client = Client(cluster, log)
    target = len(log.begun) + count
    client.start()
    wait_for(lambda: len(log.acknowledged) >= target or not client.is_alive(), "orders are written", 120)
    client.over.set()
    client.join()
    assert len(log.acknowledged) == len(log.begun)


@pytest.fixture(scope="module")
def shop(postgres_lab: Lab, newest_restic: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    cluster = postgres_lab.new("anymoment", is_durable=True, segment_mib=1, settings={"wal_keep_size": "64MB"})
    cluster.make_role("drd", "secret", "REPLICATION")
    cluster.admit("drd")
    cluster.reload()
    cluster.execute(f"CREATE TABLESPACE fast LOCATION '{cluster.make_folder('fast')}'")
    cluster.execute(f"CREATE TABLESPACE slow LOCATION '{cluster.make_folder('slow')}'")
    cluster.execute("CREATE EXTENSION amcheck")
    cluster.execute(
        "CREATE TABLE orders (number int PRIMARY KEY USING INDEX TABLESPACE slow, note text) TABLESPACE fast"
    )
    cluster.execute("CREATE UNLOGGED TABLE baskets (number int PRIMARY KEY)")
    cluster.execute("SELECT lo_from_bytea(4711, '00000000')")
    log = Log()
    machine = protected(Machine(tmp_path_factory.mktemp("machine"), newest_restic), cluster)
    try:
        machine.start()
        wait_for(lambda: machine.points("orders") and machine.points("orders")[0]["stores"], "a base backup", 60)
        wait_for(lambda: has_reached(machine, "local.wal", datetime.now(UTC) - timedelta(minutes=1)), "WAL comes", 60)
        first = datetime.now(UTC)
        buying(cluster, log, 600)
        machine.drd("backup", "orders", "--full").done()
        buying(cluster, log, 300)
        cluster.stop()
        (cluster.data / "standby.signal").touch()
        (cluster.data / "standby.signal").chmod(0o644)
        cluster.start()
        cluster.promote()
        assert cluster.value("SELECT timeline_id FROM pg_control_checkpoint()") in (1, 2)
        buying(cluster, log, 600)
        last = log.acknowledged[-1]
        wait_for(lambda: has_reached(machine, "local.wal", last), "all of it is shipped", 120)
        yield Shop(machine, cluster, log, first, last)
    finally:
        cluster.kill()
        machine.shut_down()


def target_of(case: int, shop: Shop) -> tuple[str, set[int], set[int]]:
    """What is typed after --at, and what the copy has to hold at least and at most."""
    lots = random.Random(SEED + case)
    if case % 5 == 3:
        position, count = lots.choice(sorted(shop.log.positions.items()))
        return position, set(range(1, count + 1)), set(range(1, count + 1))
    if case % 5 == 4:
        name, count = lots.choice(sorted(shop.log.names.items()))
        return f"name:{name}", set(range(1, count + 1)), set(range(1, count + 1))
    moment = shop.first + (shop.last - shop.first) * lots.random()
    return moment.isoformat(), shop.log.must(moment), shop.log.may(moment)


@pytest.mark.parametrize("case", range(CASES))
def test_a_random_target_is_met(case: int, shop: Shop, postgres_lab: Lab) -> None:
    typed, least, most = target_of(case, shop)
    copy = postgres_lab._place(f"moment{case}", False)
    shop.machine.drd("restore", "orders", "--to", str(copy.data), "--at", typed).done()
    with (copy.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"unix_socket_directories = '{copy.sockets}'\nport = {copy.port}\n")
    copy.start()
    try:
        found = {number for (number,) in copy.rows("SELECT number FROM orders")}
        assert least <= found <= most, typed
        assert found == set(range(1, len(found) + 1)), "what was committed later is there without what came before"
        assert int(bytes(copy.value("SELECT lo_get(4711)")).decode()) == len(found)
        assert copy.value("SELECT count(*) FROM baskets") == 0
        assert copy.value(BROKEN) == 0
        copy.rows(INDEXES)
    finally:
        copy.kill()
