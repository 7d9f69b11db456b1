"""A run ends between cutting the standby off and promoting it: the primary comes back, and its commits go on."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.failover_site import NODES, Client, now
from tests.postgres_pair import Pair
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
TRIES = 10
OLD, NEW = NODES
NAME = "orders-broken"


def a_runbook() -> dict[str, Any]:
    def stage(name: str, deadline: str, step: dict[str, Any]) -> dict[str, Any]:
        return {"stage": name, "owner": "dba-on-call", "deadline": deadline, "steps": [step]}

    return {
        "runbook": NAME,
        "policy": "orders",
        "disaster": "hardware",
        "activate_when": "the primary is silent",
        "deactivate_when": "it never is",
        "stages": [
            stage("respond", "10s", {"step": "Cut off", "fence": {"node": "primary", "by": ["revoke"]}}),
            stage("recover", "20s", {"step": "Break", "command": {"argv": ["false"]}}),
        ],
    }


def test_standbys_that_a_run_has_cut_off_and_left_receive_again_once_the_primary_is_back(
    machine: Machine, orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True)
    shipped = machine.folder / "runbooks" / "orders-failover.yaml"
    shipped.write_text(shipped.read_text().replace("mode: automatic", "mode: manual"))
    (machine.folder / "runbooks" / f"{NAME}.yaml").write_text(json.dumps(a_runbook()))
    machine.drd("reload").done()
    client = orders.start_client(orders.proxied)
    for _ in range(TRIES):
        if is_cut_off_and_left(orders, watcher, client):
            break
    else:
        raise AssertionError("the standby was never cut off")
    assert orders.servers[NEW].value("SHOW primary_slot_name").startswith("drd_cut_")
    orders.host(OLD).heal()
    client.writes_again(now(), PATIENCE)
    assert {row.server for row in client.stop()} == {orders.host(OLD).address}
    assert orders.servers[NEW].value("SHOW primary_slot_name") == NEW.replace("-", "_")
    [given] = machine.events("standbys-given-back")
    assert (given["primary"], given["nodes"]) == (OLD, [NEW])


def is_cut_off_and_left(orders: Pair, watcher: Watcher, client: Client) -> bool:
    """Have the run go as far as that. It counts only while the last look at the primary is young."""
    before = len(watcher.machine.events("incident-finished"))
    orders.host(OLD).silence()
    watcher.begin(NAME, OLD)
    wait_for(lambda: len(watcher.machine.events("incident-finished")) > before, "the run is over", PATIENCE)
    ends = {event["step"]: event["outcome"] for event in watcher.machine.events("step-finished")}
    if ends == {"Cut off": "succeeded", "Break": "failed"}:
        return True
    orders.host(OLD).heal()
    client.writes_again(now(), PATIENCE)
    wait_for(lambda: set(watcher.verdicts().values()) == {"well"}, "both nodes are well again", PATIENCE)
    return False
