"""Runs of the runbooks of the repository on a service's pair, from a loss to two well nodes again.

The hosts are network namespaces whose shells are reached as over ssh (tests/network_shells.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.failover_site import Client, assert_one_writer_at_a_time
from tests.network_shells import NetworkShells
from tests.postgres_lab import Cluster, Lab
from tests.postgres_pair import pair
from tests.run_ends import PATIENCE, run_of
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher
from tests.writing_client import Noted


@contextmanager
def shipped_pair(lab: Lab, folder: Path, haproxy: Path, machine: Machine, service: str) -> Iterator[Watcher]:
    """A service's pair and its daemon, which sees both nodes to be well, as long as the context lasts."""
    with pair(lab, folder, service) as site:
        site.start_proxy(haproxy)
        site.start(is_synchronous=service == "payments")
        shells = NetworkShells(site)
        watcher = Watcher(machine, site, service, shells=shells)
        watcher.start()
        try:
            yield watcher
        finally:
            shells.close()
        shells.assert_only_what_grants_allow()


def wait_until_well(watcher: Watcher) -> None:
    """Wait until drd sees both nodes to be well."""
    wait_for(lambda: set(watcher.verdicts().values()) == {"well"}, "both nodes are well", PATIENCE)


def fail_over(watcher: Watcher) -> str:
    """Wait for the run that drd begins by itself; begin it as a person does where it holds the loss for too great."""
    runbook, old = f"{watcher.policy}-failover", watcher.pair.nodes[0]
    wait_for(lambda: watcher.began() or watcher.machine.events("failover-held"), "drd has decided", PATIENCE)
    if not watcher.began():
        watcher.begin(runbook, old)
    return str(wait_for(lambda: run_of(watcher, runbook), "the run has begun", PATIENCE))


def stop(clients: tuple[Client, ...]) -> list[list[Noted]]:
    """End the clients; what each was told, after a look at who told them."""
    told = [client.stop() for client in clients]
    assert_one_writer_at_a_time(*told)
    return told


def assert_the_same(one: Cluster, other: Cluster) -> None:
    """Wait until two servers hold the same rows."""

    def ids(cluster: Cluster) -> list[Any]:
        return cluster.rows("SELECT id FROM written ORDER BY id")

    wait_for(lambda: ids(one) == ids(other), "both servers hold the same", PATIENCE)
