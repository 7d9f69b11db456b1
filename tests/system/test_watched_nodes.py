"""Nodes of a policy over two real servers are watched by the daemon: what is the matter, and what would be done."""

from typing import Any

import pytest

from drd.core.postgres.heartbeat import CREATE, rights
from tests.postgres_lab import Lab
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.test_nodes import NAMES, protected

pytestmark = pytest.mark.system


def verdicts(machine: Machine) -> dict[str, str]:
    return {node["node"]: node["verdict"] for node in machine.status()["nodes"]}


def served(machine: Machine) -> str:
    [service] = machine.status()["services"]
    return str(service["state"])


def judged(machine: Machine) -> list[tuple[Any, Any]]:
    return [(each["node"], each["verdict"]) for each in machine.events("node-judged", "orders")]


def test_a_primary_that_dies_is_told_by_its_name_and_explain_says_why_nothing_is_done(
    machine: Machine, postgres_lab: Lab
) -> None:
    primary = postgres_lab.new("watched_one", segment_mib=1)
    primary.make_role("drd", "secret", "REPLICATION")
    for statement in (*CREATE, *rights("drd"), "GRANT pg_read_all_stats TO drd;"):
        primary.execute(statement)
    standby = postgres_lab.standby(primary, "watched_two")
    for cluster in (primary, standby):
        cluster.admit("drd")
        cluster.reload()
    protected(machine, (primary, standby), postgres_lab)
    machine.policies["orders"]["health"] = {"every": "250ms", "probes": [{"postgres": {"timeout": "10s"}}]}
    reached = {"dsn": {"file": str(machine.folder / "secrets" / NAMES[0])}, "timeout": "10s"}
    machine.policies["orders"]["service"] = {"postgres": reached, "every": "250ms"}
    machine.write().start()
    wait_for(lambda: verdicts(machine) == dict.fromkeys(NAMES, "well"), "both nodes are well")
    wait_for(lambda: served(machine) == "answers", "the service answers")
    assert judged(machine) == []
    lines = machine.drd("explain", "orders").done().stdout
    assert "node orders-1, primary: well" in lines
    assert "failover: orders-1 is the primary, and well" in lines

    primary.kill()
    wait_for(lambda: verdicts(machine)["orders-1"] == "process dead", "the primary's death is told")
    lines = machine.drd("explain", "orders").done().stdout
    assert "failover: orders-1 is lost: process dead; nothing is done: no runbook" in lines
    assert ("orders-1", "process dead") in judged(machine)
    wait_for(lambda: served(machine) == "fails", "the outage is told")

    primary.start()
    wait_for(lambda: verdicts(machine) == dict.fromkeys(NAMES, "well"), "the primary is well again")
    assert judged(machine)[-1] == ("orders-1", "well")
    wait_for(lambda: served(machine) == "answers", "the outage is over")
    [failed], [restored] = (machine.events(kind, "orders") for kind in ("service-failed", "service-restored"))
    assert failed["good"] < failed["bad"] == restored["bad"] < restored["up"]
    primary.kill()
    standby.kill()
