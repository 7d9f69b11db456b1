"""What a second store costs: drd with two stores beside drd with one, and what others take for that.

They are borgmatic over two repositories beside one, and `restic copy` behind `restic backup`.

In each round every arm backs one tree up from nothing, and again after 1 % of it has changed. drd's second store is a
folder, then a bucket of `rclone serve s3`; so is that of `restic copy`. borgmatic knows no buckets. drd's time is the
daemon's own, from the start of the run until the last store's copy is on record; the others' that of their commands.
Processor seconds are those of the daemon and of all children; of the S3 server none, which is another machine in life:
it has a core of its own, all arms have the others, and its listings do not read what they list.
Repositories are made, and what a fresh daemon owes a fresh store is waited for, before anything is measured.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.borgmatic import Borgmatic
from bench.daemon import MeasuredDaemon, Place
from bench.figures import paired_ratio, spread
from bench.tree import Shape, change_tree, make_tree, settle
from tests.servers import RcloneS3

PHASES = ("full", "1 % changed")
ARMS = 6
COPY_INTO_A_FOLDER, COPY_INTO_S3 = "restic copy, two folders", "restic copy, folder and S3"
BESIDE = {
    "drd, two folders": "drd, one store",
    "drd, folder and S3": "drd, one store",
    COPY_INTO_A_FOLDER: "restic, one repository",
    COPY_INTO_S3: "restic, one repository",
    "borgmatic, two repositories": "borgmatic, one repository",
}
"""Two stores → the same with one."""


@dataclass
class Bench:
    """One tree, and what each way of storing it twice took."""

    work: Path
    shape: Shape
    s3: RcloneS3
    restic: str
    bucket: str = ""
    """Of the arm that is measured now."""
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    processor: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def tree(self) -> Path:
        """What is backed up."""
        return self.work / "tree"

    def round(self, number: int) -> None:
        """Every arm once, each after another one than the round before."""
        first, second = (Place.local(self.work / f"drd/{name}") for name in ("first", "second"))
        arms: tuple[Callable[[int], None], ...] = (
            lambda seed: self._drd("drd, one store", {"first": first}, seed),
            lambda seed: self._drd("drd, two folders", {"first": first, "second": second}, seed),
            lambda seed: self._drd("drd, folder and S3", {"first": first, "second": self._bucket()}, seed),
            lambda seed: self._restic(seed, is_s3_first=number % 2 == 1),
            lambda seed: self._borgmatic("borgmatic, one repository", 1, seed),
            lambda seed: self._borgmatic("borgmatic, two repositories", 2, seed),
        )
        turn = number % len(arms)
        for place, arm in enumerate((*arms[turn:], *arms[:turn])):
            self.bucket = _bucket(number, place)
            arm(100 * number + place)
            shutil.rmtree(self.s3.folder / self.bucket)

    def _drd(self, arm: str, stores: Mapping[str, Place], seed: int) -> None:
        daemon = MeasuredDaemon(self.work / "drd", stores)
        with daemon.running(self.tree):
            for phase in self._phases(seed):
                processor = daemon.processor_seconds()
                run = daemon.first_full() if phase == PHASES[0] else daemon.backup()
                self.seconds[arm, phase].append(run.everywhere_seconds)
                self.processor[arm, phase].append(daemon.processor_seconds() - processor)

    def _bucket(self) -> Place:
        credentials = self.work / "credentials"
        credentials.write_text(f"{self.s3.access_key}:{self.s3.secret_key}\n")
        credentials.chmod(0o600)
        entry = f"s3: {{endpoint: '{self.s3.url}', bucket: {self.bucket}, credentials: {{file: {credentials}}}}}"
        return Place(entry, self.s3.folder / self.bucket)

    def _restic(self, seed: int, *, is_s3_first: bool) -> None:
        """One backup, and from there into a folder and into a bucket; who comes second finds the cache warm."""
        first, folder = self.work / "restic-first", self.work / "restic-second"
        seconds = {COPY_INTO_A_FOLDER: str(folder), COPY_INTO_S3: f"s3:{self.s3.url}/{self.bucket}"}
        self._type("init", "--repo", str(first))
        for second in seconds.values():
            self._type("init", "--repo", second, "--from-repo", str(first), "--copy-chunker-params")
        for phase in self._phases(seed):
            with self._measured("restic, one repository", phase):
                self._type("backup", "--repo", str(first), str(self.tree))
            for arm in (*seconds,)[:: -1 if is_s3_first else 1]:
                with self._measured(arm, phase):
                    self._type("copy", "--repo", seconds[arm], "--from-repo", str(first))
                for figures in (self.seconds, self.processor):
                    figures[arm, phase][-1] += figures["restic, one repository", phase][-1]
        for each in (first, folder, self.work / "restic-cache"):
            shutil.rmtree(each)

    def _type(self, *arguments: str) -> None:
        environment = {
            "RESTIC_PASSWORD": "measured",
            "RESTIC_FROM_PASSWORD": "measured",
            "RESTIC_CACHE_DIR": str(self.work / "restic-cache"),
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "HOME": str(self.work),
            "PATH": os.environ["PATH"],
        }
        subprocess.run([self.restic, "--quiet", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)

    def _borgmatic(self, arm: str, repositories: int, seed: int) -> None:
        borgmatic = Borgmatic(self.work / "borgmatic", self.tree, repositories)
        for phase in self._phases(seed):
            with self._measured(arm, phase):
                borgmatic.create()
        borgmatic.remove()

    def _phases(self, seed: int) -> Iterator[str]:
        for phase in PHASES:
            if phase != PHASES[0]:
                change_tree(self.tree, self.shape, 0.01, seed)
            settle(self.tree)
            yield phase

    @contextmanager
    def _measured(self, arm: str, phase: str) -> Iterator[None]:
        processor, started = _children_seconds(), time.monotonic()
        yield
        self.seconds[arm, phase].append(time.monotonic() - started)
        self.processor[arm, phase].append(_children_seconds() - processor)

    def report(self) -> None:
        """Two stores against one, in the rounds' pairs."""
        for phase in PHASES:
            print(f"{phase}:")
            for arm in dict.fromkeys((*BESIDE.values(), *BESIDE)):
                line = f"  {arm:27}"
                for what, figures in (("wall", self.seconds), ("processor", self.processor)):
                    ours = figures[arm, phase]
                    line += f"   {what} {spread(ours)} s"
                    if arm in BESIDE:
                        line += f", to one {paired_ratio(ours, figures[BESIDE[arm], phase])}"
                print(line)


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 2 GB tree")
    options = parser.parse_args()
    restic = shutil.which("restic")
    if restic is None or shutil.which("borgmatic") is None:
        raise SystemExit("restic or borgmatic is missing; type: make bench, or apt-get install borgbackup borgmatic")
    shape = Shape().scaled(options.scale)
    with tempfile.TemporaryDirectory(prefix="drd-bench-") as folder:
        s3 = RcloneS3(Path(sys.prefix) / "bin/rclone", Path(folder) / "s3", hashes=False)
        for number, place in itertools.product(range(options.rounds), range(ARMS)):
            # One for each arm, and before the server starts: it goes on listing what it has seen.
            (s3.folder / _bucket(number, place)).mkdir(parents=True)
        _start_on_a_core_of_its_own(s3)
        try:
            bench = Bench(Path(folder), shape, s3, restic)
            size = make_tree(bench.tree, shape)
            print(f"tree: {size / 1e9:.2f} GB, {shape.small_files + shape.large_files} files; {options.rounds} rounds")
            for number in range(options.rounds):
                bench.round(number)
        finally:
            s3.stop()
    bench.report()


def _bucket(number: int, place: int) -> str:
    return f"bench-{number}-{place}"


def _start_on_a_core_of_its_own(server: RcloneS3) -> None:
    *others, last = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {last})
    server.start()
    os.sched_setaffinity(0, others or {last})


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
