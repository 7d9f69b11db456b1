"""HAProxy is reloaded in the middle of a failover: it begins with its file, in which the old primary takes clients."""

import os
from collections.abc import Callable

import pytest

from tests.failover_site import NODES, now
from tests.postgres_pair import Pair, assert_taken_over
from tests.run_ends import BY_HAND, SWITCH, assert_it_ends, run_of
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
OLD, NEW = NODES
RUNBOOK = "orders-failover"


def test_a_proxy_that_is_reloaded_again_and_again_keeps_what_it_was_told(
    machine: Machine, orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True)
    clients = orders.start_clients()
    orders.host(OLD).lose_power()
    while not watcher.is_switched():
        orders.reload_proxy()
    for client in clients:
        client.writes_at(orders.host(NEW).address, PATIENCE)
    orders.reload_proxy()
    since = now()
    for client in clients:
        client.writes_again(since, PATIENCE)
    assert_taken_over(orders, clients, may_lose=0)
    assert_it_ends(watcher, run_of(watcher, RUNBOOK), without=BY_HAND)


def test_what_a_proxy_has_forgotten_it_is_told_again_before_the_run_is_over(
    machine: Machine, orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True)
    forget_state(machine)
    client = orders.start_client(orders.proxied)
    orders.host(OLD).lose_power()
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    orders.reload_proxy()  # while a full backup is taken, the run's last step
    assert_it_ends(watcher, run_of(watcher, RUNBOOK), without=BY_HAND)
    asked = [event["answer"] for event in machine.events("step-checked") if event["step"] == SWITCH]
    assert asked[-1:] == ["not-done"]
    newcomer = orders.start_client(orders.proxied, 2_000_000)  # an open session stays with the HAProxy that was left
    assert_taken_over(orders, (client, newcomer), may_lose=0)


def forget_state(machine: Machine) -> None:
    """Have the runbook not write HAProxy's state down; the daemon reads it again."""
    file = machine.folder / "runbooks" / f"{RUNBOOK}.yaml"
    lines = file.read_text().splitlines()
    kept = [line for line in lines if "state_file:" not in line]
    assert len(kept) == len(lines) - 1
    file.write_text("\n".join([*kept, ""]))
    machine.drd("reload").done()
