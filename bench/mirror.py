"""What filling a second store costs: carrying the first one's files, `restic copy`, or backing up a second time.

Each round makes the three second stores anew from one first store, in turn: in full, after 1 % of the tree has changed,
and with nothing new. Processor seconds are of all children, adopting and making the repositories included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import paired_ratio, spread
from bench.tree import Shape, change_tree, make_tree
from drd.clients.carrier import ProcessCarrier
from drd.clients.process import ChildRunner
from drd.ports.store import Backend

WAYS = ("carry", "copy", "backup")
PHASES = ("full", "1 % changed", "nothing new")
PASSWORD = b"bench"


@dataclass
class Bench:
    """One tree, one first store and three second ones."""

    work: Path
    restic: str
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    processor: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def store(self, name: str) -> Path:
        """The folder of a repository."""
        return self.work / name

    def round(self, shape: Shape, number: int) -> None:
        """Fill the second stores from nothing, then again twice."""
        for way in ("first", *WAYS):
            shutil.rmtree(self.store(way), ignore_errors=True)
        self.run("init", "--repo", str(self.store("first")))
        for phase in PHASES:
            if phase == "1 % changed":
                change_tree(self.work / "tree", shape, 0.01, seed=number)
            if phase != "nothing new":
                self.run("backup", "--repo", str(self.store("first")), str(self.work / "tree"))
            turn = number % len(WAYS)
            for way in (*WAYS[turn:], *WAYS[:turn]):
                self.measure(way, phase)

    def measure(self, way: str, phase: str) -> None:
        """One way of bringing a second store up to date."""
        ways: dict[str, Callable[[], None]] = {"carry": self.carry, "copy": self.copy, "backup": self.backup}
        os.sync()
        processor, started = _children_seconds(), time.monotonic()
        ways[way]()
        self.seconds[way, phase].append(time.monotonic() - started)
        self.processor[way, phase].append(_children_seconds() - processor)

    def carry(self) -> None:
        """The first store's files as they are."""
        asyncio.run(self._carry())

    def copy(self) -> None:
        """Decrypt and encrypt again."""
        first = ("--from-repo", str(self.store("first")))
        if not self.store("copy").exists():
            self.run("init", "--repo", str(self.store("copy")), *first, "--copy-chunker-params")
        self.run("copy", "--repo", str(self.store("copy")), *first)

    def backup(self) -> None:
        """Read the source again."""
        if not self.store("backup").exists():
            self.run("init", "--repo", str(self.store("backup")))
        self.run("backup", "--repo", str(self.store("backup")), str(self.work / "tree"))

    def run(self, *arguments: str) -> None:
        """Restic with a cache of its own for each store."""
        environment = {
            "RESTIC_PASSWORD": PASSWORD.decode(),
            "RESTIC_FROM_PASSWORD": PASSWORD.decode(),
            "RESTIC_CACHE_DIR": str(self.work / "cache"),
            "HOME": str(self.work),
            "PATH": os.environ["PATH"],
        }
        subprocess.run([self.restic, "--quiet", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)

    async def _carry(self) -> None:
        carrier = ProcessCarrier(ChildRunner(), self.restic, self.work / "scratch")
        origin, target = (Backend("local", {"path": str(self.store(name))}) for name in ("first", "carry"))
        if not self.store("carry").exists():
            await carrier.adopt(origin, target, PASSWORD, PASSWORD)
        carried = await carrier.carry(origin, target, None, lambda _: None)
        if not carried.complete:
            raise SystemExit(f"carrying failed: {carried.message}")


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 2 GB tree")
    options = parser.parse_args()
    restic = shutil.which("restic")
    if restic is None:
        raise SystemExit("restic is not in PATH; type: make bench")
    shape = Shape().scaled(options.scale)
    with tempfile.TemporaryDirectory(prefix="drd-bench-") as folder:
        bench = Bench(Path(folder), restic)
        size = make_tree(bench.work / "tree", shape)
        print(f"tree: {size / 1e9:.2f} GB, {shape.small_files + shape.large_files} files; {options.rounds} rounds")
        for number in range(options.rounds):
            bench.round(shape, number)
    _report(bench)


def _report(bench: Bench) -> None:
    for phase in PHASES:
        print(f"{phase}:")
        ours = bench.processor["carry", phase]
        for way in WAYS:
            processor, seconds = bench.processor[way, phase], bench.seconds[way, phase]
            ratio = "" if way == "carry" else f"   carry ÷ {way}, processor {paired_ratio(ours, processor)}"
            print(f"  {way:7} processor {spread(processor)} s   wall {spread(seconds)} s{ratio}")


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
