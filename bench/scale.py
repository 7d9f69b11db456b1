"""A large daemon: 1,000 policies over a journal of 1,000,000 events.

Prints how long the daemon takes until it is ready, cold (the projections gone) and warm; what it costs while nothing is
due; and how late runs are submitted in a minute in which 200 of them fall due, all of them real backups.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from bench.figures import spread
from bench.journal import make, make_cold
from drd.core.schedule import offset_in

SPREAD = timedelta(seconds=55)
READY_DEADLINE_SECONDS = 180.0


def main() -> None:
    """Make the journal, start cold and warm, stay idle, fall due."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--due", type=int, default=200)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds to watch it do nothing")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="drd-bench-") as folder:
        work = Path(folder)
        _furnish(work, options.policies)
        asyncio.run(make(work / "state", options.events, options.policies))
        size = (work / "state/journal.db").stat().st_size / 2**20
        print(f"{options.policies} policies, {options.events:,} events, {size:.0f} MiB of journal")
        print(f"ready, cold {spread([_start_and_stop(work, cold=True) for _ in range(options.rounds)])} s")
        print(f"ready, warm {spread([_start_and_stop(work, cold=False) for _ in range(options.rounds)])} s")
        daemon, _ = _start(work)
        try:
            _watch_idle(daemon, options.idle)
            _fall_due(work, daemon, options.due)
        finally:
            _stop(daemon)


def _furnish(work: Path, policies: int) -> None:
    for name in ("state", "policies", "runbooks", "source"):
        (work / name).mkdir(mode=0o700)
    (work / "source/file").write_text("a little\n")
    (work / "password").write_text("measured\n")
    (work / "password").chmod(0o600)
    (work / "drd.yaml").write_text(
        f"http: {{listen: 127.0.0.1:0}}\nsite: here\nsites: {{here: {{latitude: 30.25, longitude: 120.17}}}}\n"
        f"state: {work}/state\n"
        f"stores:\n  bench: {{local: {work}/repository, site: here, password: {{file: {work}/password}}}}\n"
    )
    for number in range(policies):
        _write_policy(work, number, "")


def _write_policy(work: Path, number: int, incremental: str) -> None:
    # The made journal holds a good full of each policy that satisfies the yearly slot: nothing is due by itself.
    (work / f"policies/service-{number:04}.yaml").write_text(
        f"policy: service-{number:04}\nbackup:\n  source: {{files: {{paths: [{work}/source]}}}}\n"
        f'  full: {{cron: "0 0 1 1 *"}}\n{incremental}  catch_up: false\n  to: [bench]\n  keep: {{daily: 7}}\n'
        f"  guard: {{shrink: 100 %}}\n"
    )


def _start(work: Path) -> tuple[subprocess.Popen[bytes], float]:
    begun = time.perf_counter()
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "drd", "--config", str(work / "drd.yaml"), "run"], stdout=log, stderr=log
        )
    _until(lambda: b"ready: " in (work / "log").read_bytes() or process.poll() is not None, READY_DEADLINE_SECONDS)
    if process.poll() is not None:
        raise SystemExit((work / "log").read_text())
    return process, time.perf_counter() - begun


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.send_signal(signal.SIGTERM)
    daemon.wait(120)


def _start_and_stop(work: Path, cold: bool) -> float:
    if cold:
        make_cold(work / "state")
    daemon, seconds = _start(work)
    _stop(daemon)
    return seconds


def _watch_idle(daemon: subprocess.Popen[bytes], seconds: float) -> None:
    process = psutil.Process(daemon.pid)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    busy = (after.user + after.system - before.user - before.system) / seconds
    print(f"idle: {busy:.2%} of a core, {process.memory_info().rss / 2**20:.0f} MiB")


def _fall_due(work: Path, daemon: subprocess.Popen[bytes], due: int) -> None:
    slot = (datetime.now(UTC) + timedelta(seconds=90)).replace(second=0, microsecond=0)
    line = f'  incremental: {{cron: "{slot.minute} {slot.hour} * * *", spread: {SPREAD.seconds}s}}\n'
    for number in range(due):
        _write_policy(work, number, line)
    begun = time.perf_counter()
    _cli(work, "reload")
    print(f"reload: {time.perf_counter() - begun:.2f} s")
    lates: list[float] = []

    def all_started() -> bool:
        lates[:] = _lates(work, slot, due)
        return len(lates) >= due

    _until(all_started, (slot - datetime.now(UTC)).total_seconds() + 300, every=5.0)
    lates.sort()
    print(
        f"{len(lates)} runs fell due in one minute: submitted late by p50 {lates[len(lates) // 2]:.3f} s, "
        f"p99 {lates[int(len(lates) * 0.99) - 1]:.3f} s, at most {lates[-1]:.3f} s"
    )
    peak = psutil.Process(daemon.pid).memory_info().rss / 2**20
    print(f"memory after it: {peak:.0f} MiB")


def _lates(work: Path, slot: datetime, due: int) -> list[float]:
    found = []
    for line in _cli(work, "journal", "show", "--newest", str(due * 6), "--kind", "run-started").splitlines():
        event = json.loads(line)
        if event["body"]["slot"] and datetime.fromisoformat(event["body"]["slot"]) == slot:
            wanted = slot + offset_in(SPREAD, event["body"]["policy"], slot)
            found.append((datetime.fromisoformat(event["at"]) - wanted).total_seconds())
    return found


def _cli(work: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "drd", "--config", str(work / "drd.yaml"), "--json", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _until(holds: Callable[[], bool], seconds: float, every: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"it did not happen within {seconds:.0f} s")
        time.sleep(every)


if __name__ == "__main__":
    main()
