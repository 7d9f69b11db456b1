"""Two daemons have the same files, as where one was moved and the old one still runs: neither replaces a primary."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.failover_site import NODES
from tests.postgres_pair import Pair, assert_taken_over
from tests.run_ends import BY_HAND, assert_it_ends, run_of
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
CALM_SECONDS = 5.0


def test_two_daemons_with_the_same_files_hold_and_say_so_and_a_person_decides_for_one(
    machine: Machine,
    another_machine: Callable[..., Machine],
    newest_restic: Path,
    orders: Pair,
    watched: Callable[..., Watcher],
) -> None:
    one = watched(is_synchronous=True)
    again = machine.command("run")
    assert again.ended(PATIENCE) != 0
    assert "another drd works with" in again.said()

    other = Watcher(another_machine("moved", newest_restic), orders)
    other.start()
    for each in (one, other):
        wait_for(lambda each=each: "keeps the heartbeat of orders too" in each.explained(), "it says so", PATIENCE)
    clients = orders.start_clients()
    orders.host(OLD).lose_power()
    for each in (one, other):
        wait_for(lambda each=each: held_by(each), "it holds, and says by what", PATIENCE)
        assert "rival" in held_by(each)
    end = time.monotonic() + CALM_SECONDS
    wait_for(lambda: time.monotonic() > end, "it stays so for a while", PATIENCE)
    assert (one.began(), other.began()) == ([], [])
    assert orders.servers[NEW].value("SELECT pg_is_in_recovery()")

    one.begin("orders-failover", OLD)
    wait_for(one.is_switched, "clients are sent to the new primary", PATIENCE)
    assert_taken_over(orders, clients, may_lose=0)
    assert_it_ends(one, run_of(one, "orders-failover"), without=BY_HAND)
    assert other.began() == []


def held_by(watcher: Watcher) -> list[str]:
    """The guards by which nothing is started."""
    return [guard for event in watcher.machine.events("failover-held", watcher.policy) for guard in event["guards"]]
