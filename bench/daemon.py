"""A daemon of drd's with one tree to back up, asked by its own command line.

Its stores are made by a first little policy, so that restic's `init` is in no figure.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psutil

START_SECONDS = 60.0
UPKEEP_SECONDS = 300.0
FULL_SECONDS = 600.0
EVENTS = 60
"""So many of the newest events are asked for: a run's own are among them."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is."""

    entry: str
    """What drd.yaml says of it besides site and password."""
    folder: Path
    """Where its files lie in the end."""

    @classmethod
    def local(cls, folder: Path) -> Place:
        """A folder."""
        return cls(f"local: {folder}", folder)


@dataclass(frozen=True, slots=True)
class Ran:
    """How long a run took; the first two as the journal tells it, from the run's start."""

    saved_seconds: float
    """Until the snapshot was on record."""
    everywhere_seconds: float
    """Until its copy in the last store was; the same where there is one store."""
    command_seconds: float = 0.0
    """What somebody waited for who typed it."""


class MeasuredDaemon:
    """One daemon over a folder of its own, which it gives up at the end."""

    def __init__(self, folder: Path, stores: Mapping[str, Place]) -> None:
        """The first of the stores is backed up into."""
        self.folder = folder
        self.stores = stores
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "policies").mkdir(parents=True)
        (folder / "runbooks").mkdir()
        (folder / "password").write_text("measured\n")
        (folder / "password").chmod(0o600)
        entries = "".join(
            f"  {name}: {{{place.entry}, site: here, password: {{file: {folder}/password}}}}\n"
            for name, place in stores.items()
        )
        (folder / "drd.yaml").write_text(
            f"http: {{listen: 127.0.0.1:0}}\nsite: here\nsites: {{here: {{latitude: 30.25, longitude: 120.17}}}}\n"
            f"state: {folder}/state\nstores:\n{entries}"
        )
        (folder / "little").mkdir()
        (folder / "little/file").write_text("a little\n")
        self._add_policy("little", folder / "little")

    @property
    def pid(self) -> int:
        """Of the daemon that runs."""
        assert self._process is not None
        return self._process.pid

    @contextmanager
    def running(self, tree: Path) -> Iterator[None]:
        """Until a block ends, with the policy `tree` added and what a fresh daemon owes its stores done.

        That is its first reconciliation, check and look at retention, daily from then on.
        """
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "drd", "--config", str(self.folder / "drd.yaml"), "run"],
            stdout=(self.folder / "log").open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (self.folder / "state/control.sock").exists():
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit((self.folder / "log").read_text())
                time.sleep(0.05)
            self.ask("backup", "little")
            self._add_policy("tree", tree)
            self._wait_for_upkeep()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(90)
            self._process = None
        shutil.rmtree(self.folder)

    def first_full(self) -> Ran:
        """Let the daemon read its files again: a policy that never ran is due at once. No command runs meanwhile."""
        before = self._snapshots()
        os.kill(self.pid, signal.SIGHUP)
        return self._arrived(before)

    def backup(self) -> Ran:
        """`drd backup tree`, and what follows from it."""
        before = self._snapshots()
        started = time.perf_counter()
        self.ask("backup", "tree")
        waited = time.perf_counter() - started
        return replace(self._arrived(before), command_seconds=waited)

    def ask(self, *arguments: str) -> str:
        """What a command answers."""
        command = [sys.executable, "-m", "drd", "--config", str(self.folder / "drd.yaml"), "--json", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def processor_seconds(self) -> float:
        """Of the daemon and of those of its children that have ended."""
        used = psutil.Process(self.pid).cpu_times()
        return float(used.user + used.system + used.children_user + used.children_system)

    def peak_bytes(self) -> float:
        """The daemon's own greatest resident memory (VmHWM)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
        raise SystemExit("the kernel does not tell peak memory")

    def _snapshots(self) -> dict[str, int]:
        return {name: len(list((place.folder / "snapshots").iterdir())) for name, place in self.stores.items()}

    def _arrived(self, before: Mapping[str, int]) -> Ran:
        """Wait until the newest run has ended and is in each store."""
        deadline = time.monotonic() + FULL_SECONDS
        while True:
            if all(count > before[name] for name, count in self._snapshots().items()):
                lines = self.ask("journal", "show", "--newest", str(EVENTS)).splitlines()
                events = [json.loads(line) for line in lines]
                run, begun = next(
                    (event["run"], _moment(event)) for event in reversed(events) if event["kind"] == "run-started"
                )
                own = [event for event in events if event["run"] == run]
                moments = [_moment(event) for event in own if event["kind"] in ("snapshot-created", "copy-created")]
                if len(moments) == len(self.stores) and any(event["kind"] == "run-finished" for event in own):
                    return Ran((moments[0] - begun).total_seconds(), (moments[-1] - begun).total_seconds())
            if time.monotonic() > deadline:
                raise SystemExit(f"a run took more than {FULL_SECONDS:.0f} s\n{(self.folder / 'log').read_text()}")
            time.sleep(0.1)

    def _wait_for_upkeep(self) -> None:
        """Until each store has had its day's work, of which retention is the last."""
        deadline = time.monotonic() + UPKEEP_SECONDS
        while len(self.ask("journal", "show", "--kind", "retention-applied").splitlines()) < len(self.stores):
            if time.monotonic() > deadline:
                raise SystemExit(f"the stores' first upkeep took more than {UPKEEP_SECONDS:.0f} s")
            time.sleep(1)

    def _add_policy(self, name: str, tree: Path) -> None:
        # No slot comes while this runs, except the first full.
        (self.folder / f"policies/{name}.yaml").write_text(
            f"policy: {name}\nbackup:\n  source: {{files: {{paths: [{tree}]}}}}\n  full: {{every: 300d}}\n"
            f"  incremental: {{every: 299d}}\n  to: [{', '.join(self.stores)}]\n  keep: {{daily: 7}}\n"
        )


def _moment(event: Mapping[str, str]) -> datetime:
    return datetime.fromisoformat(event["at"])
