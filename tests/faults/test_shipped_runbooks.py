"""The policies and runbooks of the repository, unchanged but for HAProxy's socket, from a loss to two well nodes again.

The hosts are network namespaces whose shells are reached as over ssh (tests/network_shells.py). Two clients write all
the time, and what they were told is held against what is there, and against what drd says was lost.
"""

import os
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.network_shells import kill_postmaster
from tests.postgres_lab import Lab
from tests.postgres_pair import Pair, lost
from tests.run_ends import PATIENCE, REJOIN, assert_it_ends, run_of
from tests.shipped_runs import assert_the_same, fail_over, stop, wait_until_well
from tests.stranded_log import listed, stranded
from tests.system.programs import wait_for

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
ROWS = 30
"""So many of each client are acknowledged while nobody else receives them."""
IN_FLIGHT = 1
"""A client waits for one answer at a time."""


def test_what_clients_lost_is_on_the_list_of_the_old_primary_which_comes_back_as_a_standby(
    shipped: Callable[[str], Any], laboratory: Lab
) -> None:
    with shipped("orders") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        clients = site.start_clients()
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
        told_of = listed(folder)
        assert gone <= told_of
        # drd's own heartbeat is on the list too.
        table = survivor.value("SELECT pg_relation_filenode('written')")
        assert len(told_of & stranded(folder, laboratory, table) - gone) <= IN_FLIGHT * len(clients)

        assert_the_same(survivor, site.servers[old])
        wait_until_well(watcher)
        page = watcher.machine.drd("incident", "show", run).done().stdout
        assert f"exactly {len(told_of)} transactions that" in " ".join(page.split())


def test_where_the_old_disk_is_gone_a_bound_is_told_and_the_run_ends_as_incomplete(
    shipped: Callable[[str], Any],
) -> None:
    with shipped("orders") as watcher:
        site: Pair = watcher.pair
        kill_postmaster(site.servers[site.nodes[0]])
        shutil.rmtree(site.servers[site.nodes[0]].data)
        run = fail_over(watcher)
        assert_it_ends(watcher, run, without={REJOIN: "on orders-1 ended with status 1"})
        wait_for(lambda: watcher.machine.events("loss-measured", "orders"), "what was lost is measured", PATIENCE)
        page = " ".join(watcher.machine.drd("incident", "show", run).done().stdout.split())
        assert re.search(r"RPA \S+ at most, or up to \S+ less, by the heartbeat", page)
        assert "the old primary was not brought back, and only its own log tells which transactions" in page


def test_a_planned_switchover_and_the_one_back_lose_nothing(shipped: Callable[[str], Any]) -> None:
    with shipped("orders") as watcher:
        site: Pair = watcher.pair
        first, second = site.nodes
        clients = site.start_clients()
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
    shipped: Callable[[str], Any], blow: str
) -> None:
    with shipped("payments") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        clients = site.start_clients()
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


def test_an_old_primary_that_comes_back_after_its_run_is_waited_for_again(shipped: Callable[[str], Any]) -> None:
    with shipped("payments") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        clients = site.start_clients()
        site.host(old).silence()
        kill_postmaster(site.servers[old])
        run = fail_over(watcher)
        assert_it_ends(watcher, run, without={REJOIN: "payments-1 is not reached by ssh"})
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


@pytest.mark.parametrize("service", ["orders", "payments"])
def test_a_drill_looks_whether_each_step_could_be_done_and_changes_nothing(
    shipped: Callable[[str], Any], service: str
) -> None:
    with shipped(service) as watcher:
        site: Pair = watcher.pair
        clients = site.start_clients()
        for runbook in (f"{service}-failover", f"{service}-switchover"):
            words = ("runbook", "start", runbook, "--drill", "--reason", "spring", "--confirm", runbook)
            told = watcher.machine.drd(*words).done().stdout
            ends = {each["step"]: each["outcome"] for each in watcher.machine.events("step-finished")}
            assert {step for step, end in ends.items() if end == "failed"} <= {"Tell people"}, told
            assert watcher.machine.events("incident-finished")[-1]["outcome"] == "incomplete", told
        assert watcher.acted() == []
        for client in clients:
            client.writes_at(site.host(site.nodes[0]).address, PATIENCE)
        assert [lost(rows, site.servers[site.nodes[0]]) for rows in stop(clients)] == [[], []]
