"""A house with a policy that has base backups, and groups of WAL between them, in two stores."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drd.core.events import (
    SnapshotCreated,
    StoreCreated,
    StoreReconciled,
    WalShipped,
)
from drd.core.policy import Mode, Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.groups import Group, wal_tags
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.wal import Segment
from drd.core.tags import Origin
from drd.ports.repository import Snapshot
from tests.fakes.house import DAEMON, FakeHouse, a_policy, a_store, protected
from tests.fakes.postgres import FakePostgres
from tests.fakes.postgres_tools import FakeTools
from tests.fakes.repository import FakePlace
from tests.fakes.spool import StreamedSource

SEGMENT = 2**20
IN_A_GROUP = 4
STORES = ("local", "offsite", "local.wal", "offsite.wal")


@dataclass
class Kept:
    """A house with a policy that has base backups and WAL in two stores."""

    house: FakeHouse
    places: dict[str, FakePlace]

    async def base(self, run: str, segment: int, *stores: str) -> None:
        """A base backup that ended now, in that segment."""
        now = self.house.clock.now()
        lsn = Lsn(segment * SEGMENT + 100)
        record = BaseRecord("7", 150018, 1, lsn, lsn + 100, now, SEGMENT, holds_wal=True)
        for store in stores or ("local", "offsite"):
            origin = Origin("orders", run, "main", Mode.FULL, Outcome.SUCCEEDED, now, DAEMON, 1, record.tags())
            snapshot = Snapshot(f"{run}-{store}", now, ("/srv",), "drd", origin.tags())
            self.places[store].plant(snapshot)
            created = SnapshotCreated(
                "orders", "main", store, snapshot.id, now, Mode.FULL, Outcome.SUCCEEDED, 1, 1, 1, 1.0, record.tags()
            )
            await self.house.journal.append(created, run=run)

    async def wal(self, number: int, *stores: str) -> None:
        """A group of four segments, which ends now."""
        now = self.house.clock.now()
        first = Segment(1, number * IN_A_GROUP, SEGMENT)
        group = Group("7", first, Lsn((number + 1) * IN_A_GROUP * SEGMENT), now)
        for store in stores or ("local.wal", "offsite.wal"):
            snapshot = Snapshot(first.name, now, ("/spool",), "drd", group.tags("orders"))
            self.places[store].plant(snapshot, {"/spool/wal": b"wal"})
            await self.house.journal.append(
                WalShipped("orders", store, snapshot.id, "7", group.name, SEGMENT, str(group.through), now, ())
            )

    async def groups(self, store: str) -> list[int]:
        known = [each for each in await self.house.journal.wal("orders") if each.store == store]
        listed = {each.id for each in await self.house.repository(store).snapshots(wal_tags("orders"))}
        assert {each.snapshot_id for each in known} == listed
        return [each.group.first.number // IN_A_GROUP for each in known]


async def furnished(tmp_path: Path, *, looked_through: Sequence[str] = ("local", "offsite"), **keep: Any) -> Kept:
    places = {name: FakePlace(name) for name in STORES}
    source = StreamedSource(server=FakePostgres(None), tools=FakeTools(None))  # type: ignore[arg-type]
    policy = a_policy("orders", keep={"last": 50, **keep})
    house = FakeHouse(
        protected(policy, main=source), stores=tuple(a_store(each) for each in places.values()), spool=tmp_path
    )
    for name in STORES:
        await house.stores.open(name, may_make=True)
        assert house.journal.of(StoreCreated)
        if name in looked_through:
            await house.journal.append(StoreReconciled(name, 0, 0, 0))
    return Kept(house, places)


async def a_week(it: Kept) -> None:
    """A group of WAL a day, and a base backup in the middle of each."""
    for day in range(7):
        await asyncio.sleep(43_200)
        await it.base(f"{day:02}RUN", day * IN_A_GROUP + 1)
        await asyncio.sleep(43_200)
        await it.wal(day)
