"""WAL that nothing needs any more goes, whole groups of it, and is not brought back."""

import asyncio
from pathlib import Path

import pytest

from drd.core.errors import RefusedByGuard
from drd.core.events import (
    HoldPlaced,
    RetentionHeld,
    StoreReconciled,
    WalForgotten,
)
from drd.core.policy import Outcome
from drd.core.postgres.wal import Segment
from drd.daemon.control import HouseControl
from drd.engines.copy import RETRY_WAL_SECONDS
from drd.engines.work_queues import JobClass
from tests.fakes.kept_wal import IN_A_GROUP, SEGMENT, a_week, furnished

pytestmark = pytest.mark.looptime


async def test_of_what_lies_before_the_promised_moments_nothing_stays(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d")
    await a_week(it)
    gone = await it.house.wal_retention.forget("orders", "local.wal")
    assert len(gone) == 3
    assert await it.groups("local.wal") == [3, 4, 5, 6]
    assert await it.groups("offsite.wal") == list(range(7))
    [told] = it.house.journal.of(WalForgotten)
    assert len(told.groups) == 3
    assert await it.house.wal_retention.forget("orders", "local.wal") == ()


async def test_without_a_promise_all_since_the_oldest_base_stays(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    await it.wal(0)
    await it.wal(1)
    await it.base("02RUN", 2 * IN_A_GROUP)
    await it.wal(2)
    await it.wal(3)
    await it.house.wal_retention.forget("orders", "local.wal")
    assert await it.groups("local.wal") == [2, 3]


async def test_what_retention_keeps_of_base_backups_leads_to_every_promised_moment(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d", last=1)
    await a_week(it)
    plan = await it.house.retain.plan("orders", "local")
    kept = {each.snapshot_id: each.reasons for each in plan.verdicts if not each.is_forgotten}
    assert set(kept) == {"03RUN-local", "06RUN-local"}
    assert kept["03RUN-local"] == ("leads to moments that any_moment promises",)


async def test_a_base_in_another_store_keeps_wal_here(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    await it.base("00RUN", 1, "offsite")
    await it.wal(0)
    await it.wal(1)
    await it.base("02RUN", 2 * IN_A_GROUP, "local")
    await it.wal(2)
    assert await it.house.wal_retention.forget("orders", "local.wal") == ()


async def test_nothing_goes_before_every_store_of_base_backups_was_looked_through(tmp_path: Path) -> None:
    it = await furnished(tmp_path, looked_through=("local",), any_moment="3d")
    await a_week(it)
    assert await it.house.wal_retention.forget("orders", "local.wal") == ()
    await it.house.journal.append(StoreReconciled("offsite", 0, 0, 0))
    assert len(await it.house.wal_retention.forget("orders", "local.wal")) == 3


async def test_a_group_that_is_in_the_spool_stays(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d")
    await a_week(it)
    (tmp_path / "orders" / "7" / "groups" / Segment(1, 0, SEGMENT).name).mkdir(parents=True)
    await it.house.wal_retention.forget("orders", "local.wal")
    assert await it.groups("local.wal") == [0, 3, 4, 5, 6]


async def test_a_held_store_keeps_its_wal_and_tells_once(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d")
    await a_week(it)
    await it.house.journal.append(HoldPlaced("local.wal", "another daemon writes there"))
    for _ in range(3):
        assert await it.house.wal_retention.forget("orders", "local.wal") == ()
    assert it.house.journal.of(RetentionHeld) == [RetentionHeld("orders", "local.wal", "another daemon writes there")]


async def test_a_store_that_is_held_while_the_turn_is_waited_for_keeps_its_wal(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d")
    await a_week(it)
    async with it.house.queues.take("local.wal", JobClass.FORGET, 1):
        forgetting = asyncio.create_task(it.house.wal_retention.forget("orders", "local.wal"))
        await asyncio.sleep(5)
        await it.house.journal.append(HoldPlaced("local.wal", "another daemon writes there"))
    assert await forgetting == ()
    assert await it.groups("local.wal") == list(range(7))
    assert len(it.house.journal.of(RetentionHeld)) == 1


async def test_wal_that_is_needed_again_by_the_time_its_turn_comes_stays(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d")
    await a_week(it)
    async with it.house.queues.take("local.wal", JobClass.FORGET, 1):
        forgetting = asyncio.create_task(it.house.wal_retention.forget("orders", "local.wal"))
        await asyncio.sleep(5)
        (tmp_path / "orders" / "7" / "groups" / Segment(1, 0, SEGMENT).name).mkdir(parents=True)
    assert len(await forgetting) == 2
    assert await it.groups("local.wal") == [0, 3, 4, 5, 6]


async def test_more_than_half_at_once_needs_a_person(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="1d")
    await a_week(it)
    await asyncio.sleep(3600)
    await it.base("07RUN", 7 * IN_A_GROUP + 1)
    await asyncio.sleep(86_400)
    await it.wal(7)
    assert await it.house.wal_retention.forget("orders", "local.wal") == ()
    [held] = it.house.journal.of(RetentionHeld)
    assert held.reason == "it would remove 7 of 8 groups of WAL at once"
    assert len(await it.house.wal_retention.forget("orders", "local.wal", by_a_person=True)) == 7
    await it.house.journal.append(HoldPlaced("offsite.wal", "somebody writes there"))
    with pytest.raises(RefusedByGuard, match="somebody writes there"):
        await it.house.wal_retention.forget("orders", "offsite.wal", by_a_person=True)


async def test_what_one_store_let_go_is_not_brought_back_from_another(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d")
    await a_week(it)
    await it.house.wal_retention.forget("orders", "offsite.wal")
    assert await it.house.copy.fill("offsite.wal")
    assert await it.groups("offsite.wal") == [3, 4, 5, 6]
    await it.wal(7, "local.wal")
    assert await it.house.copy.fill("offsite.wal")
    assert await it.groups("offsite.wal") == [3, 4, 5, 6, 7]


async def test_retention_of_wal_is_part_of_a_stores_day(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d")
    await a_week(it)
    upkeep = asyncio.create_task(it.house.upkeep.serve("local.wal"))
    await asyncio.sleep(7200)
    assert await it.groups("local.wal") == [3, 4, 5, 6]
    assert it.places["local.wal"].prunes == 1
    assert it.places["local.wal"].most_repacked == 64 * 2**20
    upkeep.cancel()
    await asyncio.gather(upkeep, return_exceptions=True)


async def test_after_an_outage_wal_is_brought_within_a_minute(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    await it.wal(0, "local.wal")
    it.places["offsite.wal"].away = "the line is cut"
    copying = asyncio.create_task(it.house.copy.serve("offsite.wal"))
    it.house.copy.want("offsite.wal", "orders")
    await asyncio.sleep(4000)
    it.places["offsite.wal"].away = ""
    await asyncio.sleep(RETRY_WAL_SECONDS + 1)
    assert await it.groups("offsite.wal") == [0]
    copying.cancel()
    await asyncio.gather(copying, return_exceptions=True)


async def test_a_person_is_shown_what_would_go_of_wal_and_lets_it_go(tmp_path: Path) -> None:
    it = await furnished(tmp_path, any_moment="3d")
    await a_week(it)
    control = HouseControl(it.house.house, None, nothing_to_reload)
    lines = [each for each in await control.forget_plan("orders") if each.store == "local.wal"]
    assert [each.action for each in lines] == ["forget"] * 3
    steps = [step async for step in control.forget("orders", "anna")]
    assert steps[-1].outcome is Outcome.SUCCEEDED
    assert steps[-1].result == {"forgotten": 6}
    assert await it.groups("local.wal") == await it.groups("offsite.wal") == [3, 4, 5, 6]


async def nothing_to_reload() -> tuple[str, ...]:
    return ()
