"""WAL that nothing needs goes from real repositories, its bytes too, and a mirror does not get it back."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from drd.app.build import Built, build
from drd.app.kinds import find_kinds
from drd.config.load import load
from drd.core.events import SnapshotCreated, StoreReconciled
from drd.core.policy import Mode, Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.pages import PAGE_BYTES
from drd.core.postgres.wal import Segment
from tests.fakes.postgres_tools import wal_of

SYSTEM = "7311111111111111111"
SEGMENT = 2**20
FORMER, LATTER, NEWEST = 4, 20, 40
"""Where each group begins: a gap begins another one."""


def configured(folder: Path, restic: Path) -> Path:
    for name in ("state", "policies", "runbooks"):
        (folder / name).mkdir(mode=0o700)
    (folder / "password").write_text("secret\n")
    (folder / "password").chmod(0o600)
    stores = "".join(
        f"  {name}: {{local: {folder}/{name}, site: here, password: {{file: {folder}/password}}}}\n"
        for name in ("local", "offsite")
    )
    (folder / "drd.yaml").write_text(
        f"site: here\nsites: {{here: {{latitude: 30.25, longitude: 120.17}}}}\nstate: {folder}/state\n"
        f"restic: {restic}\nstores:\n{stores}"
    )
    (folder / "policies/orders.yaml").write_text(
        "policy: orders\nbackup:\n"
        f"  source: {{postgres: {{dsn: {{file: {folder}/password}}, wal: continuous}}}}\n"
        '  full: {cron: "0 1 * * *"}\n  to: [local, offsite]\n  keep: {daily: 7}\n'
    )
    return folder / "drd.yaml"


def receive(folder: Path, first: int, count: int) -> None:
    """So many whole segments that nobody else can have, as they lie when they were received."""
    spool = folder / "state" / "spool" / "orders" / SYSTEM
    (spool / "received").mkdir(mode=0o700, parents=True, exist_ok=True)
    (spool / "cluster.json").write_text(f'{{"system_identifier": "{SYSTEM}", "segment_bytes": {SEGMENT}}}')
    for number in range(first, first + count):
        segment = Segment(1, number, SEGMENT)
        pages = wal_of(segment, SYSTEM)
        filled = (pages[at : at + 40] + os.urandom(PAGE_BYTES - 40) for at in range(0, SEGMENT, PAGE_BYTES))
        (spool / "received" / segment.name).write_bytes(b"".join(filled))


async def base(built: Built, segment: int) -> None:
    """The journal's word that there is a base backup of now in both stores."""
    now, start = datetime.now(UTC), Lsn(segment * SEGMENT + 100)
    facts = BaseRecord(SYSTEM, 150018, 1, start, start + 100, now, SEGMENT, holds_wal=True).tags()
    for store in ("local", "offsite"):
        created = SnapshotCreated(
            "orders", "main", store, f"base-{store}", now, Mode.FULL, Outcome.SUCCEEDED, 1, 1, 1, 1.0, facts
        )
        await built.journal.append(created, StoreReconciled(store, 1, 0, 0), run="01RUN")


async def bring(built: Built) -> None:
    await built.house.archive.ship("orders")
    assert await built.house.copy.fill("offsite.wal", {"orders"})
    await built.house.archive.ship("orders")  # what every store has leaves the spool


async def groups(built: Built, store: str) -> list[int]:
    return [each.group.first.number for each in await built.house.catalogue.wal("orders") if each.store == store]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_wal_that_nothing_needs_goes_and_a_mirror_does_not_get_it_back(tmp_path: Path, restic_binary: Path) -> None:
    async def all_of_it() -> None:
        async with build(load(configured(tmp_path, restic_binary), {}, find_kinds())) as built:
            house = built.house
            for first in (FORMER, LATTER, NEWEST):
                receive(tmp_path, first, 8)
                await bring(built)
            await base(built, LATTER)
            before = size(tmp_path / "offsite-wal")
            assert await groups(built, "local.wal") == await groups(built, "offsite.wal") == [FORMER, LATTER, NEWEST]
            assert await house.wal_retention.forget("orders", "offsite.wal")
            assert await house.copy.fill("offsite.wal", {"orders"})
            assert await groups(built, "offsite.wal") == [LATTER, NEWEST]
            assert await house.wal_retention.forget("orders", "local.wal")
            for store in ("local.wal", "offsite.wal"):
                await house.retain.prune(store)
            receive(tmp_path, NEWEST + 8, 1)
            await bring(built)
            assert await groups(built, "local.wal") == await groups(built, "offsite.wal") == [LATTER, NEWEST]
            assert size(tmp_path / "offsite-wal") < before - 6 * SEGMENT
            await house.proof.check("offsite.wal")
            assert not (await house.catalogue.stores())["offsite.wal"].is_damaged

    asyncio.run(all_of_it())
