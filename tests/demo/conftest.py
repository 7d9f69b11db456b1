"""Demonstrations for tests, as `make run` starts them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reachable import reachable_folder
from tests.system.programs import Finished, Running

REPOSITORY = Path(__file__).parent.parent.parent
PROGRAMS = Path(sys.prefix) / "bin"
COMMAND_SECONDS = 150.0


class Demonstration:
    """One demonstration in a folder of its own, on ports that the system chooses."""

    def __init__(self, folder: Path, restic: Path, postgres: Path, haproxy: Path) -> None:
        self.folder = folder
        self.postgres = postgres
        self.environment = {
            "PATH": f"{restic.parent}:{postgres}:{haproxy.parent}:{PROGRAMS}:{os.environ['PATH']}",
            "HOME": str(folder.parent),
            "DRD_DEMO_PORT": "0",
        }
        self.started: list[Running] = []

    def start(self, *options: str) -> Running:
        command = [str(PROGRAMS / "drd"), "demo", "run", "--folder", str(self.folder)]
        if not options:
            options = ("--policies", str(REPOSITORY / "policies"), "--runbooks", str(REPOSITORY / "runbooks"))
        self.started.append(Running([*command, *options], self.environment, self.folder.with_suffix(".log")))
        return self.started[-1]

    def drd(self, *words: str) -> Finished:
        """What somebody types in another terminal."""
        environment = {"DRD_CONFIG": str(self.folder / "drd.yaml"), "PATH": os.environ["PATH"]}
        command = [str(PROGRAMS / "drd"), *words]
        try:
            ended = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as late:
            said = "\n".join((part or b"").decode(errors="replace") for part in (late.stdout, late.stderr))
            daemon = self.started[-1].said() if self.started else "there is none"
            raise AssertionError(f"drd {words} goes on after {late.timeout} s\n{said}\nthe daemon: {daemon}") from None
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    def status(self) -> dict[str, Any] | None:
        """What the daemon says, once it answers."""
        if not (self.folder / "state" / "control.sock").exists():
            return None
        said = self.drd("status", "--json")
        document: dict[str, Any] = json.loads(said.stdout) if said.code == 0 else {}
        return document if document.get("running") else None

    def is_protected(self) -> dict[str, Any] | None:
        """The status, once every policy has a recovery point in each of its stores, and WAL is there too."""
        status = self.status()
        if not status or not all(copy["moment"] for copy in copies(status)):
            return None
        return status if all(store["state"] != "never used" for store in status["stores"]) else None

    def shut_down(self) -> None:
        for running in self.started:
            running.kill()


@pytest.fixture
def demonstration(
    newest_restic: Path, postgres_programs: Path, haproxy: Path
) -> Iterator[Callable[[str], Demonstration]]:
    made: list[Demonstration] = []
    with reachable_folder() as folder:

        def make(name: str) -> Demonstration:
            made.append(Demonstration(folder / name, newest_restic, postgres_programs, haproxy))
            return made[-1]

        yield make
        for each in made:
            each.shut_down()


def copies(status: dict[str, Any]) -> list[dict[str, Any]]:
    """What is told of each policy in each of its stores."""
    return [copy for policy in status["policies"] for copy in policy["copies"]]
