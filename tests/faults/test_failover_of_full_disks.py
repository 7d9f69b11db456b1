"""A disk of the primary is full while clients write: of its log, which ends it, or of its data, which does not."""

import os
import subprocess
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.failover_site import NODES
from tests.postgres_lab import Cluster
from tests.postgres_pair import Pair, assert_taken_over, lost
from tests.run_ends import BY_HAND, assert_it_ends, run_of
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces and mount disks"),
]
PATIENCE = 120.0
OLD, NEW = NODES
LOG_MIB, DATA_MIB = 96, 96
CALM_SECONDS = 5.0


def until_it_fails(server: Cluster, statement: str) -> None:
    while True:
        server.execute(statement)


def fill_log(server: Cluster) -> None:
    """Write log until the server ends of that."""
    with pytest.raises(psycopg.OperationalError):
        until_it_fails(server, "SELECT pg_logical_emit_message(false, 'full', repeat('x', 4000000))")


def fill_data(server: Cluster) -> None:
    """Take all room of the data, down to the last page."""
    server.execute("CREATE UNLOGGED TABLE filler (content text)")
    server.execute("ALTER TABLE filler ALTER content SET STORAGE EXTERNAL")  # what is written is not made smaller
    for size in (1_000_000, 1000):
        with pytest.raises(psycopg.errors.DiskFull):
            until_it_fails(server, f"INSERT INTO filler SELECT repeat('x', {size}) FROM generate_series(1, 4)")


def test_a_primary_whose_log_has_no_room_ends_by_itself_and_is_replaced(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True, disk=("pg_wal", LOG_MIB))
    clients = orders.start_clients()
    fill_log(orders.servers[OLD])
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    assert "No space left on device" in orders.servers[OLD].log
    assert_taken_over(orders, clients, may_lose=0)
    assert_it_ends(watcher, run_of(watcher, "orders-failover"), without=BY_HAND)


def test_a_primary_whose_data_has_no_room_is_named_and_stays_and_goes_on_when_there_is_room(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True, disk=("", DATA_MIB))
    clients = orders.start_clients()
    fill_data(orders.servers[OLD])
    wait_for(lambda: watcher.verdicts()[OLD] == "reads but does not write", "the verdict names it", PATIENCE)
    end = time.monotonic() + CALM_SECONDS
    wait_for(lambda: time.monotonic() > end, "it stays so for a while", PATIENCE)
    assert "No space left on device" in watcher.explained()
    assert f"{OLD} is the primary, and not lost: reads but does not write" in watcher.explained()
    assert watcher.began() == []

    data = orders.servers[OLD].data
    subprocess.run(["mount", "-o", f"remount,size={2 * DATA_MIB}m", str(data)], check=True)
    for client in clients:
        client.writes_again(time.monotonic(), PATIENCE)
    wait_for(lambda: watcher.verdicts()[OLD] == "well", "it is well again", PATIENCE)
    for client in clients:
        rows = client.stop()
        assert {row.server for row in rows} == {orders.host(OLD).address}
        assert not lost(rows, orders.servers[OLD])
    assert orders.survivor() is orders.servers[OLD]
