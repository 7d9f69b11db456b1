"""Forgetting by id what may go, and looking again."""

import asyncio

import pytest

from drd.core.errors import PermanentError, RefusedByGuard, UsageError
from drd.core.events import (
    AnchorsForgotten,
    DamageFound,
    ForgetStarted,
    HoldPlaced,
    HoldReleased,
    RetentionHeld,
    SnapshotsForgotten,
    StorePruned,
)
from drd.core.retention import ANCHORS_KEPT
from drd.engines.retain import MOST_REPACKED_BYTES
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.source import FakeSource

pytestmark = pytest.mark.looptime


async def a_house_with_runs(count: int, **plan: object) -> FakeHouse:
    """So many good runs, an hour apart, in one store."""
    house = FakeHouse(protected(a_policy(to=("local",), **plan)))
    for number in range(count):
        await house.run(run=f"{number:02}RUN")
        await asyncio.sleep(3600)
    return house


async def test_what_the_rules_let_go_is_forgotten_by_id_and_on_record() -> None:
    house = await a_house_with_runs(5)
    gone = await house.retain.forget("orders", "local", "schedule")
    assert len(gone) == 2
    assert len(house.local.snapshots) == 3
    assert house.journal.of(SnapshotsForgotten)[0].snapshot_ids == gone
    assert [point.run for point in await house.journal.points("orders")] == ["02RUN", "03RUN", "04RUN"]


async def test_a_plan_changes_nothing_and_tells_reasons() -> None:
    house = await a_house_with_runs(5)
    plan = await house.retain.plan("orders", "local")
    assert [verdict.reasons for verdict in plan.verdicts if not verdict.is_forgotten] == [("last snapshot",)] * 3
    assert len(house.local.snapshots) == 5


async def test_a_store_that_lies_about_forgetting_is_found_out() -> None:
    house = await a_house_with_runs(5)
    house.local.append_only = True
    with pytest.raises(PermanentError, match="still lists 2 snapshots"):
        await house.retain.forget("orders", "local", "schedule")
    assert house.journal.of(SnapshotsForgotten) == []
    assert len(await house.journal.points("orders")) == 5


async def test_the_newest_good_point_stays_whatever_the_rules_say() -> None:
    house = await a_house_with_runs(2, keep={"last": 1})
    house.disk.unreadable["/srv"] = 1
    await house.run(run="09BAD")
    assert (
        await house.retain.forget("orders", "local", "schedule")
        == tuple(copy.snapshot_id for copy in (await house.journal.points("orders"))[0].copies)
        or len(house.local.snapshots) == 2
    )
    assert (await house.journal.newest_points())["orders", "local"].run == "01RUN"


async def test_too_much_at_once_is_held_and_told_once_until_a_person_wants_it() -> None:
    house = await a_house_with_runs(10)
    assert await house.retain.forget("orders", "local", "schedule") == ()
    assert await house.retain.forget("orders", "local", "schedule") == ()
    [held] = house.journal.of(RetentionHeld)
    assert held.reason == "it would remove 7 of 10 snapshots at once"
    assert len(await house.retain.forget("orders", "local", "anna", by_a_person=True)) == 7


async def test_a_hold_stops_forgetting_and_pruning_also_for_a_person() -> None:
    house = await a_house_with_runs(5)
    await house.journal.append(HoldPlaced("local", "its last check found damage"))
    assert await house.retain.forget("orders", "local", "schedule") == ()
    with pytest.raises(RefusedByGuard, match="found damage"):
        await house.retain.forget("orders", "local", "anna", by_a_person=True)
    with pytest.raises(RefusedByGuard, match="found damage"):
        await house.retain.prune("local")
    await house.journal.append(HoldReleased("local", "anna"))
    assert len(await house.retain.forget("orders", "local", "anna")) == 2
    await house.retain.prune("local")
    assert len(house.journal.of(StorePruned)) == 1


async def test_a_point_that_has_too_few_copies_is_kept_until_a_newer_one_has_enough() -> None:
    house = FakeHouse(protected(a_policy(require={"copies": 2})))
    for number in range(5):
        await house.run(run=f"{number:02}RUN")
        await asyncio.sleep(3600)
    assert await house.retain.forget("orders", "local", "schedule") == ()
    await house.copy.fill("offsite")
    assert len(await house.retain.forget("orders", "local", "schedule")) == 2


async def test_a_snapshot_that_the_journal_does_not_know_is_not_forgotten() -> None:
    house = await a_house_with_runs(3, keep={"last": 1})
    house.local.plant(house.foreign(time=house.clock.now().replace(year=2020)))
    gone = await house.retain.forget("orders", "local", "schedule")
    assert len(gone) == 2
    assert "01otherrun-main" in house.local.snapshots


async def test_three_points_of_two_parts_are_kept_as_three_points() -> None:
    policy = protected(a_policy(to=("local",)), files=FakeSource(), database=FakeSource(program="pg_dump"))
    house = FakeHouse(policy)
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    for number in range(5):
        await house.run(run=f"{number:02}RUN")
        await asyncio.sleep(3600)
    assert len(await house.retain.forget("orders", "local", "anna", by_a_person=True)) == 4
    points = await house.journal.points("orders")
    assert [(point.run, len(point.copies)) for point in points] == [("02RUN", 2), ("03RUN", 2), ("04RUN", 2)]


async def test_a_plan_does_not_wait_for_the_runs_under_way() -> None:
    house = await a_house_with_runs(2)
    house.repository("local").seconds["save"] = 600
    running = asyncio.create_task(house.run(run="99RUN"))
    await asyncio.sleep(1)
    async with asyncio.timeout(1):
        await house.retain.plan("orders", "local")
    await running


async def test_forgetting_waits_for_the_runs_under_way() -> None:
    house = await a_house_with_runs(5)
    house.repository("local").seconds["save"] = 600
    running = asyncio.create_task(house.run(run="99RUN"))
    await asyncio.sleep(1)
    assert len(await house.retain.forget("orders", "local", "schedule")) == 3
    assert any(point.run == "99RUN" for point in await house.journal.points("orders"))
    await running


async def test_a_policy_that_is_not_there_is_named() -> None:
    house = await a_house_with_runs(1)
    with pytest.raises((PermanentError, UsageError), match="no policy attic"):
        await house.retain.forget("attic", "local", "anna")


async def test_a_mirror_is_pruned_without_repacking_and_the_origin_with() -> None:
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")
    for store in ("local", "offsite"):
        await house.retain.prune(store)
    assert house.local.most_repacked == MOST_REPACKED_BYTES
    assert house.offsite.most_repacked == 0


async def a_house_with_anchors(count: int) -> FakeHouse:
    """So many anchors, a minute apart, in the first store and its mirror."""
    house = FakeHouse()
    await house.run()
    for _ in range(count):
        await house.anchor.anchor("local")
        await asyncio.sleep(60)
    await house.copy.fill("offsite")
    return house


async def test_old_anchors_are_forgotten_in_a_store_and_then_in_its_mirror() -> None:
    house = await a_house_with_anchors(ANCHORS_KEPT + 2)
    await house.retain.forget_anchors("offsite")
    assert len(await house.anchor.anchors("offsite")) == ANCHORS_KEPT + 2
    for store in ("local", "offsite"):
        await house.retain.forget_anchors(store)
        await house.retain.forget_anchors(store)
        assert len(await house.anchor.anchors(store)) == ANCHORS_KEPT
    assert [fact.store for fact in house.journal.of(AnchorsForgotten)] == ["local", "offsite"]
    assert len(await house.journal.points("orders")) == 1


async def test_anchors_that_the_journal_does_not_know_stay_and_push_none_out() -> None:
    house = await a_house_with_anchors(ANCHORS_KEPT)
    for number in range(2 * ANCHORS_KEPT):
        tags = ("drd", "kind=anchor", f"daemon={house.journal.daemon}", f"sequence={900 + number}", "head=ff")
        house.local.plant(house.foreign(run=f"{number}PLANTED", tags=tags))
    await house.retain.forget_anchors("local")
    assert house.journal.of(AnchorsForgotten) == []


async def test_no_anchor_is_forgotten_in_a_store_that_is_held() -> None:
    house = await a_house_with_anchors(ANCHORS_KEPT + 2)
    await house.journal.append(HoldPlaced("local", "another daemon writes there"))
    await house.retain.forget_anchors("local")
    assert len(await house.anchor.anchors("local")) == ANCHORS_KEPT + 2


async def test_a_store_that_keeps_its_anchors_is_found_out() -> None:
    house = await a_house_with_anchors(ANCHORS_KEPT + 2)
    house.local.append_only = True
    with pytest.raises(PermanentError, match="still lists 2 snapshots"):
        await house.retain.forget_anchors("local")


async def test_nothing_is_pruned_or_forgotten_where_a_snapshot_has_vanished() -> None:
    house = await a_house_with_runs(5)
    lost = next(iter(house.local.snapshots))
    del house.local.snapshots[lost]
    plan = await house.retain.plan("orders", "local")
    assert plan.held == "1 snapshot is gone from there that drd did not forget"
    with pytest.raises(RefusedByGuard, match="nothing is pruned in store local: 1 snapshot is gone"):
        await house.retain.prune("local")
    assert house.local.prunes == 0
    [found] = house.journal.of(DamageFound)
    assert found.files == (f"snapshots/{lost}",)


async def test_what_is_to_go_is_on_record_before_it_goes() -> None:
    house = await a_house_with_runs(5, keep={"last": 3})
    gone = await house.retain.forget("orders", "local", "sre")
    kinds = [type(event.body) for event in house.journal.events]
    assert gone
    assert kinds.index(ForgetStarted) < kinds.index(SnapshotsForgotten)
    assert (await house.journal.stores())["local"].leaving == frozenset()
