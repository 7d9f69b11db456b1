"""What it costs that a base backup holds the WAL that makes it consistent (`-X stream`), under pgbench.

Prints, for each load, how long the base backup took, how much of it is WAL, and what restic stores for either part.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.postgres import bytes_in, filled, laboratory, press, reach, restic, run, settle, work_folder
from tests.postgres_lab import OWNER, Cluster, Lab

MEBIBYTE = 2**20


def main() -> None:
    """Measure each load, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20, help="to find out the maximal rate")
    options = parser.parse_args()
    with work_folder() as work, laboratory() as made:
        cluster = filled(made, options.scale)
        most = press(made, cluster, work, options.seconds).rate
        print(f"scale {options.scale}, at most {most:.0f} transactions a second")
        print("load | base s | all MiB | WAL MiB | stored without WAL | stored for WAL")
        for name, rate in (("idle", 0.0), ("1 a second", 1.0), ("half", most / 2), ("full", None)):
            settle(cluster)
            with _pressed(made, cluster, rate):
                _measure(made, cluster, work / "base", name)


@contextmanager
def _pressed(made: Lab, cluster: Cluster, rate: float | None) -> Iterator[None]:
    if rate == 0.0:
        yield
        return
    words = [made.programs / "pgbench", *reach(cluster), "-n", "-c", 4, "-j", 2, "-T", 3600]
    words += ["-R", rate] if rate is not None else []
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2.0)
        yield
    finally:
        process.terminate()
        process.wait()


def _measure(made: Lab, cluster: Cluster, base: Path, name: str) -> None:
    began = time.monotonic()
    where = ["-h", cluster.sockets, "-p", cluster.port, "-U", OWNER]
    run([made.programs / "pg_basebackup", *where, "-D", base, "-X", "stream", "-c", "fast", "--no-sync"])
    seconds = time.monotonic() - began
    wal, total = bytes_in(base / "pg_wal"), bytes_in(base)
    environment = {**os.environ, "RESTIC_REPOSITORY": str(base.with_name("repository")), "RESTIC_PASSWORD": "measured"}
    run([restic(), "init", "-q"], env=environment)
    without = _stored([base, "--exclude", base / "pg_wal" / "*"], environment)
    added = _stored([base], environment)
    print(
        f"{name} | {seconds:.1f} | {total / MEBIBYTE:.0f} | {wal / MEBIBYTE:.0f} | "
        f"{without / MEBIBYTE:.1f} | {added / MEBIBYTE:.1f}",
        flush=True,
    )
    run(["rm", "-r", base, base.with_name("repository")])


def _stored(words: list[object], environment: dict[str, str]) -> int:
    said = run([restic(), "backup", "--no-cache", "--json", *words], env=environment)
    return int(json.loads(said.splitlines()[-1])["data_added_packed"])


if __name__ == "__main__":
    main()
