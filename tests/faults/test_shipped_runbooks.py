"""The policies and runbooks of the repository, unchanged but for HAProxy's socket, from a loss to two well nodes again.

The hosts are network namespaces whose shells are reached as over ssh (tests/network_shells.py). Two clients write all
the time, and what they were told is held against what is there, and against what drd says was lost.
"""

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.failover_site import Client, assert_one_writer_at_a_time
from tests.network_shells import NetworkShells, kill_postmaster
from tests.postgres_lab import Cluster, Lab, lab
from tests.postgres_pair import Pair, lost, pair
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher
from tests.writing_client import Noted

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 180.0
ROWS = 30
"""So many of each client are acknowledged while nobody else receives them."""
IN_FLIGHT = 1
"""A client waits for one answer at a time."""


@pytest.fixture
def laboratory(postgres_programs: Path) -> Iterator[Lab]:
    with lab(postgres_programs) as made:
        yield made


@pytest.fixture
def watched(laboratory: Lab, tmp_path: Path, haproxy: Path, machine: Machine) -> Callable[[str], Any]:
    """Makes a service's pair and its daemon, which sees both nodes to be well, as long as the context lasts."""

    @contextmanager
    def make(service: str) -> Iterator[Watcher]:
        with pair(laboratory, tmp_path, service) as site:
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

    return make


def start_clients(site: Pair) -> tuple[Client, Client]:
    return site.start_client(site.multihost), site.start_client(site.proxied, 1_000_000)


def assert_it_ends(watcher: Watcher, run: str, *, without: frozenset[str] = frozenset()) -> None:
    """Wait until a run is over, all done but these steps; else what it tells of itself stands in the failure.

    Nobody is told: the people of the lab have no address.
    """

    def is_over() -> bool:
        return any(each["run"] == run for each in watcher.machine.events("incident-finished"))

    wait_for(is_over, "the run is over", PATIENCE)
    lacking = {each["step"] for each in watcher.incident(run)["steps"] if each["state"] != "done"}
    told = watcher.machine.drd("incident", "show", run).stdout
    assert lacking - {"Tell people"} == without, told + watcher.machine.daemon_log()[-4000:]


def wait_until_well(watcher: Watcher) -> None:
    wait_for(lambda: set(watcher.verdicts().values()) == {"well"}, "both nodes are well", PATIENCE)


def run_of(watcher: Watcher, runbook: str) -> str:
    """The newest run of a runbook; empty while there is none."""
    begun = [each["run"] for each in watcher.machine.events("incident-started") if each["runbook"] == runbook]
    return str(begun[-1]) if begun else ""


def fail_over(watcher: Watcher) -> str:
    """Wait for the run that drd begins by itself; begin it as a person does where it holds the loss for too great."""
    runbook, old = f"{watcher.policy}-failover", watcher.pair.nodes[0]
    wait_for(lambda: watcher.began() or watcher.machine.events("failover-held"), "drd has decided", PATIENCE)
    if not watcher.began():
        watcher.begin(runbook, old)
    return str(wait_for(lambda: run_of(watcher, runbook), "the run has begun", PATIENCE))


def stop(clients: tuple[Client, Client]) -> list[list[Noted]]:
    told = [client.stop() for client in clients]
    assert_one_writer_at_a_time(*told)
    return told


def assert_the_same(one: Cluster, other: Cluster) -> None:
    def ids(cluster: Cluster) -> list[Any]:
        return cluster.rows("SELECT id FROM written ORDER BY id")

    wait_for(lambda: ids(one) == ids(other), "both servers hold the same", PATIENCE)


def stranded(folder: Path, lab: Lab, table: int) -> set[int]:
    """The transactions that wrote to a table, by the log that drd has saved."""
    log = lab.folder / "stranded"
    with tarfile.open(folder / "wal.tar") as saved:
        saved.extractall(log)
    for path in (log, *log.iterdir()):
        path.chmod(0o755)
    found: set[int] = set()
    for segment in sorted(each.name for each in log.iterdir() if not each.suffix):
        # It ends with a failure where the log does.
        words = [lab.programs / "pg_waldump", "-r", "Heap", log / segment]
        dump = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
        for line in dump.splitlines():
            if "INSERT" in line and re.search(rf"\brel \d+/\d+/{table}\b", line):
                found.add(int(line.partition("tx:")[2].split(",")[0]))
    return found


def test_what_clients_lost_is_on_the_list_of_the_old_primary_which_comes_back_as_a_standby(
    watched: Callable[[str], Any], laboratory: Lab
) -> None:
    with watched("orders") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        clients = start_clients(site)
        site.host(old).cut_from(site.host(new))
        before = [len(client.rows()) for client in clients]
        wait_for(
            lambda: all(len(each.rows()) > rows + ROWS for each, rows in zip(clients, before, strict=True)),
            "rows that nobody else receives",
            PATIENCE,
        )
        kill_postmaster(site.servers[old])
        run = fail_over(watcher)
        wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
        site.host(old).heal()
        assert_it_ends(watcher, run)
        facts = [each["facts"] for each in watcher.machine.events("step-finished")]
        assert [each["fenced_by"] for each in facts if "fenced_by" in each] == ["ssh"]
        assert [each["rejoined_by"] for each in facts if "rejoined_by" in each] == ["rewind"]
        for client in clients:
            client.writes_at(site.host(new).address, PATIENCE)
        told = stop(clients)

        survivor = site.servers[new]
        gone = {row.transaction for rows in told for row in rows if row.id in set(lost(rows, survivor))}
        assert len(gone) >= ROWS
        folder = watcher.machine.state / "stranded" / run / old
        lines = (folder / "lost-transactions.txt").read_text().splitlines()
        listed = {int(line.split()[1]) for line in lines}
        assert gone <= listed
        # drd's own heartbeat is on the list too.
        table = survivor.value("SELECT pg_relation_filenode('written')")
        assert len(listed & stranded(folder, laboratory, table) - gone) <= IN_FLIGHT * len(clients)

        assert_the_same(survivor, site.servers[old])
        wait_until_well(watcher)
        page = watcher.machine.drd("incident", "show", run).done().stdout
        assert f"exactly {len(listed)} transactions that" in " ".join(page.split())


def test_where_the_old_disk_is_gone_a_bound_is_told_and_the_run_ends_as_incomplete(
    watched: Callable[[str], Any],
) -> None:
    with watched("orders") as watcher:
        site: Pair = watcher.pair
        kill_postmaster(site.servers[site.nodes[0]])
        shutil.rmtree(site.servers[site.nodes[0]].data)
        run = fail_over(watcher)
        assert_it_ends(watcher, run, without=frozenset({"Bring the old primary back as a standby"}))
        assert watcher.incident(run)["outcome"] == "incomplete"
        page = " ".join(watcher.machine.drd("incident", "show", run).done().stdout.split())
        assert "at most, by the heartbeat" in page
        assert "the old primary was not brought back, and only its own log tells which transactions" in page


def test_a_planned_switchover_and_the_one_back_lose_nothing(watched: Callable[[str], Any]) -> None:
    with watched("orders") as watcher:
        site: Pair = watcher.pair
        first, second = site.nodes
        clients = start_clients(site)
        runs: list[str] = []
        for old, new in ((first, second), (second, first)):
            watcher.begin("orders-switchover", old)
            wait_for(lambda: run_of(watcher, "orders-switchover") not in ("", *runs), "the run has begun", PATIENCE)
            runs.append(run_of(watcher, "orders-switchover"))
            assert_it_ends(watcher, runs[-1])
            for client in clients:
                client.writes_at(site.host(new).address, PATIENCE)
            wait_until_well(watcher)
        told = stop(clients)
        assert [lost(rows, site.servers[first]) for rows in told] == [[], []]
        assert_the_same(site.servers[first], site.servers[second])


@pytest.mark.parametrize("blow", ["killed", "silent"])
def test_a_synchronous_pair_loses_no_acknowledged_payment_and_is_made_whole_again(
    watched: Callable[[str], Any], blow: str
) -> None:
    with watched("payments") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        clients = start_clients(site)
        if blow == "killed":
            kill_postmaster(site.servers[old])
        else:
            site.host(old).silence()
        run = fail_over(watcher)
        wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
        site.host(old).heal()
        for client in clients:
            client.writes_at(site.host(new).address, PATIENCE)
        assert_it_ends(watcher, run)
        wait_until_well(watcher)
        told = stop(clients)
        assert [lost(rows, site.servers[new]) for rows in told] == [[], []]
        assert_the_same(site.servers[new], site.servers[old])
        # Commits wait for whoever has come back.
        member = old.replace("-", "_")
        assert member in site.servers[new].value("SHOW synchronous_standby_names")


def test_an_old_primary_that_comes_back_after_its_run_is_waited_for_again(watched: Callable[[str], Any]) -> None:
    with watched("payments") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        clients = start_clients(site)
        site.host(old).silence()
        kill_postmaster(site.servers[old])
        run = fail_over(watcher)
        assert_it_ends(watcher, run, without=frozenset({"Bring the old primary back as a standby"}))
        waits = "SHOW synchronous_standby_names"
        assert site.servers[new].value(waits) == ""
        site.host(old).heal()
        watcher.begin("payments-rejoin", old, old_primary=old)
        assert_it_ends(watcher, str(wait_for(lambda: run_of(watcher, "payments-rejoin"), "it has begun", PATIENCE)))
        assert old.replace("-", "_") in site.servers[new].value(waits)
        wait_until_well(watcher)
        told = stop(clients)
        assert [lost(rows, site.servers[new]) for rows in told] == [[], []]
        assert_the_same(site.servers[new], site.servers[old])
