"""A primary that dies is replaced while nobody types anything: fenced, promoted, on record; and when it must not be."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from drd.core.postgres.heartbeat import CREATE, rights
from tests.postgres_lab import Cluster, Lab, free_port
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.test_watched_nodes import verdicts

NAME = "orders-failover"
NODES = ("orders-1", "orders-2")
PATIENCE = 90.0


@pytest.fixture
def pair(postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, Cluster]]:
    name = f"f{abs(hash(request.node.name)) % 10000}"
    primary = postgres_lab.new(f"{name}a", segment_mib=1)
    primary.make_role("drd", "secret", "REPLICATION")
    for statement in (*CREATE, *rights("drd"), "GRANT pg_read_all_stats TO drd;"):
        primary.execute(statement)
    primary.execute("GRANT EXECUTE ON FUNCTION pg_promote TO drd")
    standby = postgres_lab.standby(primary, f"{name}b")
    for cluster in (primary, standby):
        cluster.admit("drd")
        cluster.reload()
    yield primary, standby
    primary.kill()
    standby.kill()


def a_runbook(folder: Path, **more: Any) -> dict[str, Any]:
    def stage(name: str, deadline: str, *steps: dict[str, Any]) -> dict[str, Any]:
        return {"stage": name, "owner": "anna", "deadline": deadline, "steps": list(steps)}

    wait = f"while [ ! -e {folder}/go ]; do sleep 0.1; done"
    go = {"command": {"argv": ["test", "-e", f"{folder}/go"]}}
    return {
        "runbook": NAME,
        "policy": "orders",
        "disaster": "hardware",
        "activate_when": "the primary is gone",
        "deactivate_when": "the other one serves",
        "mode": "automatic",
        "guards": {"hold_down": "30m", "per_day": 2, "max_lag": "16 MiB"},
        "triggers": [
            {"health": {"node": "primary", "is": "down"}},
            {"alertmanager": {"alertname": "OrdersPrimaryDown"}},
        ],
        "stages": [
            stage("detect", "5m", {"step": "Confirm", "confirm": {"node": "primary", "by": "observers"}}),
            stage("respond", "10m", {"step": "Fence", "fence": {"node": "primary", "by": ["power"]}}),
            stage(
                "recover",
                "20m",
                {"step": "Hold on", "command": {"argv": ["sh", "-c", wait]}, "done_when": go},
                {"step": "Promote", "postgres_promote": {"node": "best_standby"}},
            ),
            stage("switch", "30m", {"step": "Write a row", "verify": {"service": "orders"}}),
        ],
        **more,
    }


def set_up(machine: Machine, pair: tuple[Cluster, Cluster], lab: Lab, **runbook: Any) -> None:
    machine.set_secret("tokens", "let-me-in")
    tokens = {"file": str(machine.folder / "secrets" / "tokens")}
    machine.settings["http"] = {"listen": f"127.0.0.1:{free_port()}", "tokens": tokens}
    machine.settings["people"] = {"anna": {"name": "Anna"}}
    machine.settings["nodes"] = {}
    for name, cluster in zip(NODES, pair, strict=True):
        machine.set_secret(name, cluster.dsn("drd", "secret").decode())
        off = machine.folder / f"off-{name}"
        off.write_text(
            f"#!{sys.executable}\nimport contextlib, os\n"
            f"with contextlib.suppress(ProcessLookupError): os.kill({cluster.pid}, 9)\n"
            f"open({str(off) + '.times'!r}, 'a').write('off ')\n"
        )
        off.chmod(0o700)
        machine.settings["nodes"][name] = {
            "host": "127.0.0.1",
            "site": "hangzhou",
            "postgres": {"dsn": {"file": str(machine.folder / "secrets" / name)}},
            "power": {"command": [str(off)]},
        }
    source = {"postgres": {"from": "standby", "fallback": "primary", "programs": str(lab.programs)}}
    machine.protect("orders", source)
    policy = machine.policies["orders"]
    policy["nodes"] = list(NODES)
    policy["objectives"] = {"rto": "1h"}
    policy["disasters"] = {"hardware": {"runbook": NAME}}
    policy["health"] = {"every": "250ms", "probes": [{"postgres": {"timeout": "10s"}}]}
    machine.write()
    (machine.folder / "runbooks" / f"{NAME}.yaml").write_text(json.dumps(a_runbook(machine.folder, **runbook)))


def watched(machine: Machine) -> None:
    """Start, and wait until both nodes are well."""
    machine.start()
    wait_for(lambda: verdicts(machine) == dict.fromkeys(NODES, "well"), "both nodes are well", PATIENCE)


def incidents(machine: Machine) -> list[dict[str, Any]]:
    return machine.events("incident-started")


def an_alert_of(machine: Machine, name: str) -> Any:
    """What drd answers to an alert, sent as Alertmanager sends it."""
    host, _, port = str(machine.settings["http"]["listen"]).partition(":")
    moment = "2026-03-02T08:30:17.123Z"
    alert = {"status": "firing", "labels": {"alertname": name}, "startsAt": moment, "fingerprint": "68d1bd5a"}
    headers = {"Authorization": "Bearer let-me-in"}
    with closing(HTTPConnection(host, int(port), timeout=PATIENCE)) as connection:
        connection.request("POST", "/api/v1/alertmanager", json.dumps({"version": "4", "alerts": [alert]}), headers)
        answer = connection.getresponse()
        assert answer.status == HTTPStatus.OK, answer.read()
        return json.loads(answer.read())


def held(machine: Machine) -> list[dict[str, Any]]:
    return machine.events("failover-held", "orders")


@pytest.mark.system
def test_a_primary_that_dies_is_fenced_and_replaced_and_a_restarted_drd_goes_on_and_starts_nothing_twice(
    machine: Machine, pair: tuple[Cluster, Cluster], postgres_lab: Lab
) -> None:
    primary, standby = pair
    set_up(machine, pair, postgres_lab)
    watched(machine)

    primary.kill()
    fenced = machine.folder / "off-orders-1.times"
    wait_for(lambda: any(each["step"] == "Hold on" for each in machine.events("step-started")), "it waits", PATIENCE)
    assert fenced.read_text() == "off "
    assert machine.daemon is not None
    machine.daemon.kill()
    (machine.folder / "go").touch()
    machine.start()

    def told() -> Any:
        return machine.drd("incident", "show", NAME, "--json").done().json

    wait_for(lambda: told()["outcome"], "the run is over", PATIENCE)
    incident = told()
    assert (incident["outcome"], incident["by"]) == ("succeeded", "drd"), incident
    assert "orders-1 is lost: process dead" in incident["words"]
    assert incident["times"]["rta"] is not None
    assert not standby.value("SELECT pg_is_in_recovery()")
    wait_for(lambda: verdicts(machine)["orders-2"] == "well", "the new primary is known", PATIENCE)
    [started] = incidents(machine)
    assert (started["cause"], started["variables"]["primary"]) == ("health", "orders-1")
    assert fenced.read_text() == "off "
    [held] = an_alert_of(machine, "OrdersPrimaryDown")
    assert (held["outcome"], held["why"]) == ("held", "orders-2 is the primary, and well")
    machine.stop()


@pytest.mark.faults
@pytest.mark.parametrize("how", ["manual", "paused"])
def test_nothing_is_done_where_a_person_starts_it_or_where_it_is_paused_and_both_say_so(
    machine: Machine, pair: tuple[Cluster, Cluster], postgres_lab: Lab, how: str
) -> None:
    primary, standby = pair
    set_up(machine, pair, postgres_lab, **({"mode": "manual"} if how == "manual" else {}))
    watched(machine)
    if how == "paused":
        machine.drd("pause", "orders", "--what", "failover", "--for", "2h", "--reason", "kernel updates").done()

    primary.kill()
    wait_for(lambda: held(machine), "it is told that nothing is done", PATIENCE)
    assert held(machine)[0]["guards"] == ["mode" if how == "manual" else "paused"]
    lines = " ".join(machine.drd("explain", "orders").done().stdout.split())  # long ones are wrapped
    assert ("the runbook's mode is manual" if how == "manual" else "kernel updates") in lines
    assert "if it were lost now, orders-2 would be promoted" in lines
    assert incidents(machine) == []
    assert standby.value("SELECT pg_is_in_recovery()")
    if how == "paused":
        (machine.folder / "go").touch()
        machine.drd("resume", "orders").done()
        wait_for(lambda: not standby.value("SELECT pg_is_in_recovery()"), "it is made up for", PATIENCE)
        wait_for(lambda: machine.events("incident-finished"), "the run is over", PATIENCE)
        assert len(incidents(machine)) == 1
    machine.stop()
