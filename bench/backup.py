"""`drd backup` beside plain restic of the same version, on one tree, in interleaved pairs.

Each pair backs the same tree up into fresh repositories: a full, then an incremental after 1 % of the tree changed.
drd's time is the daemon's own, from the start of the run to the recorded snapshot; the command line's share is told
apart.

What a fresh daemon owes a fresh store (its first reconciliation, check and look at retention, daily from then on) is
waited for before the runs. What that work costs is told apart, by the same calls of restic on the same repository.
What a second store costs is told by `bench.mirror`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.daemon import MeasuredDaemon, Place
from bench.figures import paired_ratio, spread
from bench.tree import Shape, change_tree, make_tree, settle

APART = {
    "unlock": ("unlock",),
    "listing": ("snapshots", "--json"),
    "retention": ("forget", "--dry-run", "--json", "--keep-daily", "7", "--group-by", "host,tags"),
    "check": ("check",),
}
"""What drd asks of restic beside a run, and never during one."""


@dataclass
class Times:
    """Seconds of wall time of each kind of run."""

    full: list[float] = field(default_factory=list)
    incremental: list[float] = field(default_factory=list)
    command_incremental: list[float] = field(default_factory=list)
    full_processor: list[float] = field(default_factory=list)
    """Seconds of processor time, the daemon's and its children's together."""
    incremental_processor: list[float] = field(default_factory=list)
    peak_bytes: list[float] = field(default_factory=list)
    apart: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in APART})


def main() -> None:
    """Run the pairs and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 2 GB tree")
    options = parser.parse_args()
    shape = Shape().scaled(options.scale)
    restic, drd = Times(), Times()
    with tempfile.TemporaryDirectory(prefix="drd-bench-") as folder:
        work = Path(folder)
        size = make_tree(work / "tree", shape)
        print(f"tree: {size / 1e9:.2f} GB, {shape.small_files + shape.large_files} files; {options.pairs} pairs")
        for pair in range(options.pairs):
            if pair % 2 == 0:
                _restic(work, restic, shape, pair)
            _drd(work, drd, shape, pair)
            if pair % 2 == 1:
                _restic(work, restic, shape, pair)
    _report(restic, drd)


def _report(restic: Times, drd: Times) -> None:
    print(f"restic full         {spread(restic.full)} s")
    print(f"drd full            {spread(drd.full)} s   ratio {paired_ratio(drd.full, restic.full)}")
    print(f"restic incremental  {spread(restic.incremental)} s")
    ratio = paired_ratio(drd.incremental, restic.incremental)
    print(f"drd incremental     {spread(drd.incremental)} s   ratio {ratio}")
    print(f"drd command line, incremental {spread(drd.command_incremental)} s")
    for kind in ("full", "incremental"):
        ours, theirs = getattr(drd, f"{kind}_processor"), getattr(restic, f"{kind}_processor")
        print(f"processor, {kind:<11} {spread(ours)} s beside {spread(theirs)} s   ratio {paired_ratio(ours, theirs)}")
    for name, seconds in drd.apart.items():
        print(f"apart from runs: {name:<10} {spread(seconds)} s")
    print(f"daemon's own peak memory {spread([each / 2**20 for each in drd.peak_bytes], 0)} MiB")


def _restic(work: Path, times: Times, shape: Shape, pair: int) -> None:
    repository, environment = work / "plain", {**os.environ, "RESTIC_PASSWORD": "measured"}
    environment["RESTIC_CACHE_DIR"] = str(work / "plain-cache")
    base = ["restic", "-r", str(repository), "--json", "--quiet"]
    subprocess.run([*base, "init"], env=environment, check=True, capture_output=True)
    for kind, extra in (("full", ["--force"]), ("incremental", [])):
        if kind == "incremental":
            change_tree(work / "tree", shape, 0.01, seed=1000 + pair)
        settle(work / "tree")
        processor, started = _processor_of_children(), time.perf_counter()
        subprocess.run([*base, "backup", *extra, str(work / "tree")], env=environment, check=True, capture_output=True)
        getattr(times, kind).append(time.perf_counter() - started)
        getattr(times, f"{kind}_processor").append(_processor_of_children() - processor)
    shutil.rmtree(repository)
    shutil.rmtree(work / "plain-cache")


def _drd(work: Path, times: Times, shape: Shape, pair: int) -> None:
    daemon = MeasuredDaemon(work / "drd", {"first": Place.local(work / "drd/first")})
    with daemon.running(work / "tree"):
        for kind in ("full", "incremental"):
            if kind == "incremental":
                change_tree(work / "tree", shape, 0.01, seed=2000 + pair)
            settle(work / "tree")
            processor = daemon.processor_seconds()
            run = daemon.first_full() if kind == "full" else daemon.backup()
            getattr(times, kind).append(run.saved_seconds)
            getattr(times, f"{kind}_processor").append(daemon.processor_seconds() - processor)
            if kind == "incremental":
                times.command_incremental.append(run.command_seconds)
        times.peak_bytes.append(daemon.peak_bytes())
        for name, arguments in APART.items():
            times.apart[name].append(_ask(daemon.folder, arguments))


def _ask(folder: Path, arguments: tuple[str, ...]) -> float:
    """Seconds of one call of restic on the repository that drd filled."""
    base = ["restic", "-r", str(folder / "first"), "--password-file", str(folder / "password")]
    environment = {**os.environ, "RESTIC_CACHE_DIR": str(folder / "asked-cache")}
    started = time.perf_counter()
    subprocess.run([*base, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
