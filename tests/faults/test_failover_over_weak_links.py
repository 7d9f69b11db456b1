"""Links that flap and lose packets, and processors that are taken: nobody replaces a primary that serves."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.failover_site import NODES, Client
from tests.postgres_pair import Pair, lost
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces")
PATIENCE = 120.0
OLD, NEW = NODES
WATCHER = "watcher"
FLAPS = 4
LOSS = 0.3
SHORT_SECONDS, LONG_SECONDS = 40.0, 600.0
BURNER, SITE = 10, 19
"""How nice they are: the burner goes before the site, and after all else that the machine has to do meanwhile."""


def follows(orders: Pair) -> bool:
    streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = %s"
    return bool(orders.servers[OLD].value(streaming, NEW.replace("-", "_")))


def answers(watcher: Watcher) -> bool:
    return any(node["node"] == OLD and node["seconds"] is not None for node in watcher.machine.status()["nodes"])


def stays_so(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end, "it stays so for a while", PATIENCE + seconds)


def assert_primary_serves_on(orders: Pair, watcher: Watcher, clients: tuple[Client, ...]) -> None:
    """No failover was begun, nobody was fenced or promoted, and clients write where they always did."""
    assert (watcher.began(), watcher.acted()) == ([], [])
    for client in clients:
        client.writes_again(time.monotonic(), PATIENCE)
        rows = client.stop()
        assert {row.server for row in rows} == {orders.host(OLD).address}
        assert not lost(rows, orders.servers[OLD])
    assert orders.servers[NEW].value("SELECT pg_is_in_recovery()")


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_links_that_flap_one_after_the_other_begin_no_failover_and_are_damped(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=False)
    clients = orders.start_clients()
    old, new, drd = (orders.host(name) for name in (OLD, NEW, WATCHER))
    for _ in range(FLAPS):
        wait_for(lambda: follows(orders), "the standby follows", PATIENCE)
        drd.cut_from(old)
        stays_so(2.5)  # longer than the loss of a host needs to be noticed
        drd.heal()
        wait_for(lambda: answers(watcher), "the primary answers drd", PATIENCE)
        new.cut_from(old)
        stays_so(1.0)
        new.heal()
    judged = [event for event in watcher.machine.events("node-judged", watcher.policy) if event["node"] == OLD]
    assert len(judged) < 2 * FLAPS, judged
    wait_for(lambda: set(watcher.verdicts().values()) == {"well"}, "both are well again", PATIENCE)
    assert_primary_serves_on(orders, watcher, clients)


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_a_primary_that_nobody_writes_to_and_that_drd_does_not_reach_is_not_replaced(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=False, settings={"wal_receiver_timeout": "4s"})
    orders.host(WATCHER).cut_from(orders.host(OLD))
    wait_for(lambda: watcher.verdicts()[OLD] == "unreachable only from here", "the standby vouches for it", PATIENCE)
    stays_so(5.0)
    assert (watcher.began(), watcher.acted()) == ([], [])
    orders.host(WATCHER).heal()
    wait_for(lambda: set(watcher.verdicts().values()) == {"well"}, "both are well again", PATIENCE)
    assert_primary_serves_on(orders, watcher, ())


@pytest.mark.faults
@pytest.mark.timeout(500)
def test_lost_packets_and_no_processor_replace_no_healthy_primary(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    endured(orders, watched, SHORT_SECONDS)


@pytest.mark.endurance
@pytest.mark.timeout(LONG_SECONDS + 600)
def test_ten_minutes_of_lost_packets_and_no_processor_replace_no_healthy_primary(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    endured(orders, watched, LONG_SECONDS)


def endured(orders: Pair, watched: Callable[..., Watcher], seconds: float) -> None:
    """A third of what drd sends and hears is lost, while all of the site has a small share of one processor."""
    watcher = watched(is_synchronous=False)
    clients = orders.start_clients()
    with starved(orders):
        orders.host(WATCHER).lose(LOSS)
        stays_so(seconds)
        orders.host(WATCHER).heal()
    assert_primary_serves_on(orders, watcher, clients)


@contextmanager
def starved(orders: Pair) -> Iterator[None]:
    """All that lives at the site shares one processor with a program that never waits and goes before it."""
    one = {min(os.sched_getaffinity(0))}
    with ExitStack() as stack:
        burner = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
        stack.callback(burner.kill)
        os.setpriority(os.PRIO_PROCESS, burner.pid, BURNER)
        os.sched_setaffinity(burner.pid, one)
        for host in orders.network.hosts.values():
            for pid in host.pids():
                with suppress(OSError):  # it has just ended
                    for thread in Path(f"/proc/{pid}/task").iterdir():
                        os.sched_setaffinity(int(thread.name), one)
                        os.setpriority(os.PRIO_PROCESS, int(thread.name), SITE)
        yield
