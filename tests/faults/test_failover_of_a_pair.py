"""A primary is lost on a network of its own, with clients that write all the time; the shipped runbook replaces it.

After each: no two servers acknowledged rows in turn, every row that was acknowledged is there, where commits wait for
the standby, and the run is over, or it is told what is waited for.
"""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.failover_site import NODES, assert_one_writer_at_a_time
from tests.postgres_pair import Pair, assert_taken_over, lost
from tests.run_ends import BY_HAND, assert_it_ends, run_of
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
OLD, NEW = NODES
FAILOVER = "orders-failover"
CALM_SECONDS = 5.0
"""Nothing is done about what is no loss: ten times as long as a loss would need to be noticed."""


def kill(orders: Pair) -> None:
    os.kill(orders.servers[OLD].pid, signal.SIGKILL)


def freeze(orders: Pair) -> None:
    orders.host(OLD).signal_all(signal.SIGSTOP)


def silence(orders: Pair) -> None:
    orders.host(OLD).silence()


def lose_power(orders: Pair) -> None:
    orders.host(OLD).lose_power()


@pytest.mark.parametrize("blow", [kill, freeze, silence, lose_power])
def test_a_lost_primary_is_replaced_and_nothing_that_waited_for_the_standby_is_lost(
    orders: Pair, watched: Callable[..., Watcher], blow: Callable[[Pair], None]
) -> None:
    watcher = watched(is_synchronous=True)
    clients = orders.start_clients()
    blow(orders)
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    orders.host(OLD).heal()
    assert_taken_over(orders, clients, may_lose=0)
    assert_it_ends(watcher, run_of(watcher, FAILOVER), without=BY_HAND)
    assert orders.host(OLD).pids() == []  # fenced: nothing came back with its network


def test_without_waiting_for_the_standby_only_rows_of_the_last_moment_are_lost(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=False)
    clients = orders.start_clients()
    kill(orders)
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    # A row each 10 ms, and a standby that is milliseconds behind, on a machine that may be busy.
    assert_taken_over(orders, clients, may_lose=50)
    assert_it_ends(watcher, run_of(watcher, FAILOVER), without=BY_HAND)


def one_backend_dies(orders: Pair) -> None:
    clients = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT INTO written%' LIMIT 1"
    os.kill(orders.servers[OLD].value(clients), signal.SIGKILL)


def standby_is_cut_off(orders: Pair) -> None:
    orders.host(OLD).cut_from(orders.host(NEW))


def watcher_is_cut_off(orders: Pair) -> None:
    orders.host("watcher").cut_from(orders.host(OLD))


def packets_are_lost(orders: Pair) -> None:
    orders.host("watcher").lose(0.3)


@pytest.mark.parametrize("blow", [one_backend_dies, standby_is_cut_off, watcher_is_cut_off, packets_are_lost])
def test_what_is_no_loss_of_the_primary_begins_no_failover_and_clients_write_on(
    orders: Pair, watched: Callable[..., Watcher], blow: Callable[[Pair], None]
) -> None:
    watcher = watched(is_synchronous=False)
    clients = orders.start_clients()
    blow(orders)
    end = time.monotonic() + CALM_SECONDS
    wait_for(lambda: time.monotonic() > end, "it stays so for a while", PATIENCE)
    assert (watcher.began(), watcher.acted()) == ([], [])
    for client in clients:
        client.writes_again(time.monotonic(), PATIENCE)
        rows = client.stop()
        assert {row.server for row in rows} == {orders.host(OLD).address}
        assert not lost(rows, orders.servers[OLD])
    assert orders.servers[NEW].value("SELECT pg_is_in_recovery()")


def test_when_both_are_lost_nothing_is_promoted_and_it_is_told_why_and_all_is_there_when_they_are_back(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True)
    clients = orders.start_clients()
    for name in (NEW, OLD):
        orders.host(name).lose_power()
    wait_for(lambda: "no standby can be promoted" in watcher.explained(), "it says what is missing", PATIENCE)
    wait_for(lambda: held_by(watcher, "candidate"), "it is on record what is waited for", PATIENCE)
    before = [client.rows() for client in clients]

    for name in NODES:  # the primary first: a standby that is back alone takes over
        orders.servers[name].kill()  # and nothing of it stays, as its shared memory
        orders.servers[name].start()
    wait_for(lambda: set(watcher.verdicts().values()) == {"well"}, "both are well again", PATIENCE)
    for client in clients:
        client.writes_again(time.monotonic(), PATIENCE)
    assert (watcher.began(), watcher.acted()) == ([], [])
    told = [client.stop() for client in clients]
    assert all(len(rows) > len(earlier) > 0 for rows, earlier in zip(told, before, strict=True))
    assert_one_writer_at_a_time(*told)
    assert {row.server for rows in told for row in rows} == {orders.host(OLD).address}
    assert [lost(rows, orders.servers[OLD]) for rows in told] == [[], []]
    wait_for(lambda: [lost(rows, orders.servers[NEW]) for rows in told] == [[], []], "the standby has all", PATIENCE)
    assert orders.survivor() is orders.servers[OLD]


def held_by(watcher: Watcher, guard: str) -> bool:
    """Whether the last word on record is that this guard keeps the failover from beginning."""
    told = watcher.machine.events("failover-held", watcher.policy)
    return guard in told[-1]["guards"] if told else False
