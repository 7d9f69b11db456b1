"""A primary is fenced at HAProxy alone, through which all clients come, and goes on where it stood afterwards.

Nobody can stop it: drd has no shell there and no power switch, and commits wait for no standby.
"""

import os
import signal
from collections.abc import Callable

import pytest

from tests.failover_site import NODES, assert_one_writer_at_a_time, now
from tests.postgres_pair import Pair, lost
from tests.run_ends import BY_HAND, assert_it_ends, assert_it_waits, run_of
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
OLD, NEW = NODES
FAILOVER = "orders-failover"
FENCE = "Make sure that the old primary accepts no write"
BY, LIBPQ = "by: [ssh, power]", "clients: libpq"
# A row each 10 ms, and a standby that is milliseconds behind, on a machine that may be busy.
MAY_LOSE = 50


@pytest.fixture
def watcher(machine: Machine, orders: Pair) -> Watcher:
    """drd with the shipped files, but for how it fences."""
    orders.start()
    made = Watcher(machine, orders)
    for node in machine.settings["nodes"].values():
        del node["power"]
    machine.write()
    proxy = orders.host("proxy").address
    through = f"{{backend: orders, socket: {orders.socket}, state_file: {orders.proxy_state}, addresses: [{proxy}]}}"
    changes = ((machine.policy_file("orders"), LIBPQ, "clients: proxy"),)
    changes += ((machine.folder / "runbooks" / f"{FAILOVER}.yaml", BY, f"by: [proxy], proxy: {through}"),)
    for file, old, new in changes:
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
    made.start()
    return made


def freeze(orders: Pair) -> None:
    orders.host(OLD).signal_all(signal.SIGSTOP)


def thaw(orders: Pair) -> None:
    orders.host(OLD).signal_all(signal.SIGCONT)


def silence(orders: Pair) -> None:
    orders.host(OLD).silence()


def heal(orders: Pair) -> None:
    orders.host(OLD).heal()


@pytest.mark.parametrize(("blow", "back"), [(freeze, thaw), (silence, heal)])
def test_a_primary_that_was_cut_off_at_the_proxy_confirms_nothing_to_clients_when_it_goes_on(
    orders: Pair, watcher: Watcher, blow: Callable[[Pair], None], back: Callable[[Pair], None]
) -> None:
    clients = orders.start_client(orders.proxied), orders.start_client(orders.proxied, 1_000_000)
    blow(orders)
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    assert [step["facts"]["fenced_by"] for step in watcher.acted() if "fenced_by" in step["facts"]] == ["proxy"]

    since = now()
    back(orders)  # at once: a session that was left open would go on there
    assert not orders.servers[OLD].value("SELECT pg_is_in_recovery()")  # it would take writes
    for client in clients:
        client.writes_at(orders.host(NEW).address, PATIENCE)
    newcomer = orders.start_client(orders.proxied, 2_000_000)
    orders.reload_proxy()  # what is on record of the cut holds for the next HAProxy too
    late = orders.start_client(orders.proxied, 3_000_000)
    told_later = now()
    for client in (*clients, newcomer, late):
        client.writes_again(told_later, PATIENCE)
    assert_it_ends(watcher, run_of(watcher, FAILOVER), without=BY_HAND)

    told = [client.stop() for client in (*clients, newcomer, late)]
    assert_one_writer_at_a_time(*told)
    assert not [row for rows in told for row in rows if row.server == orders.host(OLD).address and row.moment > since]
    missing = [lost(rows, orders.servers[NEW]) for rows in told]
    assert all(len(each) <= MAY_LOSE for each in missing[:2])
    assert missing[2:] == [[], []]


def test_where_a_client_came_past_the_proxy_that_is_no_fence_and_a_person_is_waited_for(
    orders: Pair, watcher: Watcher
) -> None:
    client, past = orders.start_client(orders.proxied), orders.start_client(orders.directly(OLD), 1_000_000)
    elsewhere = f"clients came from elsewhere too: {orders.host('client').address}"
    wait_for(lambda: elsewhere in watcher.explained(), "drd says beforehand that it cannot fence", PATIENCE)
    freeze(orders)
    run = wait_for(lambda: run_of(watcher, FAILOVER), "the run has begun", PATIENCE)
    assert_it_waits(watcher, run, FENCE, elsewhere)
    assert watcher.acted() == []
    assert orders.servers[NEW].value("SELECT pg_is_in_recovery()")

    orders.host(OLD).lose_power()
    watcher.machine.drd("runbook", "resume", FAILOVER, "--done", "--reason", "its plug is pulled").done()
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    client.writes_at(orders.host(NEW).address, PATIENCE)
    assert_it_ends(watcher, run, without=BY_HAND)
    told = [each.stop() for each in (client, past)]
    assert_one_writer_at_a_time(*told)
    assert all(len(lost(rows, orders.servers[NEW])) <= MAY_LOSE for rows in told)
    assert orders.survivor() is orders.servers[NEW]
