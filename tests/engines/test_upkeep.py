"""What a store needs besides backups."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drd.core.events import (
    AnchorsForgotten,
    DamageHealed,
    HoldPlaced,
    JobFailed,
    RetentionApplied,
    SnapshotsForgotten,
    StoreCameBack,
    StoreChecked,
    StorePruned,
    StoreReconciled,
    StoreWentAway,
)
from drd.ports.repository import ForgetPlan
from tests.fakes.house import FakeHouse, a_policy, protected

pytestmark = pytest.mark.looptime
DAY = 86_400


@asynccontextmanager
async def looked_after(house: FakeHouse, store: str = "local") -> AsyncIterator[asyncio.Task[None]]:
    """The store with its loop under way."""
    task = asyncio.create_task(house.upkeep.serve(store))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_store_that_was_never_used_is_left_alone() -> None:
    house = FakeHouse()
    async with looked_after(house):
        await asyncio.sleep(DAY)
    assert house.local.identity is None
    assert house.journal.events == []


async def test_a_store_is_reconciled_hourly_and_checked_daily() -> None:
    house = FakeHouse()
    await house.run()
    async with looked_after(house):
        await asyncio.sleep(2 * DAY - 60)
    assert 46 <= len(house.journal.of(StoreReconciled)) <= 48
    assert len(house.journal.of(StoreChecked)) == 2


async def test_all_data_is_read_in_rotation_and_a_restart_goes_on_where_it_was() -> None:
    house = FakeHouse(protected(a_policy(to=("local",), require={"read_within": "10d"})))
    await house.run()
    for _ in range(5):
        async with looked_after(house):
            await asyncio.sleep(2 * DAY)
        house = FakeHouse(after=house)
    assert [fact.subset for fact in house.journal.of(StoreChecked)] == [f"{part % 8 + 1}/8" for part in range(10)]


async def test_the_data_of_a_store_elsewhere_is_read_only_when_somebody_asks_for_it() -> None:
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")
    async with looked_after(house, "offsite"):
        await asyncio.sleep(2 * DAY)
    assert {fact.subset for fact in house.journal.of(StoreChecked)} == {""}


async def test_data_is_not_read_in_hours_that_a_policy_keeps_free() -> None:
    house = FakeHouse(protected(a_policy(to=("local",), window={"not": "00:00-20:00"})))
    await house.run()
    async with looked_after(house):
        await asyncio.sleep(3 * DAY)
    facts = [(event.at, event.body) for event in house.journal.events]
    read = [at for at, body in facts if isinstance(body, StoreChecked) and body.subset]
    assert len(read) >= 2
    assert all(at.astimezone(house.in_force().zone).hour >= 20 for at in read)


async def test_retention_runs_daily_and_prune_weekly_after_something_was_forgotten() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    for number in range(6):
        await house.run(run=f"{number:02}RUN")
        await asyncio.sleep(60)
    async with looked_after(house):
        await asyncio.sleep(DAY)
        assert len(house.local.snapshots) == 3
        assert len(house.journal.of(SnapshotsForgotten)) == 1
        assert house.local.prunes == 1
        for number in range(8):
            await house.run(run=f"1{number}RUN")
            await asyncio.sleep(DAY)
    assert house.local.prunes == 2
    assert len(house.journal.of(StorePruned)) == 2


async def test_a_restart_looks_at_no_policy_again_that_was_looked_at_today() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    await house.run()
    for _ in range(3):
        async with looked_after(house):
            await asyncio.sleep(3600)
        house = FakeHouse(after=house)
    assert house.journal.of(RetentionApplied) == [RetentionApplied("local", 1, 0, 0)]
    async with looked_after(house):
        await asyncio.sleep(DAY)
    assert len(house.journal.of(RetentionApplied)) == 2


async def test_retention_leaves_one_event_a_store_and_day_however_many_policies_there_are() -> None:
    house = FakeHouse(*(protected(a_policy(f"policy-{number}", to=("local",))) for number in range(30)))
    for name in house.in_force().policies:
        await house.run(name)
    async with looked_after(house):
        await asyncio.sleep(2 * DAY + 60)
    assert house.journal.of(RetentionApplied) == [RetentionApplied("local", 30, 0, 0)] * 3


async def test_a_prune_that_is_owed_is_done_after_a_restart() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    await house.run()
    await house.journal.append(StorePruned("local", 1.0))
    for number in range(4):
        await house.run(run=f"{number:02}RUN")
        await asyncio.sleep(60)
    async with looked_after(house):
        await asyncio.sleep(DAY)
    assert len(house.journal.of(SnapshotsForgotten)) == 1
    assert house.local.prunes == 0
    house = FakeHouse(after=house)
    async with looked_after(house):
        await asyncio.sleep(6 * DAY + 60)
    assert house.local.prunes == 1


async def test_what_a_person_forgets_is_pruned_too() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    for number in range(5):
        await house.run(run=f"{number:02}RUN")
        await asyncio.sleep(60)
    await house.retain.forget("orders", "local", "anna", by_a_person=True)
    async with looked_after(house):
        await asyncio.sleep(60)
    assert house.local.prunes == 1


async def test_a_store_that_goes_away_during_retention_is_not_looked_at_from_the_beginning() -> None:
    house = FakeHouse(*(protected(a_policy(name, to=("local",))) for name in ("first", "second", "third")))
    for name in house.in_force().policies:
        await house.run(name)
    asked: list[str] = []
    repository = house.repository("local")
    plan_forget = repository.plan_forget

    async def watch(keep: object, tags: tuple[str, ...]) -> ForgetPlan:
        asked.append(tags[1])
        house.local.away = "unplugged" if len(asked) == 2 else ""
        return await plan_forget(keep, tags)  # type: ignore[arg-type]

    repository.plan_forget = watch  # type: ignore[method-assign]
    async with looked_after(house):
        await asyncio.sleep(60)
        house.local.away = ""
        await asyncio.sleep(3600)
    assert asked == ["policy=first", "policy=second", "policy=second", "policy=third"]
    assert house.journal.of(RetentionApplied) == [RetentionApplied("local", 3, 0, 0)]


async def test_old_anchors_go_with_the_days_retention_and_one_that_stays_hinders_nothing() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    for number in range(5):
        await house.run(run=f"{number:02}RUN")
        await asyncio.sleep(60)
    for _ in range(10):
        await house.anchor.anchor("local")
        await asyncio.sleep(60)
    house.local.append_only = True
    async with looked_after(house):
        await asyncio.sleep(DAY - 60)
        assert house.journal.of(AnchorsForgotten) == []
        house.local.append_only = False
        await asyncio.sleep(DAY)
    assert [len(fact.snapshot_ids) for fact in house.journal.of(AnchorsForgotten)] == [2]
    assert house.local.prunes == 1


async def a_house_that_owes_both_stores_a_prune() -> FakeHouse:
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")
    for store in ("local", "offsite"):
        await house.journal.append(SnapshotsForgotten("orders", store, ("gone",), "schedule"))
    return house


async def test_a_mirror_is_pruned_after_its_origin() -> None:
    house = await a_house_that_owes_both_stores_a_prune()
    async with looked_after(house, "offsite"):
        await asyncio.sleep(3600)
        assert house.offsite.prunes == 0
        async with looked_after(house, "local"):
            await asyncio.sleep(120)
        assert (house.local.prunes, house.offsite.prunes) == (1, 1)


async def test_a_mirror_does_not_wait_for_an_origin_that_is_away() -> None:
    house = await a_house_that_owes_both_stores_a_prune()
    house.local.away = "unplugged"
    await house.stores.is_away("local")
    async with looked_after(house, "offsite"):
        await asyncio.sleep(120)
    assert house.offsite.prunes == 1


async def test_damage_is_told_and_holds_the_store() -> None:
    house = FakeHouse()
    await house.run()
    house.local.damage = ("pack 1f does not match its name",)
    async with looked_after(house):
        await asyncio.sleep(60)
    checked = house.journal.of(StoreChecked)[0]
    assert (checked.sound, checked.first) == (False, "pack 1f does not match its name")
    assert {fact.store for fact in house.journal.of(HoldPlaced)} == {"local"}
    assert (await house.journal.stores())["local"].check_sound is False


async def test_a_store_that_is_away_is_on_record_once_and_comes_back_by_itself() -> None:
    house = FakeHouse()
    await house.run()
    await asyncio.sleep(700)
    house.local.away = "unplugged"
    async with looked_after(house):
        await asyncio.sleep(DAY)
        house.local.away = ""
        await asyncio.sleep(120)
    assert len(house.journal.of(StoreWentAway)) == 1
    assert len(house.journal.of(StoreCameBack)) == 1
    assert len(house.journal.of(StoreReconciled)) == 1


async def test_work_that_a_person_has_to_put_right_is_told_once_and_not_tried_all_the_time() -> None:
    house = FakeHouse()
    await house.run()
    house.local.passwords = {b"another"}
    tries: list[str] = []
    house.repository("local").before = tries.append
    async with looked_after(house):
        await asyncio.sleep(3600)
    assert len(house.journal.of(JobFailed)) == 1
    assert len(tries) <= 8


async def test_one_policy_whose_retention_is_refused_does_not_hold_the_others_up() -> None:
    house = FakeHouse(protected(a_policy("first", to=("local",))), protected(a_policy("second", to=("local",))))
    for number in range(4):
        for name in ("first", "second"):
            await house.run(name, run=f"{number}{name}")
        await asyncio.sleep(60)
    house.local.append_only = True
    asked: list[tuple[str, ...]] = []
    repository = house.repository("local")
    plan_forget = repository.plan_forget

    async def watch(keep: object, tags: tuple[str, ...]) -> ForgetPlan:
        asked.append(tags)
        return await plan_forget(keep, tags)  # type: ignore[arg-type]

    repository.plan_forget = watch  # type: ignore[method-assign]
    async with looked_after(house):
        await asyncio.sleep(DAY - 60)
    assert sorted(asked) == [("drd", "policy=first"), ("drd", "policy=second")]
    assert len(house.journal.of(JobFailed)) == 1


async def test_an_incomplete_run_is_marked_in_its_store_within_a_minute() -> None:
    house = FakeHouse()
    await house.run(run="01RUN")
    async with looked_after(house):
        await asyncio.sleep(600)
        house.disk.unreadable["/srv"] = 1
        await house.run(run="02RUN")
        await asyncio.sleep(61)
    assert [each.tag("outcome") for each in house.local.snapshots.values()].count("incomplete") == 1


async def test_a_full_state_disk_does_not_end_the_loop() -> None:
    house = FakeHouse()
    await house.run()
    house.journal.is_full = True
    async with looked_after(house) as task:
        await asyncio.sleep(600)
        assert not task.done()
        house.journal.is_full = False
        await asyncio.sleep(60)
    assert len(house.journal.of(StoreReconciled)) == 1


async def test_a_snapshot_that_vanished_is_brought_back_by_healing() -> None:
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")
    [lost] = house.offsite.snapshots
    del house.offsite.snapshots[lost]
    async with looked_after(house, "offsite"):
        await asyncio.sleep(120)
    assert list(house.offsite.snapshots) == [lost]
    [point] = await house.journal.points("orders")
    assert point.stores == ("local", "offsite")
    [healed] = house.journal.of(DamageHealed)
    assert (healed.files, healed.means) == ((f"snapshots/{lost}",), "1 file from store local")
    assert not (await house.journal.stores())["offsite"].is_damaged


async def test_what_reconciling_finds_is_copied_on() -> None:
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")
    house.local.plant(house.foreign(daemon="01DAEMON"))
    worker = asyncio.create_task(house.copy.serve("offsite"))
    async with looked_after(house, "local"):
        await asyncio.sleep(120)
    worker.cancel()
    assert house.offsite.snapshots.keys() == house.local.snapshots.keys()
