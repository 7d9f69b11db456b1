"""`drd backup` beside plain restic of the same version, on one tree, in interleaved pairs.

Each pair backs the same tree up into fresh repositories: a full, then an incremental after 1 % of the tree changed.
drd's time is the daemon's own, from the start of the run to the recorded snapshot; the command line's share is told
apart. A second store is then filled too, beside borgmatic over one and two repositories where that is installed.

What a fresh daemon owes a fresh store (its first reconciliation, check and look at retention, daily from then on) is
waited for before the runs. What that work costs is told apart, by the same calls of restic on the same repository.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil

from bench.figures import paired_ratio, spread
from bench.tree import Shape, change_tree, make_tree

START_SECONDS = 60.0
UPKEEP_SECONDS = 300.0
FULL_SECONDS = 600.0
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
    both_stores_full: list[float] = field(default_factory=list)
    both_stores_incremental: list[float] = field(default_factory=list)
    full_processor: list[float] = field(default_factory=list)
    """Seconds of processor time, the daemon's and its children's together."""
    incremental_processor: list[float] = field(default_factory=list)
    peak_bytes: list[float] = field(default_factory=list)
    apart: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in APART})


def main() -> None:
    """Run the pairs and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--twice", type=int, default=7, help="pairs in which two stores are measured too")
    parser.add_argument("--peers", type=int, default=3, help="pairs in which borgmatic is measured too")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 2 GB tree")
    options = parser.parse_args()
    shape = Shape().scaled(options.scale)
    restic, one, two, borgmatic_one, borgmatic_two = Times(), Times(), Times(), Times(), Times()
    with tempfile.TemporaryDirectory(prefix="drd-bench-") as folder:
        work = Path(folder)
        size = make_tree(work / "tree", shape)
        print(f"tree: {size / 1e9:.2f} GB, {shape.small_files + shape.large_files} files; {options.pairs} pairs")
        for pair in range(options.pairs):
            if pair % 2 == 0:
                _restic(work, restic, shape, pair)
            _drd(work, one, shape, pair, 1)
            if pair % 2 == 1:
                _restic(work, restic, shape, pair)
            if pair < options.twice:
                _drd(work, two, shape, pair, 2)
            if pair < options.peers and shutil.which("borgmatic"):
                for repositories, times in ((1, borgmatic_one), (2, borgmatic_two)):
                    _borgmatic(work, times, shape, pair, repositories)
    _report(restic, one, two)
    if borgmatic_one.full:
        ratio = paired_ratio(borgmatic_two.full, borgmatic_one.full)
        print(f"borgmatic, two repositories, full        {spread(borgmatic_two.full)} s   ratio to one {ratio}")
        ratio = paired_ratio(borgmatic_two.incremental, borgmatic_one.incremental)
        print(f"borgmatic, two repositories, incremental {spread(borgmatic_two.incremental)} s   ratio to one {ratio}")
    else:
        print("borgmatic is not installed, so it was not measured: apt-get install borgbackup borgmatic")


def _report(restic: Times, one: Times, two: Times) -> None:
    print(f"restic full         {spread(restic.full)} s")
    print(f"drd full            {spread(one.full)} s   ratio {paired_ratio(one.full, restic.full)}")
    print(f"restic incremental  {spread(restic.incremental)} s")
    ratio = paired_ratio(one.incremental, restic.incremental)
    print(f"drd incremental     {spread(one.incremental)} s   ratio {ratio}")
    print(f"drd command line, incremental {spread(one.command_incremental)} s")
    for kind in ("full", "incremental"):
        ours, theirs = getattr(one, f"{kind}_processor"), getattr(restic, f"{kind}_processor")
        print(f"processor, {kind:<11} {spread(ours)} s beside {spread(theirs)} s   ratio {paired_ratio(ours, theirs)}")
    for kind in ("full", "incremental"):
        both: list[float] = getattr(two, f"both_stores_{kind}")
        if both:
            ratio = paired_ratio(both, getattr(one, kind)[: len(both)])
            print(f"two stores, {kind:<11} {spread(both)} s   ratio to one {ratio}")
    for name, seconds in one.apart.items():
        print(f"apart from runs: {name:<10} {spread(seconds)} s")
    peaks = [each / 2**20 for each in one.peak_bytes + two.peak_bytes]
    print(f"daemon's own peak memory {spread(peaks, 0)} MiB")


def _restic(work: Path, times: Times, shape: Shape, pair: int) -> None:
    repository, environment = work / "plain", {**os.environ, "RESTIC_PASSWORD": "measured"}
    environment["RESTIC_CACHE_DIR"] = str(work / "plain-cache")
    base = ["restic", "-r", str(repository), "--json", "--quiet"]
    subprocess.run([*base, "init"], env=environment, check=True, capture_output=True)
    for kind, extra in (("full", ["--force"]), ("incremental", [])):
        if kind == "incremental":
            change_tree(work / "tree", shape, 0.01, seed=1000 + pair)
        _settle(work / "tree")
        processor, started = _processor_of_children(), time.perf_counter()
        subprocess.run([*base, "backup", *extra, str(work / "tree")], env=environment, check=True, capture_output=True)
        getattr(times, kind).append(time.perf_counter() - started)
        getattr(times, f"{kind}_processor").append(_processor_of_children() - processor)
    shutil.rmtree(repository)
    shutil.rmtree(work / "plain-cache")


def _borgmatic(work: Path, times: Times, shape: Shape, pair: int, repositories: int) -> None:
    folder = work / "borgmatic"
    folder.mkdir()
    names = [f"{folder}/{number}" for number in range(repositories)]
    settings = folder / "config.yaml"
    settings.write_text(
        f"location:\n  source_directories: [{work}/tree]\n  repositories: [{', '.join(names)}]\n"
        "storage:\n  encryption_passphrase: measured\nretention:\n  keep_daily: 7\n"
        "consistency:\n  checks:\n    - name: disabled\n"
    )
    environment = {**os.environ, "HOME": str(folder), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    base = ["borgmatic", "--config", str(settings)]
    subprocess.run([*base, "init", "-e", "repokey-blake2"], env=environment, check=True, capture_output=True)
    for kind in ("full", "incremental"):
        if kind == "incremental":
            change_tree(work / "tree", shape, 0.01, seed=3000 + pair)
        started = time.perf_counter()
        subprocess.run([*base, "create"], env=environment, check=True, capture_output=True)
        getattr(times, kind).append(time.perf_counter() - started)
    shutil.rmtree(folder)


def _drd(work: Path, times: Times, shape: Shape, pair: int, stores: int) -> None:
    folder = work / "drd"
    _furnish(folder, stores)
    with _daemon(folder) as daemon:
        _cli(folder, "backup", "little")
        _add_policy(folder, "tree", work / "tree", ["first", "second"][:stores])
        _wait_for_upkeep(folder, stores)
        for kind in ("full", "incremental"):
            if kind == "incremental":
                change_tree(work / "tree", shape, 0.01, seed=2000 + pair)
            _settle(work / "tree")
            processor = _processor_of(daemon.pid)
            if kind == "full":
                _first_full(daemon, folder, stores)
            else:
                started = time.perf_counter()
                _cli(folder, "backup", "tree")
                times.command_incremental.append(time.perf_counter() - started)
            first, last = _recorded(folder)
            getattr(times, kind).append(first)
            getattr(times, f"{kind}_processor").append(_processor_of(daemon.pid) - processor)
            if stores > 1:
                getattr(times, f"both_stores_{kind}").append(last)
        times.peak_bytes.append(_peak(daemon.pid))
    if stores == 1:
        for name, arguments in APART.items():
            times.apart[name].append(_ask(folder, arguments))
    shutil.rmtree(folder)


def _first_full(daemon: subprocess.Popen[bytes], folder: Path, stores: int) -> None:
    """Let the daemon read its files again: a policy that never ran is due at once. No command runs meanwhile."""
    daemon.send_signal(signal.SIGHUP)
    snapshots = [folder / name / "snapshots" for name in ("first", "second")[:stores]]
    before = [len(list(each.iterdir())) for each in snapshots]
    deadline = time.monotonic() + FULL_SECONDS
    while any(len(list(each.iterdir())) <= count for each, count in zip(snapshots, before, strict=True)):
        if time.monotonic() > deadline:
            raise SystemExit(f"the first full took more than {FULL_SECONDS:.0f} s")
        time.sleep(0.1)
    while '"run-finished"' not in _cli(folder, "journal", "show", "--newest", "3"):
        if time.monotonic() > deadline:
            raise SystemExit("the first full was not recorded")


def _wait_for_upkeep(folder: Path, stores: int) -> None:
    """Until each store has had its day's work, of which retention is the last."""
    deadline = time.monotonic() + UPKEEP_SECONDS
    while len(_cli(folder, "journal", "show", "--kind", "retention-applied").splitlines()) < stores:
        if time.monotonic() > deadline:
            raise SystemExit(f"the stores' first upkeep took more than {UPKEEP_SECONDS:.0f} s")
        time.sleep(1)


def _ask(folder: Path, arguments: tuple[str, ...]) -> float:
    """Seconds of one call of restic on the repository that drd filled."""
    base = ["restic", "-r", str(folder / "first"), "--password-file", str(folder / "password")]
    environment = {**os.environ, "RESTIC_CACHE_DIR": str(folder / "asked-cache")}
    started = time.perf_counter()
    subprocess.run([*base, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def _furnish(folder: Path, stores: int) -> None:
    (folder / "policies").mkdir(parents=True)
    (folder / "runbooks").mkdir()
    (folder / "password").write_text("measured\n")
    (folder / "password").chmod(0o600)
    names = ["first", "second"][:stores]
    entries = "".join(
        f"  {name}: {{local: {folder}/{name}, site: here, password: {{file: {folder}/password}}}}\n" for name in names
    )
    (folder / "drd.yaml").write_text(
        f"http: {{listen: 127.0.0.1:0}}\nsite: here\nsites: {{here: {{latitude: 30.25, longitude: 120.17}}}}\n"
        f"state: {folder}/state\nstores:\n{entries}"
    )
    # A first policy makes the stores: restic's own `init` is not measured either.
    (folder / "little").mkdir()
    (folder / "little/file").write_text("a little\n")
    _add_policy(folder, "little", folder / "little", names)


def _add_policy(folder: Path, name: str, tree: Path, stores: list[str]) -> None:
    # No slot comes while this runs, except the first full.
    (folder / f"policies/{name}.yaml").write_text(
        f"policy: {name}\nbackup:\n  source: {{files: {{paths: [{tree}]}}}}\n  full: {{every: 300d}}\n"
        f"  incremental: {{every: 299d}}\n  to: [{', '.join(stores)}]\n  keep: {{daily: 7}}\n"
    )


@contextmanager
def _daemon(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "drd", "--config", str(folder / "drd.yaml"), "run"],
        stdout=(folder / "log").open("wb"), stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "state/control.sock").exists():
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(90)


def _cli(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "drd", "--config", str(folder / "drd.yaml"), "--json", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _recorded(folder: Path) -> tuple[float, float]:
    """Seconds from the newest run's start to its first snapshot's record, and to the last copy's."""
    lines = _cli(folder, "journal", "show", "--newest", "40").splitlines()
    events = [json.loads(line) for line in lines]
    runs = [event for event in events if event["kind"] == "run-started"]
    run, begun = runs[-1]["run"], datetime.fromisoformat(runs[-1]["at"])
    moments = [
        datetime.fromisoformat(event["at"])
        for event in events
        if event["run"] == run and event["kind"] in ("snapshot-created", "copy-created")
    ]
    return (moments[0] - begun).total_seconds(), (moments[-1] - begun).total_seconds()


def _peak(pid: int) -> float:
    """Peak resident memory of the daemon itself, in bytes (VmHWM)."""
    for line in Path(f"/proc/{psutil.Process(pid).pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024
    raise SystemExit("the kernel does not tell peak memory")


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _processor_of(pid: int) -> float:
    """Seconds of processor time of a process and of those of its children that have ended."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system + used.children_user + used.children_system)


def _settle(tree: Path) -> None:
    """Warm the page cache and write out what is dirty, so that no run pays for what came before it."""
    for path in tree.rglob("*"):
        if path.is_file():
            path.read_bytes()
    os.sync()


if __name__ == "__main__":
    main()
