"""What receiving and shipping WAL costs pgbench: with drd, with the least that does the same, and with nothing.

`half`: at half of the rate that the server reaches alone, where there is room for both: transactions a second and their
latency, with drd and without. `full`: as fast as it goes, where everything beside it takes from it: what drd takes,
against what plain `pg_receivewal --synchronous` takes with a bare loop around restic that saves its folder as often as
drd does. drd is started as its unit starts it, its input and output behind others'. Arms take turns; each begins with
swept tables, and drd with its base backup done.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import paired_ratio, spread
from bench.postgres import (
    Pressed,
    beside,
    drop_slots,
    filled,
    laboratory,
    press,
    processor_seconds,
    reach,
    restic,
    run,
    s3_server,
    work_folder,
)
from drd.engines.archive import BATCH_SECONDS
from tests.postgres_lab import Cluster, Lab

Arm = Callable[[], Pressed]

BARE = """\
folder=$1 seconds=$2; shift 2
"$@" &
while :; do
    began=$(date +%s)
    whole=$(ls "$folder" | grep -v partial | head -n -1)
    for repository in $REPOSITORIES; do
        restic -r "$repository" -q backup "$folder" || exit 1
    done
    for name in $whole; do rm "$folder/$name"; done
    left=$((began + seconds - $(date +%s)))
    [ "$left" -le 0 ] || sleep "$left"
done
"""
"""The bare loop: what follows its folder and interval receives; what was saved whole leaves the folder."""


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("half", "full"))
    parser.add_argument("--scale", type=int, default=50)
    parser.add_argument(
        "--seconds", type=float, default=45, help="of each run: a multiple of drd's 15 s, or arms differ in batches"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--stores", type=int, choices=(1, 2), default=1, help="2: an off-site one behind S3 as well")
    options = parser.parse_args()
    with work_folder() as work, laboratory() as made:
        cluster = filled(made, options.scale)
        trial = Trial(work, made, cluster, options)
        press(made, cluster, work, min(15, options.seconds), clients=options.clients)
        if options.only != "full":
            trial.half()
        if options.only != "half":
            trial.full()


class Trial:
    """The arms of one comparison."""

    def __init__(self, work: Path, made: Lab, cluster: Cluster, options: argparse.Namespace) -> None:
        self._work = work
        self._made = made
        self._cluster = cluster
        self._options = options
        self._used: dict[str, list[float]] = {"drd": [], "bare": []}

    def half(self) -> None:
        """Half of the greatest rate, with drd and without."""
        rate = self._press().rate / 2
        arms: dict[str, Arm] = {"alone": lambda: self._press(rate), "drd": lambda: self._with_drd(rate)}
        found = self._rounds(arms)
        alone, with_drd = found["alone"], found["drd"]
        print(f"half of the greatest rate: {rate:.0f} transactions a second wanted")
        for name, measured in found.items():
            print(f"  {name:<6} {spread([each.rate for each in measured], 1)} a second{_latencies(measured)}")
        ratio = paired_ratio([each.rate for each in with_drd], [each.rate for each in alone])
        print(f"  with drd / alone: rate {ratio}{_latency_ratios(with_drd, alone)}")
        print(f"  drd uses {spread(self._used['drd'], 1)} % of one processor")

    def full(self) -> None:
        """As fast as it goes: alone, with a bare loop, with drd."""
        self._used["drd"].clear()
        found = self._rounds({"alone": self._press, "bare": self._with_bare_loop, "drd": self._with_drd})
        print("full speed")
        for name, measured in found.items():
            print(f"  {name:<6} {spread([each.rate for each in measured], 1)} a second{_latencies(measured)}")
        alone = [each.rate for each in found["alone"]]
        losses = {
            name: [1 - each.rate / there for each, there in zip(found[name], alone, strict=True)]
            for name in ("bare", "drd")
        }
        for name, lost in losses.items():
            used = spread(self._used[name], 1)
            print(f"  {name:<6} loses {spread([100 * each for each in lost], 1)} %, uses {used} % of one processor")
        print(f"  drd's loss / the bare loop's: {paired_ratio(losses['drd'], losses['bare'])}")

    def _rounds(self, arms: dict[str, Arm]) -> dict[str, list[Pressed]]:
        found: dict[str, list[Pressed]] = {name: [] for name in arms}
        names = list(arms)
        for number in range(self._options.rounds):
            turn = number % len(names)
            for name in (*names[turn:], *names[:turn]):
                found[name].append(arms[name]())
                print(f"round {number + 1}, {name}: {found[name][-1].rate:.0f} a second", file=sys.stderr)
        return found

    def _press(self, rate: float | None = None) -> Pressed:
        options = self._options
        return press(self._made, self._cluster, self._work, options.seconds, clients=options.clients, rate=rate)

    def _with_drd(self, rate: float | None = None) -> Pressed:
        with beside(self._work, self._made, self._cluster, self._options.stores) as machine:
            assert machine.daemon is not None
            with self._counted("drd", machine.daemon.pid):
                return self._press(rate)

    def _with_bare_loop(self) -> Pressed:
        folder = self._work / "bare"
        folder.mkdir()
        receiver = [self._made.programs / "pg_receivewal", *reach(self._cluster)[:6], "--no-password", "--slot=bare"]
        run([*receiver, "--create-slot"])
        with _repositories(self._work, self._options.stores) as environment:
            words = ["sh", "-c", BARE, "bare", folder, round(BATCH_SECONDS), *receiver, "--synchronous", "-D", folder]
            loop = subprocess.Popen(
                [str(word) for word in words],
                env=environment, stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            try:
                with self._counted("bare", loop.pid):
                    pressed = self._press()
                if loop.poll() is not None:
                    raise SystemExit("the bare loop has ended by itself")
                return pressed
            finally:
                os.killpg(loop.pid, signal.SIGTERM)
                loop.wait(30)
                drop_slots(self._cluster)
                shutil.rmtree(folder)

    @contextmanager
    def _counted(self, name: str, pid: int) -> Iterator[None]:
        """What these processes take meanwhile, in percent of one processor."""
        before, began = processor_seconds(pid), time.monotonic()
        yield
        self._used[name].append(100 * (processor_seconds(pid) - before) / (time.monotonic() - began))


@contextmanager
def _repositories(work: Path, stores: int) -> Iterator[dict[str, str]]:
    """Fresh repositories, as the environment names them that restic needs."""
    folder = work / "bare-repositories"
    folder.mkdir()
    environment = {**os.environ, "RESTIC_PASSWORD": "measured", "RESTIC_CACHE_DIR": str(folder / "cache")}
    names = [str(folder / "first")]
    with s3_server(work, stores) as s3:
        if s3 is not None:
            environment |= {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
            names.append(s3.make_bucket("bare"))
        environment["REPOSITORIES"] = " ".join(names)
        try:
            for name in names:
                run([restic(), "-r", name, "-q", "init"], env=environment)
            yield environment
        finally:
            shutil.rmtree(folder)


def _latencies(measured: list[Pressed]) -> str:
    p50, p99 = spread([each.p50 for each in measured]), spread([each.p99 for each in measured], 1)
    return f", mean {spread([each.mean for each in measured])} ms, p50 {p50} ms, p99 {p99} ms"


def _latency_ratios(ours: list[Pressed], theirs: list[Pressed]) -> str:
    told = []
    for name in ("mean", "p50", "p99"):
        ratio = paired_ratio([getattr(each, name) for each in ours], [getattr(each, name) for each in theirs])
        told.append(f", {name} {ratio}")
    return "".join(told)


if __name__ == "__main__":
    main()
