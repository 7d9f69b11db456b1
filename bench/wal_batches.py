"""Many batches of WAL: what grows with their number, and how long a batch waits while a prune runs.

The engines, restic, the journal and the spool are real; only the WAL is made up, page by page with its headers, so that
batches follow each other without a pause. Two local stores: the second one is a mirror of the first.
`batches`: prints, now and then, how long a batch takes into each store and how much there is of everything; with
`--past N` after N earlier ones, of which the journal has every event and the stores what tidying has left of them.
`prune`: fills both stores with so much WAL, makes a share of it superfluous, and ships while they are pruned.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import struct
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil

from drd.app.build import Built, build
from drd.app.kinds import find_kinds
from drd.config.load import load
from drd.core.events import WalForgotten, WalShipped
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.pages import LONG_BYTES, PAGE_BYTES
from drd.core.postgres.wal import Segment
from drd.engines.archive import BATCH_SECONDS, TIDY_FROM
from drd.engines.upkeep import PRUNE_WAL_EVERY
from tests.quick_keys import make_quick

POLICY = "orders"
SYSTEM = "7311111111111111111"
STORES = ("local.wal", "offsite.wal")
BATCHES_A_PRUNE = round(PRUNE_WAL_EVERY.total_seconds() / BATCH_SECONDS)
A_DAY = 86_400 // round(BATCH_SECONDS)
MEBIBYTE = 2**20
WORD = "measured"


def main() -> None:
    """Measure one of the two, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("batches", "prune"))
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=150_000, help="of WAL a batch")
    parser.add_argument("--segment", type=int, default=MEBIBYTE, help="bytes of a segment")
    parser.add_argument("--past", type=int, default=0, help="batches that were before")
    parser.add_argument("--prune-every", type=int, default=BATCHES_A_PRUNE, help="batches; 0: never")
    parser.add_argument("--told-every", type=int, default=100, help="batches")
    parser.add_argument("--fill", type=int, default=2048, help="MiB of WAL before the prune")
    parser.add_argument("--quick-keys", action="store_true", help="passwords cost nothing, to see many batches soon")
    options = parser.parse_args()
    asyncio.run(_batches(options) if options.what == "batches" else _prune(options))


@dataclass
class Bench:
    """A daemon's house over a folder, and the WAL that is written into its spool."""

    built: Built
    work: Path
    segment_bytes: int
    written: Lsn = field(init=False)

    def __post_init__(self) -> None:
        self.written = Lsn(3 * self.segment_bytes)

    async def write(self, byte_count: int) -> None:
        """So much WAL is received, and safe."""
        received = self.work / "state" / "spool" / POLICY / SYSTEM / "received"
        await asyncio.to_thread(self._write, received, byte_count)
        line = self.built.house.archive.line(POLICY)
        line.system_identifier, line.segment_bytes, line.flushed = SYSTEM, self.segment_bytes, self.written
        line.received[1] = self.written
        line.pending.append(Mark(datetime.now(UTC), 1, self.written))

    def _write(self, received: Path, byte_count: int) -> None:
        received.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = received.parent / "cluster.json"
        if not told.exists():
            told.write_text(f'{{"system_identifier": "{SYSTEM}", "segment_bytes": {self.segment_bytes}}}')
        end = Lsn(-(-(self.written.value + byte_count) // PAGE_BYTES) * PAGE_BYTES)
        while self.written < end:
            segment = Segment.at(1, self.written, self.segment_bytes)
            until = min(end, segment.end)
            partial = received / f"{segment.name}.partial"
            with partial.open("r+b" if partial.exists() else "w+b") as file:
                file.truncate(segment.size)
                file.seek(self.written - segment.start)
                file.write(b"".join(_page(segment, at) for at in range(self.written.value, until.value, PAGE_BYTES)))
            if until == segment.end:
                partial.rename(received / segment.name)
                following = received / f"{segment.following.name}.partial"
                with following.open("wb") as file:
                    file.truncate(segment.size)
            self.written = until

    async def ship(self) -> tuple[float, float]:
        """One round: seconds into the first store, and from there into the mirror."""
        house, began = self.built.house, time.monotonic()
        await house.archive.ship(POLICY)
        shipped = time.monotonic()
        if not await house.copy.fill("offsite.wal", {POLICY}):
            raise SystemExit(f"the mirror was not filled: {house.copy.why_late('offsite.wal')}")
        return shipped - began, time.monotonic() - shipped

    async def live_through(self, batches: int, byte_count: int) -> None:
        """Bring all WAL of so many batches into the stores by few, and into the journal what each would have told."""
        await self.write(byte_count)
        await self.ship()
        for began in range(0, batches, A_DAY):
            count = min(A_DAY, batches - began)
            first = Segment.at(1, self.written, self.segment_bytes)
            await self.write(count * byte_count)
            await self.ship()
            for store in STORES:
                await self._tell(store, first, count, byte_count)
        shipped = len(await self.built.house.catalogue.wal(POLICY))
        print(f"{batches} batches were before, of {shipped} groups that are in a store")

    async def _tell(self, store: str, first: Segment, count: int, byte_count: int) -> None:
        groups = [each for each in await self.built.house.catalogue.wal(POLICY) if each.store == store]
        group = next(each.group for each in reversed(groups) if each.group.first <= first)
        for told in range(0, count, TIDY_FROM):
            names = tuple(os.urandom(32).hex() for _ in range(min(TIDY_FROM, count - told)))
            shipped = [
                WalShipped(
                    POLICY,
                    store,
                    name,
                    SYSTEM,
                    group.first.name,
                    self.segment_bytes,
                    str(group.first.start + (1 + told + number)),
                    datetime.now(UTC),
                    (),
                    byte_count,
                    0.3,
                )
                for number, name in enumerate(names)
            ]
            await self.built.house.journal.append(*shipped, WalForgotten(POLICY, store, names))

    def make_keys_quick(self) -> None:
        """Spare each command the half second that restic spends on the password."""
        for store in STORES:
            make_quick(self.repository(store), WORD)

    def repository(self, store: str) -> Path:
        """Where a store's files are."""
        return self.work / f"{store.removesuffix('.wal')}-wal"

    def counted(self, store: str, kind: str) -> int:
        """How many files of a kind a repository has."""
        return sum(len(names) for _, _, names in os.walk(self.repository(store) / kind))

    def bytes_of(self, store: str) -> int:
        """How large a repository is."""
        return sum(
            (Path(folder) / name).stat().st_size
            for folder, _, names in os.walk(self.repository(store))
            for name in names
        )


async def _batches(options: argparse.Namespace) -> None:
    print("batches | ship | carry | tidy | prune (s) | snapshots | indexes | packs | MiB | journal kB | rss MiB")
    async with _furnished(options.segment) as bench:
        ships: list[float] = []
        carries: list[float] = []
        tidies = [0.0]
        prunes = [0.0]
        await bench.live_through(options.past, options.bytes)
        if options.quick_keys:
            bench.make_keys_quick()
        for number in range(1, options.batches + 1):
            await bench.write(options.bytes)
            shipped, carried = await bench.ship()
            ships.append(shipped)
            carries.append(carried)
            if number % (TIDY_FROM // 2) == 0:
                tidies.append(await _timed(bench.built.house.archive.tidy(POLICY)))
            if options.prune_every and number % options.prune_every == 0:
                prunes += [await _timed(bench.built.house.retain.prune(store)) for store in STORES]
            if number % options.told_every == 0:
                _tell(bench, number, ships, carries, tidies, prunes)
                ships, carries, tidies, prunes = [], [], [0.0], [0.0]


def _tell(
    bench: Bench, number: int, ships: list[float], carries: list[float], tidies: list[float], prunes: list[float]
) -> None:
    journal = sum(path.stat().st_size for path in (bench.work / "state").glob("journal.db*"))
    counts = ["/".join(str(bench.counted(store, kind)) for store in STORES) for kind in ("snapshots", "index", "data")]
    sizes = "/".join(f"{bench.bytes_of(store) / MEBIBYTE:.0f}" for store in STORES)
    times = f"{median(ships):.2f} | {median(carries):.2f} | {max(tidies):.2f} | {max(prunes):.2f}"
    rss = psutil.Process().memory_info().rss / MEBIBYTE
    print(f"{number} | {times} | {' | '.join(counts)} | {sizes} | {journal / 1000:.0f} | {rss:.0f}", flush=True)


async def _prune(options: argparse.Namespace) -> None:
    async with _furnished(16 * MEBIBYTE) as bench:
        filled = 0
        while filled < options.fill * MEBIBYTE:
            await bench.write(45 * MEBIBYTE)
            await bench.ship()
            filled += 45 * MEBIBYTE
        house = bench.built.house
        for store in STORES:
            shipped = [each for each in await house.catalogue.wal(POLICY) if each.store == store]
            superseded = tuple(batch for each in shipped for batch in each.superseded)
            forgetting = time.monotonic()
            await (await house.stores.open(store)).forget(superseded)
            print(f"{store}: {len(superseded)} snapshots forgotten in {time.monotonic() - forgetting:.2f} s")
            alone = [await _shipped_alone(bench) for _ in range(5)]
            before = bench.bytes_of(store)
            pruning = asyncio.create_task(_timed(house.retain.prune(store)))
            await asyncio.sleep(0.1)
            waited = await _shipped_alone(bench)
            print(
                f"{store}: {before / MEBIBYTE:.0f} MiB, pruned in {await pruning:.2f} s to "
                f"{bench.bytes_of(store) / MEBIBYTE:.0f} MiB; a batch into both stores takes "
                f"{median(alone):.2f} s alone and {waited:.2f} s begun with the prune"
            )
            print(f"{store}: checked in {await _timed(house.proof.check(store)):.2f} s", flush=True)


async def _shipped_alone(bench: Bench) -> float:
    await bench.write(150_000)
    return sum(await bench.ship())


async def _timed(work: object) -> float:
    began = time.monotonic()
    await work  # type: ignore[misc]
    return time.monotonic() - began


@asynccontextmanager
async def _furnished(segment_bytes: int) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="drd-bench-") as folder:
        work = Path(folder)
        for name in ("state", "policies", "runbooks"):
            (work / name).mkdir(mode=0o700)
        (work / "password").write_text(f"{WORD}\n")
        (work / "password").chmod(0o600)
        stores = "".join(
            f"  {name}: {{local: {work}/{name}, site: here, password: {{file: {work}/password}}}}\n"
            for name in ("local", "offsite")
        )
        (work / "drd.yaml").write_text(
            f"site: here\nsites: {{here: {{latitude: 30.25, longitude: 120.17}}}}\nstate: {work}/state\n"
            f"stores:\n{stores}"
        )
        (work / f"policies/{POLICY}.yaml").write_text(
            f"policy: {POLICY}\nbackup:\n"
            f"  source: {{postgres: {{dsn: {{file: {work}/password}}, wal: continuous}}}}\n"
            f'  full: {{cron: "0 0 1 1 *"}}\n  to: [local, offsite]\n  keep: {{daily: 7}}\n'
        )
        async with build(load(work / "drd.yaml", {}, find_kinds())) as built:
            await built.house.stores.load()
            yield Bench(built, work, segment_bytes)


def _page(segment: Segment, at: int) -> bytes:
    is_first = at == segment.start.value
    header = struct.pack("<HHIQI4x", 0xD110, 2 if is_first else 0, segment.timeline, at, 0)
    if is_first:
        header += struct.pack("<QII", int(SYSTEM), segment.size, PAGE_BYTES)
        assert len(header) == LONG_BYTES
    # Half of it compresses, as real WAL does.
    half = (PAGE_BYTES - len(header)) // 2
    return (header + os.urandom(half)).ljust(PAGE_BYTES, b"\0")


if __name__ == "__main__":
    main()
