"""What commands answer to programs: JSON, and exit codes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.machine import Machine
from tests.system.trees import grow

pytestmark = pytest.mark.system


def test_every_command_answers_programs_with_json_alone(two_stores: Machine) -> None:
    machine = two_stores.protect("shop")
    grow(machine.data / "shop")
    machine.start()
    commands: list[tuple[str, ...]] = [
        ("validate",),
        ("validate", "--reach"),
        ("backup", "shop"),
        ("backup", "shop", "--full"),
        ("status",),
        ("points", "shop"),
        ("points", "shop", "--why"),
        ("explain", "shop"),
        ("restore", "shop", "--to", str(machine.folder / "back")),
        ("forget", "shop", "--plan"),
        ("forget", "shop", "--confirm", "shop"),
        ("check", "local"),
        ("pause", "shop", "--for", "1h", "--reason", "a test"),
        ("resume", "shop"),
        ("reload",),
        ("journal", "verify"),
        ("runbook", "list"),
        ("schema", "settings"),
        ("schema", "policy"),
        ("schema", "runbook"),
    ]
    answers = {command: machine.drd(*command, "--json").done().json for command in commands}
    assert answers["status",]["running"] is True
    assert answers["validate", "--reach"]["findings"] == []
    assert {line["action"] for line in answers["forget", "shop", "--plan"]} == {"keep"}
    assert answers["forget", "shop", "--confirm", "shop"]["result"]["forgotten"] == 0
    assert all(event["sequence"] for event in machine.events())


def test_what_is_forgotten_is_what_was_planned(two_stores: Machine) -> None:
    # Without a daemon, whose own first retention comes half a minute after its start.
    machine = two_stores.protect("shop", keep={"last": 1})
    grow(machine.data / "shop")
    for _ in range(2):
        machine.drd("backup", "shop").done()
    plan = machine.drd("forget", "shop", "--plan", "--json").done().json
    assert sorted((line["store"], line["action"]) for line in plan) == [
        (store, action) for store in ("local", "offsite") for action in ("forget", "keep")
    ]
    assert machine.drd("forget", "shop", "--confirm", "shop", "--json").done().json["result"]["forgotten"] == 2
    kept = {line["snapshot_id"] for line in plan if line["action"] == "keep"}
    assert {each["id"] for store in ("local", "offsite") for each in machine.snapshots_in(store)} == kept


def test_errors_end_with_the_code_that_tells_what_to_do_about_them(machine: Machine) -> None:
    machine.protect("shop")
    machine.protect("slow", {"command": {"argv": ["cat", "shop/album-0/1-000.bin"], "filename": "one"}})
    machine.policies["slow"]["objectives"] = {"full_restore": "1ms"}
    machine.write()
    grow(machine.data / "shop")
    assert machine.drd("reload", "--json").done(2).json["error"]["message"] == "no daemon answers here"
    machine.start()
    machine.drd("backup", "slow").done()
    late = machine.drd("restore", "slow", "--to", str(machine.folder / "slow"), "--json").done(3).json
    assert late["outcome"] == "succeeded"
    assert "longer than objectives: full_restore: 1ms" in late["message"]
    unknown = machine.drd("backup", "shpo", "--json").done(2).json["error"]
    assert "there is no policy shpo" in unknown["message"]
    assert unknown["hint"]
    assert "did you mean" in machine.drd("bakcup", "shop").done(2).stderr
    machine.drd("restore", "shop").done(2)
    machine.drd("restore", "shop", "--to", "/x", "--at", "yesterday").done(2)
    machine.drd("release", "local", "--confirm", "local").done(2)
    machine.drd("forget", "shop", "--confirm", "other", "--plan").done(0)
    (machine.data / "shop").rename(machine.data / "gone")
    machine.drd("backup", "shop").done(1)


def test_a_guard_that_refuses_has_a_code_of_its_own(machine: Machine) -> None:
    # Without a daemon, whose own first retention comes half a minute after its start.
    machine.protect("shop", keep={"last": 1})
    grow(machine.data / "shop")
    for _ in range(2):
        machine.drd("backup", "shop").done()
    aside = machine.repository.rename(machine.folder / "unplugged")
    machine.drd("backup", "shop").done(1)
    aside.rename(machine.repository)
    refused = machine.drd("forget", "shop", "--confirm", "shop", "--json").done(5).json
    assert "holds no repository now" in refused["message"]
    assert "drd release local" in refused["hint"]
    assert len(machine.snapshots_in("local")) == 2
    machine.drd("release", "local", "--confirm", "local").done()
    assert machine.drd("forget", "shop", "--confirm", "shop", "--json").done().json["result"]["forgotten"] == 1


def test_a_disk_that_was_changed_for_another_is_never_written_to(
    machine: Machine, another_machine: Callable[..., Machine], newest_restic: Path
) -> None:
    other = another_machine("other", newest_restic)  # with the same password
    for each in (machine, other):
        each.protect("shop")
        grow(each.data / "shop")
        each.drd("backup", "shop").done()
    machine.start()
    machine.repository.rename(machine.folder / "unplugged")
    other.repository.rename(machine.repository)
    refused = machine.drd("backup", "shop", "--json").done(1).json
    assert "store local held repository" in refused["message"]
    assert len(machine.snapshots_in("local")) == 1


def test_a_second_daemon_on_the_same_state_is_busy_and_names_the_first(machine: Machine) -> None:
    grow(machine.data / "shop")
    machine.protect("shop")
    first = machine.start()
    second = machine.launch()
    assert second.ended() == os.EX_TEMPFAIL == 75
    assert f"process {first.pid}" in second.said()
    machine.drd("backup", "shop").done()
    machine.daemon = first
    machine.stop()


def test_a_port_that_is_taken_names_its_holder(machine: Machine) -> None:
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        machine.settings["http"] = {"listen": f"127.0.0.1:{port}"}
        grow(machine.data / "shop")
        machine.protect("shop")
        daemon = machine.launch()
        assert daemon.ended() == 75
        assert f"port {port} on 127.0.0.1 is in use" in daemon.said()
        assert str(os.getpid()) in daemon.said()
