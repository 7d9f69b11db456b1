"""The shipped unit under a real systemd: it starts, reloads, comes back and stays away as it promises."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.programs import wait_for
from tests.systemd.booted import PASSWORD, Booted, booted_machine

pytestmark = [pytest.mark.system, pytest.mark.slow]

HOLD_A_PORT = """
import signal, socket
holding = socket.create_server(("127.0.0.1", 9476))
print("holding", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory, newest_restic: Path) -> Iterator[Booted]:
    with booted_machine(tmp_path_factory.mktemp("machine"), newest_restic) as machine:
        yield machine


@pytest.fixture
def machine(booted: Booted) -> Iterator[Booted]:
    """A machine on which the unit is installed and configured, and on which it runs no more afterwards."""
    for policy in (booted.etc / "policies").glob("*.yaml"):
        policy.unlink()
    booted.configure("RestartSec=1")
    booted.write_policy("shop")
    for folder, owner in (("drd", "drd"), ("shop", "root")):
        booted.run("install", "-d", "-o", owner, "-m", "0700", f"/srv/{folder}").done()
    (booted.srv / "shop" / "orders").write_text("42 recordings\n")
    (booted.srv / "shop" / "orders").chmod(0o600)
    yield booted
    booted.systemctl("stop", "drd")
    booted.systemctl("reset-failed", "drd")


def outcome_of(machine: Booted, policy: str) -> str | None:
    status = machine.drd("status", "--json").done().json
    return next(each["last_outcome"] for each in status["policies"] if each["name"] == policy)


def test_it_is_ready_with_a_credential_and_reads_what_only_root_may_read(machine: Booted) -> None:
    machine.start()
    assert machine.property("ActiveState") == "active"
    assert machine.property("StatusText") == "1 policy, 1 store"
    assert wait_for(lambda: outcome_of(machine, "shop"), "the first run ends") == "succeeded", machine.log()
    environment = machine.run("cat", f"/proc/{machine.property('MainPID')}/environ").done().stdout
    assert PASSWORD not in environment + machine.log()
    listed = machine.drd("points", "shop", "--json").done().json["points"]
    assert [point["total_files"] for point in listed] == [1]
    machine.systemctl("stop", "drd").done()
    assert (machine.property("Result"), machine.property("ExecMainStatus")) == ("success", "0")
    assert machine.drd("journal", "verify").done()


def test_a_bad_file_changes_nothing_at_a_reload_and_a_good_one_does(machine: Booted) -> None:
    machine.start()
    process = machine.property("MainPID")
    machine.write_policy("films", every="5m")
    machine.systemctl("reload", "drd").done()
    wait_for(lambda: "films.yaml:1:" in machine.log(), "the mistake is told")
    assert machine.property("ActiveState") == "active"
    machine.write_policy("films", source={"files": {"paths": ["/srv/shop"]}})
    machine.systemctl("reload", "drd").done()
    wait_for(lambda: machine.property("StatusText") == "2 policies, 1 store", "the new policy is in force")
    assert machine.property("MainPID") == process


def test_a_killed_daemon_is_started_again(machine: Booted) -> None:
    machine.start()
    killed = machine.property("MainPID")
    machine.systemctl("kill", "--kill-whom=main", "--signal=KILL", "drd").done()
    wait_for(lambda: machine.property("MainPID") not in ("0", killed), "it is started again")
    wait_for(lambda: machine.property("ActiveState") == "active", "it is ready again")
    machine.drd("journal", "verify").done()


def test_a_daemon_that_hangs_is_ended_and_started_again(machine: Booted) -> None:
    machine.configure("RestartSec=1", "WatchdogSec=5")
    machine.start()
    hanging = machine.property("MainPID")
    machine.systemctl("kill", "--kill-whom=main", "--signal=STOP", "drd").done()
    wait_for(lambda: machine.property("MainPID") not in ("0", hanging), "it is started again")
    wait_for(lambda: machine.property("ActiveState") == "active", "it is ready again")
    assert "Watchdog timeout" in machine.log()


def test_a_wrong_configuration_is_not_tried_again(machine: Booted) -> None:
    machine.write_policy("shop", to=["nowhere"])
    assert machine.systemctl("start", "drd").code != 0
    assert machine.property("ExecMainStatus") == "2"
    assert (machine.property("ActiveState"), machine.property("SubState")) == ("failed", "failed")
    assert "shop.yaml:1:" in machine.log()


def test_a_port_in_use_is_tried_again_until_it_is_free(machine: Booted) -> None:
    machine.configure("RestartSec=1", http="127.0.0.1:9476")
    machine.run("systemd-run", "--quiet", "--unit=holder", "/usr/bin/python3", "-c", HOLD_A_PORT).done()
    wait_for(lambda: "holding" in machine.run("journalctl", "--unit=holder").stdout, "it listens")
    machine.systemctl("start", "drd", "--no-block").done()
    wait_for(lambda: machine.property("ExecMainStatus") == str(os.EX_TEMPFAIL), "it finds the port in use")
    machine.systemctl("stop", "holder")
    wait_for(lambda: machine.property("ActiveState") == "active", "it starts by itself when the port is free")
