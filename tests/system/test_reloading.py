"""The configuration changes while the daemon runs."""

import signal

import pytest

from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.trees import grow

pytestmark = pytest.mark.system


def test_a_bad_file_changes_nothing_and_a_good_one_takes_effect(machine: Machine) -> None:
    grow(machine.data / "shop")
    grow(machine.data / "posts")
    machine.protect("shop")
    daemon = machine.start()
    machine.drd("backup", "shop").done()

    machine.protect("posts")
    good = machine.policy_file("shop").read_text()
    machine.policy_file("shop").write_text(good.replace('"keep"', '"kepe"'))
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: "reload refused, nothing changed" in daemon.said(), "the refusal in the log")
    place = f"{machine.policy_file('shop')}:"
    assert any(line.startswith(place) and "did you mean `keep`" in line for line in daemon.said().splitlines())
    assert [each["name"] for each in machine.status()["policies"]] == ["shop"]
    machine.policy_file("shop").write_text(good)  # so that the command line itself can read the files
    (refused,) = machine.events("configuration-refused")
    assert refused["errors"] >= 1

    daemon.signal(signal.SIGHUP)
    wait_for(lambda: "reloaded: policy posts added" in daemon.said(), "the reload in the log")
    # A policy that has never run is due at once.
    wait_for(lambda: machine.points("posts"), "the first point of the new policy")

    machine.policies.pop("shop")
    machine.policy_file("shop").unlink()
    answer = machine.drd("reload", "--json").done().json
    assert answer["changes"] == ["policy shop removed"]
    machine.drd("backup", "shop").done(2)
    assert [event["policy"] for event in machine.events("policy-removed")] == ["shop"]
    assert len(machine.snapshots_in("local")) == 2, "its recovery points stay"
    assert "Traceback" not in daemon.said()


def test_reload_with_a_bad_file_tells_the_person_who_asked(machine: Machine) -> None:
    grow(machine.data / "shop")
    machine.protect("shop")
    machine.start()
    settings = machine.settings_file.read_text()
    machine.settings_file.write_text(settings.replace('"xian"', '"xian": {"latitude": 1}, "xi-an"'))
    refused = machine.drd("reload").done(2)
    assert f"{machine.settings_file}:" in refused.stderr
    machine.settings_file.write_text(settings)
    assert machine.drd("reload", "--json").done().json == {"changes": []}


def test_a_paused_policy_starts_nothing_until_it_is_resumed(machine: Machine) -> None:
    grow(machine.data / "shop")
    machine.protect("shop", full={"every": "2s"}, incremental=None)
    machine.start()
    wait_for(lambda: len(machine.points("shop")) >= 2, "two runs by themselves")
    machine.drd("pause", "shop", "--for", "2h", "--reason", "the disk is moved").done()
    wait_for(lambda: machine.status_of("shop")["state"] == "paused", "it is paused")
    runs = len(machine.events("run-started"))
    assert "the disk is moved" in machine.drd("explain", "shop").done().stdout
    wait_for(lambda: not machine.status_of("shop")["running"], "the run under way ends")
    assert "the end of the pause" in machine.drd("explain", "shop").done().stdout
    machine.drd("backup", "shop").done()
    wait_for(lambda: not machine.status_of("shop")["running"], "the run that a person asked for ends")
    assert [event["cause"] for event in machine.events("run-started")][runs:] == ["manual"]
    machine.drd("resume", "shop").done()
    wait_for(lambda: len(machine.events("run-started")) > runs + 1, "it runs by itself again")
    assert machine.status_of("shop")["state"] != "paused"
