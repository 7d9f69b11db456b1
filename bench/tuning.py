"""What restic's knobs buy on this machine, so that drd's defaults are chosen by measurement.

One full backup into a fresh local repository for each setting, interleaved over the rounds; the first line is restic's
own defaults, which the others are held against. `connections` is how many packs are written at the same time.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench.figures import paired_ratio, spread
from bench.tree import Shape, make_tree


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to call restic."""

    name: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


SETTINGS = (
    Setting("defaults"),
    Setting("pack size 32 MiB", ("--pack-size", "32")),
    Setting("pack size 64 MiB", ("--pack-size", "64")),
    Setting("read concurrency 1", ("--read-concurrency", "1")),
    Setting("read concurrency 4", ("--read-concurrency", "4")),
    Setting("read concurrency 8", ("--read-concurrency", "8")),
    Setting("connections 5", ("-o", "local.connections=5")),
    Setting("pack size 64 MiB, read concurrency 4", ("--pack-size", "64", "--read-concurrency", "4")),
    Setting("no scan", ("--no-scan",)),
    Setting("compression off", ("--compression", "off")),
    Setting("compression max", ("--compression", "max")),
)


def main() -> None:
    """Measure every setting in turn, round after round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=0.5, help="share of the 2 GB tree")
    options = parser.parse_args()
    walls: dict[str, list[float]] = defaultdict(list)
    processors: dict[str, list[float]] = defaultdict(list)
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="drd-bench-") as folder:
        work = Path(folder)
        size = make_tree(work / "tree", Shape().scaled(options.scale))
        print(f"tree: {size / 1e9:.2f} GB; {options.rounds} rounds of {len(SETTINGS)} settings")
        for number in range(options.rounds):
            turn = number * 3 % len(SETTINGS)
            for setting in (*SETTINGS[turn:], *SETTINGS[:turn]):
                wall, processor, stored = _back_up(work, setting)
                walls[setting.name].append(wall)
                processors[setting.name].append(processor)
                sizes[setting.name] = stored
    for setting in SETTINGS:
        ratio = paired_ratio(walls[setting.name], walls["defaults"])
        print(
            f"{setting.name:<36} {spread(walls[setting.name])} s  ratio {ratio}  "
            f"processor {spread(processors[setting.name], 1)} s  stored {sizes[setting.name] / 2**20:.0f} MiB"
        )


def _back_up(work: Path, setting: Setting) -> tuple[float, float, float]:
    """Wall and processor seconds of one full backup, and the bytes that it stored."""
    repository, cache = work / "repository", work / "cache"
    environment = {**os.environ, "RESTIC_PASSWORD": "measured", "RESTIC_CACHE_DIR": str(cache)}
    environment.update(setting.environment)
    base = ["restic", "-r", str(repository), "--quiet"]
    subprocess.run([*base, "init"], env=environment, check=True, capture_output=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(
        [*base, "backup", "--force", *setting.arguments, str(work / "tree")],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    stored = sum(path.stat().st_size for path in repository.rglob("*") if path.is_file())
    shutil.rmtree(repository)
    shutil.rmtree(cache)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, stored


if __name__ == "__main__":
    main()
