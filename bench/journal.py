"""What the journal costs: appending, verifying, starting cold and warm.

`python bench/journal.py [--events N] [--policies N] [--rounds N] [--folder DIR]`; every figure is min / median / max.
The made journal looks like a year's: each run is four events, and retention forgets all but the newest points.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drd.clients.journal import SqliteJournal
from drd.core.events import (
    Body,
    CopyCreated,
    PolicyAdded,
    RunFinished,
    RunStarted,
    SnapshotCreated,
    SnapshotsForgotten,
    StoreCreated,
)
from drd.core.policy import Cause, Mode, Outcome

KEPT = 30
"""Points that retention leaves of each policy."""

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class BenchClock:
    """A clock whose wall time the bench sets."""

    boot_id = "00000000-0000-4000-8000-000000000000"

    def __init__(self) -> None:
        self.wall = BEGINNING

    def now(self) -> datetime:
        """The wall time that was set."""
        return self.wall

    def monotonic(self) -> float:
        """The machine's own."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Really wait."""
        await asyncio.sleep(seconds)


def year(events: int, policies: int) -> Iterator[tuple[str | None, tuple[Body, ...]]]:
    """(run, its events): round after round of all policies, until there are so many events."""
    yield None, (StoreCreated("local", "1" * 64, None), StoreCreated("offsite", "1" * 64, "local"))
    yield None, tuple(PolicyAdded(f"service-{number:04}") for number in range(policies))
    told = 3 + policies
    turn = 0
    while told < events:
        for number in range(policies):
            bodies = tuple(_run(f"service-{number:04}", number, turn))
            told += len(bodies)
            yield f"01K{number:08}{turn:015}", bodies
            if told >= events:
                return
        turn += 1


def _run(policy: str, number: int, turn: int) -> Iterator[Body]:
    moment = BEGINNING + timedelta(hours=turn, seconds=number)
    mode = Mode.FULL if turn % 24 == 0 else Mode.INCREMENTAL
    yield RunStarted(policy, mode, Cause.SCHEDULE, moment)
    yield SnapshotCreated(
        policy, "files", "local", _id(number, turn), moment, mode, Outcome.SUCCEEDED, 10**9, 5000, 10**6, 12.345
    )
    yield CopyCreated(policy, "files", "offsite", _id(number, turn), "local", moment)
    if turn >= KEPT and turn % 5 == 0:
        old = tuple(_id(number, turn - KEPT - back) for back in range(5) if turn - KEPT - back >= 0)
        yield SnapshotsForgotten(policy, "local", old, "retention")
        yield SnapshotsForgotten(policy, "offsite", old, "retention")
    yield RunFinished(policy, mode, Outcome.SUCCEEDED, "", "", 15.5, 10**9, 10**6)


def _id(number: int, turn: int) -> str:
    return f"{number:08x}{turn:08x}" * 4


async def appending(folder: Path, events: int, at_once: int) -> float:
    """Events a second, `at_once` asked for together."""
    clock = BenchClock()
    async with await SqliteJournal.open(folder, clock) as journal:
        bodies = [body for _, some in year(events, 10) for body in some][:events]
        begun = time.perf_counter()
        for start in range(0, len(bodies), at_once):
            await asyncio.gather(*(journal.append(body, run="r") for body in bodies[start : start + at_once]))
        return len(bodies) / (time.perf_counter() - begun)


async def make(folder: Path, events: int, policies: int) -> None:
    """Write the big journal, thousands of events to a transaction."""
    clock = BenchClock()
    async with await SqliteJournal.open(folder, clock) as journal:
        waiting: list[Awaitable[object]] = []
        for run, bodies in year(events, policies):
            waiting.append(journal.append(*bodies, run=run))
            if len(waiting) >= 2000:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)


OPENING = """
import asyncio, pathlib, resource, sys, time
sys.path.insert(0, {root!r})
from bench.journal import BenchClock
from drd.clients.journal import SqliteJournal
async def main():
    begun = time.perf_counter()
    journal = await SqliteJournal.open(pathlib.Path({folder!r}), BenchClock())
    opened = time.perf_counter()
    policies = await journal.policies()
    known = time.perf_counter()
    newest = await journal.newest_points()
    looked = time.perf_counter()
    await journal.newest_points()
    again = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    now = int(open("/proc/self/statm").read().split()[1]) * 4 / 1024
    print(opened - begun, known - opened, looked - known, again - looked, peak, now, len(policies), len(newest))
    await journal.close()
asyncio.run(main())
"""


def opening(folder: Path) -> list[float]:
    """Seconds to open, for all policies, for all newest points and for these again; peak and present MiB."""
    code = OPENING.format(root=str(Path(__file__).resolve().parent.parent), folder=str(folder))
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return [float(word) for word in told.stdout.split()]


def make_cold(folder: Path) -> None:
    """Take the projections away, so that the next start builds them anew."""
    import sqlite3

    connection = sqlite3.connect(folder / "journal.db")
    connection.execute("UPDATE projection SET version = 0")
    connection.commit()
    connection.close()


def told(name: str, figures: list[float], unit: str) -> None:
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    print(f"{name:<44} {low:>10,.4g} / {middle:>10,.4g} / {high:>10,.4g} {unit}")


def rounds(count: int, measure: Callable[[Path], Awaitable[float]], parent: Path) -> list[float]:
    figures: list[float] = []
    for _ in range(count):
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            figures.append(asyncio.run(measure(Path(folder))))  # type: ignore[arg-type]
    return figures


async def verifying(folder: Path) -> float:
    async with await SqliteJournal.open(folder, BenchClock(), readonly=True) as journal:
        begun = time.perf_counter()
        verdict = await asyncio.to_thread(journal.verify)
        if not verdict.sound:
            raise SystemExit(f"event {verdict.sequence}: {verdict.problem}")
        return verdict.events / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    print(f"{'':<44} {'min':>10} / {'median':>10} / {'max':>10}")
    for at_once in (1, 10, 100):
        count = 1000 if at_once == 1 else 10_000
        told(
            f"append, {at_once} at once",
            rounds(chosen.rounds, lambda folder, a=at_once, c=count: appending(folder, c, a), chosen.folder),  # type: ignore[misc]
            "events/s",
        )
    big = Path(tempfile.mkdtemp(dir=chosen.folder))
    try:
        begun = time.perf_counter()
        asyncio.run(make(big, chosen.events, chosen.policies))
        print(f"made {chosen.events:,} events of {chosen.policies:,} policies in {time.perf_counter() - begun:.1f} s, "
              f"{(big / 'journal.db').stat().st_size / 2**20:.0f} MiB")  # fmt: skip
        told("verify", [asyncio.run(verifying(big)) for _ in range(chosen.rounds)], "events/s")
        warm = [opening(big) for _ in range(chosen.rounds)]
        cold = []
        for _ in range(chosen.rounds):
            make_cold(big)
            cold.append(opening(big))
        for name, column, unit in (("open", 0, "s"), ("policies()", 1, "s"), ("newest_points()", 2, "s"),
                                   ("newest_points() again", 3, "s"), ("peak memory", 4, "MiB"),
                                   ("memory after it", 5, "MiB")):  # fmt: skip
            told(f"warm start: {name}", [figures[column] for figures in warm], unit)
            told(f"cold start: {name}", [figures[column] for figures in cold], unit)
    finally:
        shutil.rmtree(big)
    print(f"the bench's own peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
