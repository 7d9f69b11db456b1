"""`drd demo run`, as `make run` types it: nothing is configured, and both stores hold points soon."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.demo.conftest import Demonstration, copies
from tests.system.programs import is_gone, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

SOON_SECONDS = 120.0


def test_within_two_minutes_points_stand_in_both_stores(demonstration: Callable[[str], Demonstration]) -> None:
    demo = demonstration("demo")
    daemon = demo.start()
    status = wait_for(demo.is_protected, "points of every policy in both stores", SOON_SECONDS)
    assert {policy["name"] for policy in status["policies"]} >= {"orders", "recordings", "community"}
    assert {copy["store"] for copy in copies(status)} == {"local", "offsite"}
    assert {each["state"] for each in status["stores"]} == {"ok"}
    page = demo.drd("status").done().stdout
    assert all(word in page for word in ("recordings", "community", "local", "offsite", "xian"))
    back = demo.folder.with_name("back")
    demo.drd("restore", "recordings", "--to", str(back), "--from", "offsite").done()
    assert list(back.rglob("*.flv"))
    recovered_by_the_shipped_runbook(demo)
    assert daemon.stop() == 0, daemon.said()
    assert "Traceback" not in daemon.said()

    # What was made stays, and the next start goes on with it.
    before = {policy["name"]: policy["copies"] for policy in status["policies"]}
    again = demo.start()
    status = wait_for(demo.is_protected, "it is there again", SOON_SECONDS)
    assert before.keys() == {policy["name"] for policy in status["policies"]}
    assert again.stop() == 0, again.said()
    assert demo.drd("journal", "verify").done()


def recovered_by_the_shipped_runbook(demo: Demonstration) -> None:
    """It calls drd itself, restores, and waits for a person twice."""
    name, place = "recordings-point-in-time", demo.folder.with_name("recovered")
    words = ("--point", "latest", "--place", str(place), "--reason", "a test", "--confirm", name)
    demo.drd("runbook", "start", name, *words)

    def state() -> str:
        return str(json.loads(demo.drd("incident", "show", name, "--json").stdout)["state"])

    def approved(step: str) -> bool:
        return demo.drd("runbook", "approve", name, "--step", step, "--reason", "seen").code == 0

    for step in (
        "Find the last moment at which the recordings were whole",
        "Let a person look before the damaged recordings are replaced",
    ):
        wait_for(partial(approved, step), f"it waits for a person: {step}", SOON_SECONDS)
    wait_for(lambda: state() not in ("waiting", "running"), "the runbook comes to its end", SOON_SECONDS)
    shown = demo.drd("incident", "show", name).stdout
    assert state() == "succeeded", shown
    told = [line for line in demo.started[-1].said().splitlines() if line.startswith("people are told: ")]
    assert any(name in line for line in told), told
    assert list(place.rglob("*.flv"))


def test_two_demonstrations_run_side_by_side_but_not_in_one_folder(
    demonstration: Callable[[str], Demonstration],
) -> None:
    one, other = demonstration("one"), demonstration("other")
    running = [one.start(), other.start()]
    for demo in (one, other):
        wait_for(demo.status, "the daemon answers")
    third = one.start()
    assert third.ended() == 75, third.said()
    assert "Traceback" not in third.said()
    assert [daemon.stop() for daemon in running] == [0, 0]


def test_nothing_is_left_running_when_a_demonstration_is_killed(
    demonstration: Callable[[str], Demonstration],
) -> None:
    demo = demonstration("demo")
    daemon = demo.start()
    wait_for(demo.status, "the daemon answers")
    children = daemon.children()
    assert any("serve" in line for line in children.values())
    daemon.kill()
    wait_for(lambda: all(is_gone(pid) for pid in children), "its S3 server ends with it")


def test_a_folder_without_policies_is_told_and_nothing_is_started(
    demonstration: Callable[[str], Demonstration], tmp_path: Path
) -> None:
    daemon = demonstration("demo").start("--policies", str(tmp_path / "nowhere"))
    assert daemon.ended() == 2
    assert f"there is no folder {tmp_path / 'nowhere'}" in daemon.said()
