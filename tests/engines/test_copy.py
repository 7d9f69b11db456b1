"""Filling further stores from the first."""

import asyncio
from dataclasses import replace

import pytest

from drd.core.events import CopyCreated, JobFailed, MirrorFinished, StoreCameBack, StoreChecked, StoreWentAway
from drd.core.points import RecoveryPoint
from drd.engines.copy import RETRY_SECONDS
from drd.ports.store import Limits
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.repository import FakePlace
from tests.fakes.source import FakeSource

pytestmark = pytest.mark.looptime


async def a_served(house: FakeHouse, *stores: str) -> list[asyncio.Task[None]]:
    """Workers for the stores, under way."""
    workers = [asyncio.create_task(house.copy.serve(store)) for store in stores]
    await asyncio.sleep(0)
    return workers


async def stop(workers: list[asyncio.Task[None]]) -> None:
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def stores_of(house: FakeHouse) -> list[tuple[str, ...]]:
    return [point.stores for point in await house.journal.points("orders")]


async def test_a_mirror_is_made_on_first_use_and_filled() -> None:
    house = FakeHouse()
    await house.run(run="01RUN")
    assert await house.copy.fill("offsite")
    assert house.offsite.identity == house.local.identity
    assert set(house.offsite.snapshots) == set(house.local.snapshots)
    [copy] = house.journal.of(CopyCreated)
    assert (copy.store, copy.origin_store, copy.part) == ("offsite", "local", "main")
    assert await stores_of(house) == [("local", "offsite")]


async def test_after_a_run_only_its_policy_is_looked_at_and_after_a_start_all() -> None:
    house = FakeHouse(protected(a_policy("orders")), protected(a_policy("carts")))
    looked: list[str] = []
    uncopied = house.journal.uncopied

    async def watch(policy: str, store: str) -> tuple[RecoveryPoint, ...]:
        looked.append(policy)
        return await uncopied(policy, store)

    house.journal.uncopied = watch  # type: ignore[method-assign]
    workers = await a_served(house, "offsite")
    await house.run("orders")
    await house.run("carts")
    house.copy.want_behind("orders")
    await asyncio.sleep(1)
    assert set(looked) == {"orders"}
    assert await stores_of(house) == [("local", "offsite")]
    house.copy.want("offsite")
    await asyncio.sleep(1)
    assert set(looked) == {"orders", "carts"}
    assert [point.stores for point in await house.journal.points("carts")] == [("local", "offsite")]
    await stop(workers)


async def test_what_failed_is_asked_for_again_beside_what_came_up_since() -> None:
    house = FakeHouse(protected(a_policy("orders")), protected(a_policy("carts")))
    await house.run("orders")
    house.offsite.away = "unplugged"
    workers = await a_served(house, "offsite")
    house.copy.want_behind("orders")
    await asyncio.sleep(1)
    await house.run("carts")
    house.copy.want_behind("carts")
    house.offsite.away = ""
    await asyncio.sleep(RETRY_SECONDS[0] + 60)
    assert await stores_of(house) == [("local", "offsite")]
    assert [point.stores for point in await house.journal.points("carts")] == [("local", "offsite")]
    await stop(workers)


async def test_a_mirror_claims_only_what_stands_whole_there() -> None:
    house = FakeHouse()
    await house.run(run="01RUN")
    [good] = house.local.snapshots
    await house.copy.fill("offsite")
    await house.run(run="02RUN")
    [damaged] = set(house.local.snapshots) - {good}
    house.carrier.refused.add(damaged)
    assert not await house.copy.fill("offsite")
    assert await stores_of(house) == [("local", "offsite"), ("local",)]
    assert [fact.complete for fact in house.journal.of(MirrorFinished)] == [True, False]


async def test_a_refused_file_is_told_once_and_tried_again_less_and_less_often() -> None:
    house = FakeHouse()
    await house.run()
    house.carrier.refused |= set(house.local.snapshots)
    workers = await a_served(house, "offsite")
    house.copy.want("offsite")
    await asyncio.sleep(sum(RETRY_SECONDS) + 1)
    assert house.carrier.rounds == 5
    assert len(house.journal.of(JobFailed)) == 1
    assert house.copy.why_late("offsite")
    house.carrier.refused.clear()
    await asyncio.sleep(RETRY_SECONDS[-1])
    assert await stores_of(house) == [("local", "offsite")]
    assert house.copy.why_late("offsite") is None
    await stop(workers)


async def test_wants_that_come_together_are_one_round() -> None:
    house = FakeHouse()
    await house.run()
    house.carrier.seconds = 60
    workers = await a_served(house, "offsite")
    for _ in range(20):
        house.copy.want_behind("orders")
    await asyncio.sleep(300)
    assert house.carrier.rounds == 1
    await stop(workers)


async def test_what_comes_up_during_a_round_gets_the_next_one_at_once() -> None:
    house = FakeHouse()
    await house.run(run="01RUN")
    house.carrier.seconds = 60
    workers = await a_served(house, "offsite")
    house.copy.want("offsite")
    await asyncio.sleep(30)
    await house.run(run="02RUN")
    await asyncio.sleep(91)
    assert await stores_of(house) == [("local", "offsite"), ("local", "offsite")]
    assert house.carrier.rounds == 2
    await stop(workers)


async def test_a_store_that_was_away_is_caught_up_when_it_answers_again() -> None:
    house = FakeHouse()
    house.offsite.away = "the line is cut"
    workers = await a_served(house, "offsite")
    for run in ("01RUN", "02RUN", "03RUN"):
        await house.run(run=run)
        house.copy.want_behind("orders")
        await asyncio.sleep(600)
    assert [fact.store for fact in house.journal.of(StoreWentAway)] == ["offsite"]
    assert house.journal.of(JobFailed) == []
    house.offsite.away = ""
    await asyncio.sleep(RETRY_SECONDS[-1] + 1)
    assert await stores_of(house) == [("local", "offsite")] * 3
    assert len(house.journal.of(StoreCameBack)) == 1
    await stop(workers)


async def test_an_origin_that_is_away_does_not_make_its_mirror_away() -> None:
    house = FakeHouse()
    await house.run()
    house.local.away = "the disk is unplugged"
    await house.clock.sleep(700)
    assert not await house.copy.fill("offsite")
    assert [fact.store for fact in house.journal.of(StoreWentAway)] == ["local"]
    assert house.stores.why_away("offsite") is None


async def test_an_independent_store_gets_copies_of_its_own_with_the_same_chunker() -> None:
    offsite = FakePlace("offsite")
    local = FakePlace("local")
    house = FakeHouse(stores=(a_store(local), a_store(offsite, site="far", metres=1e6, independent=True)))
    await house.run(run="01RUN")
    assert await house.copy.fill("offsite")
    assert offsite.identity != local.identity
    assert offsite.chunker == local.chunker
    [copy] = offsite.snapshots.values()
    assert copy.original == next(iter(local.snapshots))
    assert await stores_of(house) == [("local", "offsite")]
    assert house.carrier.rounds == 0


async def test_the_first_store_is_caught_up_from_the_next_when_it_was_away() -> None:
    house = FakeHouse()
    await house.run(run="01RUN")
    await house.copy.fill("offsite")
    house.local.away = "the disk is unplugged"
    await house.clock.sleep(700)
    await house.run(run="02RUN")
    assert (await stores_of(house))[-1] == ("offsite",)
    house.local.away = ""
    assert await house.copy.fill("local")
    assert await stores_of(house) == [("local", "offsite"), ("offsite", "local")]


async def test_points_of_a_store_that_is_configured_no_more_do_not_hold_the_others_up() -> None:
    third = FakePlace("third")
    house = FakeHouse()
    offsite = house.in_force().stores["offsite"]
    old = a_store(third)
    house.put_in_force(protected(a_policy(to=("third", "offsite"))), stores=(old, offsite))
    await house.run(run="01RUN")
    house.put_in_force(protected(a_policy()), stores=(a_store(house.local), offsite))
    await house.run(run="02RUN")
    assert await house.copy.fill("offsite")
    assert await stores_of(house) == [("third",), ("local", "offsite")]


async def test_a_point_that_its_origin_does_not_hold_any_more_is_told_and_not_claimed() -> None:
    house = FakeHouse()
    await house.run()
    house.local.snapshots.clear()
    assert not await house.copy.fill("offsite")
    assert house.journal.of(CopyCreated) == []
    assert "did not arrive" in house.journal.of(JobFailed)[0].message


async def test_what_came_from_a_damaged_origin_counts_when_that_is_healed() -> None:
    house = FakeHouse()
    await house.run(run="01RUN")
    await house.journal.append(StoreChecked("local", "", False, 1, "a pack is gone", 1.0))
    assert not await house.copy.fill("offsite")
    assert set(house.offsite.snapshots) == set(house.local.snapshots)
    assert house.journal.of(CopyCreated) == []
    assert "counts when that is healed" in house.journal.of(JobFailed)[0].message
    await house.journal.append(StoreChecked("local", "", True, 0, "", 1.0))
    assert await house.copy.fill("offsite")
    assert await stores_of(house) == [("local", "offsite")]


async def test_a_point_of_several_parts_stands_in_a_store_only_with_all_of_them() -> None:
    policy = protected(a_policy(), files=FakeSource(path="/srv"), database=FakeSource(program="pg_dump"))
    house = FakeHouse(policy)
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    await house.run(run="01RUN")
    [point] = await house.journal.points("orders")
    one = point.copies[0]
    await house.journal.append(
        CopyCreated("orders", one.part, "offsite", one.snapshot_id, "local", point.moment), run="01RUN"
    )
    assert await stores_of(house) == [("local",)]
    assert await house.copy.fill("offsite")
    assert await stores_of(house) == [("local", "offsite")]


async def test_what_a_mirror_marked_by_itself_does_not_come_from_its_origin_too() -> None:
    house = FakeHouse()
    house.disk.unreadable["/srv"] = 1
    await house.run(run="01RUN")
    await house.copy.fill("offsite")
    for store in ("local", "offsite"):
        await house.reconcile.reconcile(store)
        await house.reconcile.mark(store)
    await house.run(run="02RUN")
    await house.copy.fill("offsite")
    assert len(house.offsite.snapshots) == 2
    assert await house.reconcile.reconcile("offsite") == (0, 0)


async def test_what_a_mirror_forgot_first_does_not_come_back_with_the_next_round() -> None:
    house = FakeHouse(protected(a_policy(keep={"last": 1})))
    await house.run(run="01RUN")
    await asyncio.sleep(60)
    await house.run(run="02RUN")
    assert await house.copy.fill("offsite")
    [forgotten] = await house.retain.forget("orders", "offsite", "schedule")
    await asyncio.sleep(60)
    await house.run(run="03RUN")
    assert await house.copy.fill("offsite")
    assert forgotten in house.local.snapshots
    assert forgotten not in house.offsite.snapshots
    assert await house.reconcile.reconcile("offsite") == (0, 0)
    assert len(house.journal.of(CopyCreated)) == 3
    assert await stores_of(house) == [("local",), ("local", "offsite"), ("local", "offsite")]


async def test_a_full_state_disk_only_puts_the_copy_off() -> None:
    house = FakeHouse()
    await house.run()
    workers = await a_served(house, "offsite")
    house.journal.is_full = True
    house.copy.want("offsite")
    await asyncio.sleep(60)
    assert not workers[0].done()
    assert "full" in (house.copy.why_late("offsite") or "")
    house.journal.is_full = False
    await asyncio.sleep(400)
    assert await stores_of(house) == [("local", "offsite")]
    await stop(workers)


async def test_a_slow_off_site_store_does_not_keep_the_next_run_from_starting() -> None:
    house = FakeHouse()
    await house.run()
    house.carrier.seconds = 36_000
    workers = await a_served(house, "offsite")
    house.copy.want("offsite")
    await asyncio.sleep(60)
    async with asyncio.timeout(10):
        await house.run()
    await stop(workers)


async def test_the_first_store_is_checked_while_its_mirror_is_filled_for_days() -> None:
    house = FakeHouse()
    await house.run()
    house.carrier.seconds = 172_800
    workers = await a_served(house, "offsite")
    house.copy.want("offsite")
    await asyncio.sleep(60)
    async with asyncio.timeout(10):
        assert (await house.proof.check("local")).sound
    await stop(workers)


async def test_a_mirror_is_filled_no_faster_than_its_origin_may_be_read() -> None:
    house = FakeHouse()
    local, offsite = (house.in_force().stores[name] for name in ("local", "offsite"))
    slow = replace(local, limits=Limits(at_once=2, download=1000))
    house.put_in_force(house.policy(), stores=(slow, replace(offsite, limits=Limits(at_once=2, upload=5000))))
    await house.run()
    assert await house.copy.fill("offsite")
    assert house.carrier.uploads == [1000]


async def test_an_origin_that_refuses_does_not_hold_back_what_another_store_has() -> None:
    third = FakePlace("third")
    house = FakeHouse(protected(a_policy("logs")), protected(a_policy("orders", to=("third", "offsite"))))
    kept = tuple(house.in_force().stores.values())
    house.put_in_force(*house.in_force().policies.values(), stores=(*kept, a_store(third)))
    await house.run("logs", run="01LOGS")
    await house.run("orders", run="02ORDERS")
    [refused] = house.local.snapshots
    house.carrier.refused = {refused}
    assert not await house.copy.fill("offsite")
    assert (await house.journal.points("orders"))[0].stores == ("third", "offsite")
    assert [point.stores for point in await house.journal.points("logs")] == [("local",)]


async def test_a_store_that_left_the_configuration_needs_nothing() -> None:
    house = FakeHouse()
    await house.run()
    house.put_in_force(protected(a_policy(to=("local",))), stores=(house.in_force().stores["local"],))
    assert await house.copy.fill("offsite")


async def test_two_policies_that_list_two_stores_in_opposite_orders_make_only_one_a_mirror() -> None:
    house = FakeHouse(protected(a_policy()), protected(a_policy("logs", to=("offsite", "local"))))
    assert house.stores.origin_of("offsite") == "local"
    assert house.stores.origin_of("local") is None
    async with asyncio.timeout(60):
        await house.run("logs", run="01LOGS")
        await house.run("orders", run="02ORDERS")
        assert await house.copy.fill("local")
        assert await house.copy.fill("offsite")
    points = (*await house.journal.points("logs"), *await house.journal.points("orders"))
    assert all(set(point.stores) == {"local", "offsite"} for point in points)


async def test_a_mirror_of_another_repository_is_refused() -> None:
    house = FakeHouse()
    house.offsite.identity, house.offsite.passwords = "5e" * 32, {b"credential offsite-password"}
    await house.run()
    assert not await house.copy.fill("offsite")
    assert "another repository" in house.journal.of(JobFailed)[0].message


async def test_progress_of_a_copy_stands_in_its_own_lane() -> None:
    house = FakeHouse()
    house.put_in_force(
        house.policy(),
        stores=(
            house.in_force().stores["local"],
            replace(house.in_force().stores["offsite"], independent=True),
        ),
    )
    await house.run()
    sample = asyncio.ensure_future(anext(house.board.follow("copy:offsite")))
    await asyncio.sleep(0)
    await house.copy.fill("offsite")
    assert (await sample).phase == "copying"
