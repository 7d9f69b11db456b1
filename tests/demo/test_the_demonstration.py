"""`drd demo run`, as `make run` types it: nothing is configured, and both stores hold points soon."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.programs import Finished, Running, is_gone, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

REPOSITORY = Path(__file__).parent.parent.parent
PROGRAMS = Path(sys.prefix) / "bin"
SOON_SECONDS = 120.0


class Demonstration:
    """One demonstration in a folder of its own, on ports that the system chooses."""

    def __init__(self, folder: Path, restic: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": f"{restic.parent}:{PROGRAMS}:{os.environ['PATH']}",
            "HOME": str(folder.parent),
            "DRD_DEMO_PORT": "0",
        }
        self._started: list[Running] = []

    def start(self, *options: str) -> Running:
        command = [str(PROGRAMS / "drd"), "demo", "run", "--folder", str(self.folder)]
        if not options:
            options = ("--policies", str(REPOSITORY / "policies"), "--runbooks", str(REPOSITORY / "runbooks"))
        self._started.append(Running([*command, *options], self.environment, self.folder.with_suffix(".log")))
        return self._started[-1]

    def drd(self, *words: str) -> Finished:
        """What somebody types in another terminal."""
        environment = {"DRD_CONFIG": str(self.folder / "drd.yaml"), "PATH": os.environ["PATH"]}
        ended = subprocess.run(
            [str(PROGRAMS / "drd"), *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    def status(self) -> dict[str, Any] | None:
        """What the daemon says, once it answers."""
        said = self.drd("status", "--json")
        document: dict[str, Any] = json.loads(said.stdout) if said.code == 0 else {}
        return document if document.get("running") else None

    def is_protected(self) -> dict[str, Any] | None:
        """The status, once every policy has a recovery point in each of its stores."""
        status = self.status()
        return status if status and all(copy["moment"] for copy in _copies(status)) else None

    def shut_down(self) -> None:
        for running in self._started:
            running.kill()


@pytest.fixture
def demonstration(tmp_path: Path, newest_restic: Path) -> Iterator[Callable[[str], Demonstration]]:
    made: list[Demonstration] = []

    def make(name: str) -> Demonstration:
        made.append(Demonstration(tmp_path / name, newest_restic))
        return made[-1]

    yield make
    for each in made:
        each.shut_down()


def test_within_two_minutes_points_stand_in_both_stores(demonstration: Callable[[str], Demonstration]) -> None:
    demo = demonstration("demo")
    daemon = demo.start()
    status = wait_for(demo.is_protected, "points of every policy in both stores", SOON_SECONDS)
    assert len(status["policies"]) >= 3
    assert {copy["store"] for copy in _copies(status)} == {"local", "offsite"}
    assert {each["state"] for each in status["stores"]} == {"ok"}
    page = demo.drd("status").done().stdout
    assert all(word in page for word in ("recordings", "community", "local", "offsite", "xian"))
    back = demo.folder.with_name("back")
    demo.drd("restore", "recordings", "--to", str(back), "--from", "offsite").done()
    assert list(back.rglob("*.flv"))
    assert daemon.stop() == 0, daemon.said()
    assert "Traceback" not in daemon.said()

    # What was made stays, and the next start goes on with it.
    before = {policy["name"]: policy["copies"] for policy in status["policies"]}
    again = demo.start()
    status = wait_for(demo.is_protected, "it is there again", SOON_SECONDS)
    assert before.keys() == {policy["name"] for policy in status["policies"]}
    assert again.stop() == 0, again.said()
    assert demo.drd("journal", "verify").done()


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


def _copies(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [copy for policy in status["policies"] for copy in policy["copies"]]
