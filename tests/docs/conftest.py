"""The demonstration, started once for all commands that the pages show."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY
from tests.reachable import reachable_folder
from tests.system.programs import Finished, Running, wait_for

DRD = Path(sys.prefix) / "bin" / "drd"
READY_SECONDS = 100.0
COMMAND_SECONDS = 100.0


@dataclass
class Demonstration:
    """`make run` as it is, but for its folder and its port."""

    folder: Path
    """Its `.demo`."""
    port: int
    path: str

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": self.path, "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def start(self, log: Path) -> Running:
        words = [str(DRD), "demo", "run", "--folder", str(self.folder)]
        words += ["--policies", str(REPOSITORY / "policies"), "--runbooks", str(REPOSITORY / "runbooks")]
        return Running(words, {**self.environment, "DRD_DEMO_PORT": str(self.port)}, log)

    def drd(self, *words: str, **settings: str) -> Finished:
        """Type a command as the pages tell: with DRD_CONFIG set, and with what stands before the program."""
        ended = subprocess.run(
            [DRD, *words],
            env={**self.environment, "DRD_CONFIG": str(self.folder / "drd.yaml"), **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    def shell(self, line: str) -> Finished:
        """Type a whole line, with all that a shell does to it, in the folder that holds `.demo`."""
        ended = subprocess.run(
            ["bash", "-c", line],
            env={**self.environment, "DRD_CONFIG": str(self.folder / "drd.yaml")},
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    def is_ready(self) -> bool:
        """Whether every policy has a point in every store, and every store has been checked."""
        answered = self.drd("status", "--json")
        if answered.code != 0 or not (status := json.loads(answered.stdout))["running"]:
            return False
        has_points = all(copy["moment"] for policy in status["policies"] for copy in policy["copies"])
        return has_points and all(store["last_checked"] for store in status["stores"])


@pytest.fixture(scope="session")
def demonstration(
    newest_restic: Path, rclone_binary: Path, postgres_programs: Path, haproxy: Path
) -> Iterator[Demonstration]:
    path = f"{newest_restic.parent}:{rclone_binary.parent}:{postgres_programs}:{haproxy.parent}:{os.environ['PATH']}"
    with reachable_folder() as folder:
        made = Demonstration(folder / ".demo", _free_port(), path)
        running = made.start(folder / "demo.log")
        try:
            wait_for(lambda: not running.is_alive or made.is_ready(), "points in both stores", READY_SECONDS)
            assert running.is_alive, running.said()
            yield made
            assert running.stop() == 0, running.said()
        finally:
            running.kill()


@pytest.fixture
def restored() -> Iterator[Path]:
    """A folder to restore into, also for the user that PostgreSQL's server runs as."""
    with reachable_folder() as folder:
        yield folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
