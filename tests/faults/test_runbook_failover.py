"""A primary is lost and a person starts the runbook: fence, promotion, switch and verify, with drd killed between."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres_lab import Cluster, Lab, free_port
from tests.system.machine import Machine
from tests.system.programs import wait_for

pytestmark = pytest.mark.faults

PARTS = Path(__file__).parents[2] / "scripts" / "parts"
PATIENCE = 120.0
NAME = "shop-failover"
CLIENT = """
import psycopg, sys
with psycopg.connect(sys.argv[1], connect_timeout=5, autocommit=True) as connection:
    connection.execute("INSERT INTO orders VALUES (2)")
"""


@pytest.fixture
def pair(postgres_lab: Lab) -> tuple[Cluster, Cluster]:
    primary = postgres_lab.new("shop-1", segment_mib=1, has_port=True)
    primary.execute("CREATE TABLE orders (id int)")
    primary.execute("INSERT INTO orders VALUES (1)")
    primary.make_role("customer", "the-password")
    primary.execute("GRANT INSERT ON orders TO customer")
    return primary, postgres_lab.standby(primary, "shop_2")


@pytest.fixture
def proxy(pair: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[int]:
    """A port behind which HAProxy knows both, the second one cut off."""
    folder = subprocess.run([PARTS, "where"], capture_output=True, text=True, check=True).stdout.strip()
    program = Path(folder) / "haproxy" / "haproxy"
    assert program.exists(), f"{program} is missing; type: make parts"
    port, (first, second) = free_port(), pair
    (tmp_path / "haproxy.cfg").write_text(
        f"global\n stats socket {tmp_path}/admin.sock mode 600 level admin\n"
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n"
        f"listen shop\n bind 127.0.0.1:{port}\n"
        f" server shop-1 127.0.0.1:{first.port}\n server shop-2 127.0.0.1:{second.port} disabled\n"
    )
    with (tmp_path / "haproxy.log").open("wb") as log:
        command = ["setpriv", "--pdeathsig", "KILL", program, "-db", "-f", tmp_path / "haproxy.cfg"]
        process = subprocess.Popen(command, env=dict(os.environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.kill()
        process.wait(PATIENCE)


def a_runbook(machine: Machine, client: list[str]) -> dict[str, object]:
    def stage(name: str, deadline: str, *steps: dict[str, object]) -> dict[str, object]:
        return {"stage": name, "owner": "anna", "deadline": deadline, "steps": list(steps)}

    wait = f"echo waits >> {machine.folder}/log; while [ ! -e {machine.folder}/go ]; do sleep 0.1; done"
    return {
        "runbook": NAME,
        "policy": "shop",
        "disaster": "process",
        "activate_when": "the primary is gone",
        "deactivate_when": "the other one serves",
        "stages": [
            stage("respond", "10m", {"step": "Fence", "fence": {"node": "primary", "by": ["ssh", "power"]}}),
            stage("recover", "20m", {"step": "Promote", "postgres_promote": {"node": "best_standby"}}),
            stage(
                "switch",
                "30m",
                {
                    "step": "Hold on",
                    "command": {"argv": ["sh", "-c", wait]},
                    "done_when": {"command": {"argv": ["test", "-e", f"{machine.folder}/go"]}},
                },
                {
                    "step": "Send clients there",
                    "haproxy": {
                        "backend": "shop",
                        "server": "${new_primary}",
                        "socket": str(machine.folder / "admin.sock"),
                    },
                },
                {"step": "Order something", "verify": {"service": "shop", "argv": client}},
            ),
        ],
    }


def test_a_lost_primary_is_replaced_and_clients_write_again(
    machine: Machine, pair: tuple[Cluster, Cluster], proxy: int
) -> None:
    primary, standby = pair
    switch = machine.folder / "switch-off"
    switch.write_text(f"#!{sys.executable}\nimport os\nos.kill({primary.pid}, 9)\n")
    switch.chmod(0o700)
    machine.settings["people"] = {"anna": {"name": "Anna"}}
    machine.settings["nodes"] = {}
    for name, cluster in (("shop-1", primary), ("shop-2", standby)):
        machine.set_secret(name, cluster.dsn().decode())
        machine.settings["nodes"][name] = {
            "host": "127.0.0.1",
            "site": "hangzhou",
            "postgres": {"dsn": {"file": str(machine.folder / "secrets" / name)}},
        }
    machine.settings["nodes"]["shop-1"]["power"] = {"command": [str(switch)]}
    (machine.data / "shop").mkdir()
    (machine.data / "shop" / "readme").write_text("hello")
    machine.protect("shop")
    machine.policies["shop"]["nodes"] = ["shop-1", "shop-2"]
    machine.policies["shop"]["objectives"] = {"rto": "1h"}
    machine.write()
    (machine.folder / "client.py").write_text(CLIENT)
    dsn = f"host=127.0.0.1 port={proxy} user=customer password=the-password dbname=postgres"
    client = [sys.executable, str(machine.folder / "client.py"), dsn]
    (machine.folder / "runbooks" / f"{NAME}.yaml").write_text(json.dumps(a_runbook(machine, client)))
    machine.start()
    planned = machine.drd("runbook", "plan", NAME, "--set", "primary=shop-1").done().stdout
    assert "on shop-2: SELECT pg_promote(false)" in planned
    assert "set server shop/" not in planned  # who the new primary is, nobody knows yet

    machine.command("runbook", "start", NAME, "--reason", "lost", "--confirm", NAME, "--set", "primary=shop-1")
    wait_for((machine.folder / "log").exists, "the promotion is over", PATIENCE)
    assert machine.daemon is not None
    machine.daemon.kill()
    assert not standby.value("SELECT pg_is_in_recovery()")
    (machine.folder / "go").touch()
    machine.start()
    wait_for(lambda: "incident finished" in machine.daemon_log(), "the run is over", PATIENCE)

    told = machine.drd("incident", "show", NAME, "--json").done().json
    assert (told["outcome"], [step["state"] for step in told["steps"]]) == ("succeeded", ["done"] * 5), told
    assert standby.rows("SELECT id FROM orders ORDER BY id") == [(1,), (2,)]
    moments = [told["times"][name] for name in ("bad", "start", "fenced", "promoted", "up")]
    assert moments == sorted(moments)
    assert told["times"]["is_kept"] is True
    assert not primary.is_running
    machine.stop()
