"""drd dies or waits between revoking and promoting, and the primary answers again: its standby receives again."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.failover_site import now
from tests.postgres_pair import Pair, lost
from tests.run_ends import PATIENCE, assert_it_fails, run_of
from tests.shipped_runs import stop, wait_until_well
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
DYING = Path(__file__).parents[1] / "dying_daemon.py"
SLOT = "SHOW primary_slot_name"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT INTO written%'"
MOMENTS = (
    "step finished.*Make sure that the old primary confirms no payment",
    "step started.*Promote the standby that has the most data",
)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_primary_that_answers_again_before_anybody_was_promoted_gets_its_standby_back_from_the_next_drd(
    machine: Machine, shipped: Callable[[str], Any], moment: str
) -> None:
    program, machine.program = machine.program, (sys.executable, str(DYING), moment)
    with shipped("payments") as watcher:
        site: Pair = watcher.pair
        old, new = (site.servers[name] for name in site.nodes)
        clients = site.start_clients()
        dying = machine.daemon
        assert dying is not None
        site.host(old.name).silence()
        wait_for(lambda: not dying.is_alive, f"drd dies at: {moment}", PATIENCE)
        assert new.value(SLOT).startswith("drd_cut_")
        site.host(old.name).heal()
        wait_for(lambda: old.value(WAITING), "a commit waits for the standby", PATIENCE)

        machine.program = program
        machine.start()
        since = now()
        for client in clients:
            client.writes_again(since, PATIENCE)
        wait_for(watcher.is_over, "the run is over", PATIENCE)
        assert new.value(SLOT) == new.name.replace("-", "_")
        wait_until_well(watcher)
        assert not any("new_primary" in step["facts"] for step in watcher.acted())
        assert new.value("SELECT pg_is_in_recovery()")
        told = stop(clients)
        assert {row.server for rows in told for row in rows} == {site.host(old.name).address}
        assert [lost(rows, old) for rows in told] == [[], []]


def test_once_the_standby_was_told_to_lead_it_is_not_given_back_and_the_run_says_so(
    machine: Machine, shipped: Callable[[str], Any]
) -> None:
    program, machine.program = machine.program, (sys.executable, str(DYING), "step ordered")
    with shipped("payments") as watcher:
        site: Pair = watcher.pair
        old, new = (site.servers[name] for name in site.nodes)
        clients = site.start_clients()
        dying = machine.daemon
        assert dying is not None
        site.host(old.name).silence()
        wait_for(lambda: not dying.is_alive, "drd dies before it tells the standby", PATIENCE)
        site.host(old.name).heal()
        healed = now()
        wait_for(lambda: old.value(WAITING), "a commit waits for the standby", PATIENCE)

        machine.program = program
        machine.start()
        wait_for(watcher.is_over, "the run is over", PATIENCE)
        [ended] = machine.events("incident-finished", watcher.policy)
        assert f"{old.name} answers again, and {new.name} has been told to take over already" in ended["message"]
        assert new.value("SELECT pg_is_in_recovery()")
        assert new.value(SLOT).startswith("drd_cut_")
        told = stop(clients)
        assert not [row for rows in told for row in rows if row.began > healed]
        assert [lost(rows, old) for rows in told] == [[], []]


def test_a_primary_that_comes_back_while_its_failover_waits_for_a_person_gets_its_standby_back(
    machine: Machine, shipped: Callable[[str], Any]
) -> None:
    with shipped("payments") as watcher:
        site: Pair = watcher.pair
        old, new = (site.servers[name] for name in site.nodes)
        asks_before_it_promotes(watcher)
        clients = site.start_clients()
        site.host(old.name).silence()
        wait_for(lambda: is_asked(machine), "a person is asked between revoking and promoting", PATIENCE)
        assert new.value(SLOT).startswith("drd_cut_")
        site.host(old.name).heal()
        since = now()
        for client in clients:
            client.writes_again(since, PATIENCE)
        [given] = machine.events("standbys-given-back")
        run = run_of(watcher, "payments-failover")
        assert (given["nodes"], given["run"], watcher.is_over()) == ([new.name], run, False)

        machine.drd("runbook", "approve", run, "--reason", "go on").done()
        assert_it_fails(watcher, run, f"{old.name} answers again, so its standbys receive again")
        wait_until_well(watcher)
        assert new.value("SELECT pg_is_in_recovery()")
        told = stop(clients)
        assert {row.server for rows in told for row in rows} == {site.host(old.name).address}
        assert [lost(rows, old) for rows in told] == [[], []]


def asks_before_it_promotes(watcher: Watcher) -> None:
    file = watcher.machine.folder / "runbooks" / "payments-failover.yaml"
    step = "- step: Promote the standby that has the most"
    asked = "approve: {by: dba-on-call, within: 1h, on_timeout: stop}"
    text = file.read_text()
    assert step in text
    file.write_text(text.replace(step, f"- step: Ask\n        {asked}\n      {step}"))
    watcher.machine.drd("reload").done()


def is_asked(machine: Machine) -> bool:
    return "Ask" in {event["step"] for event in machine.events("step-started")}
