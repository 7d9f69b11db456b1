"""Opening stores: looked at, made on first use, and never taken for what they are not."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from drd.core.errors import PermanentError, RepositoryMissing, StoreAway, WrongPassword
from drd.core.events import HoldPlaced, StoreCameBack, StoreCreated, StoreWentAway
from drd.core.run import Outcome
from drd.engines.stores import CONFIRMED_SECONDS
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.repository import FakePlace

pytestmark = pytest.mark.looptime


async def test_a_repository_is_made_only_by_who_writes() -> None:
    house = FakeHouse()
    with pytest.raises(RepositoryMissing):
        await house.stores.open("local")
    assert house.local.identity is None
    house.carrier.keys[house.local.name] = ("left",)  # by a `restic init` that was ended in its middle
    await house.stores.open("local", may_make=True)
    assert house.carrier.cleared == [house.local.name]
    assert house.journal.of(StoreCreated)[0].repository_id == house.local.identity


async def test_many_who_open_a_new_store_make_it_once() -> None:
    house = FakeHouse()
    house.carrier.keys[house.local.name] = ()
    await asyncio.gather(*(house.stores.open("local", may_make=True) for _ in range(20)))
    assert len(house.journal.of(StoreCreated)) == 1
    assert house.carrier.cleared == []


async def test_a_repository_that_the_journal_knows_is_never_made_again() -> None:
    house = FakeHouse()
    await house.journal.append(StoreCreated("local", "5e" * 32, None))
    await house.stores.load()
    await house.run()
    assert house.local.identity is None
    [finished] = [event.body for event in house.journal.events if event.body.KIND == "run-finished"]
    assert "no repository" in getattr(finished, "message", "")


async def test_two_hundred_runs_share_one_look() -> None:
    house = FakeHouse()
    house.local.look_seconds = 30
    await asyncio.gather(*(house.stores.look("local") for _ in range(200)))
    assert house.local.looks == 1
    assert asyncio.get_running_loop().time() < 31


async def test_two_hundred_runs_wait_for_one_time_out_only() -> None:
    house = FakeHouse()
    house.local.look_seconds, house.local.away = 30, "nobody answers"
    results = await asyncio.gather(*(house.stores.look("local") for _ in range(200)), return_exceptions=True)
    assert all(isinstance(each, StoreAway) for each in results)
    assert house.local.looks == 1
    assert len(house.journal.of(StoreWentAway)) == 1


async def test_a_good_look_is_believed_for_ten_minutes_and_a_bad_one_not_at_all() -> None:
    house = FakeHouse()
    await house.stores.look("local")
    house.local.away = "unplugged"
    await asyncio.sleep(599)
    await house.stores.look("local")
    await asyncio.sleep(2)
    with pytest.raises(StoreAway):
        await house.stores.look("local")
    house.local.away = ""
    await house.stores.look("local")
    assert len(house.journal.of(StoreCameBack)) == 1


async def test_a_look_at_the_old_place_is_not_believed_of_the_new_one() -> None:
    house = FakeHouse()
    await house.stores.look("local")
    moved = FakePlace("local")
    moved.away = "unplugged"
    before = house.in_force()
    house.in_force.replace(replace(before, stores={**before.stores, "local": a_store(moved)}))
    assert house.stores.look_of("local") is None
    with pytest.raises(StoreAway, match="unplugged"):
        await house.stores.look("local")


async def test_a_failure_of_the_work_itself_ends_the_belief_in_a_look() -> None:
    house = FakeHouse()
    await house.stores.look("local")
    await house.stores.went_away("local", "a write hung")
    assert house.stores.why_away("local") == "a write hung"
    await asyncio.sleep(1)
    await house.stores.look("local")
    assert house.stores.why_away("local") is None
    assert house.local.looks == 2


async def test_going_and_coming_back_are_not_forgotten_when_the_disk_was_full() -> None:
    house = FakeHouse()
    house.journal.is_full = True
    await house.stores.went_away("local", "unplugged")
    await house.stores.look("local")
    assert house.stores.why_away("local") is None
    assert house.journal.events == []
    house.journal.is_full = False
    await house.stores.outbox.pay()
    assert [type(event.body) for event in house.journal.events] == [StoreWentAway, StoreCameBack]


async def test_another_repository_in_a_store_is_held_and_told() -> None:
    house = FakeHouse()
    await house.run()
    house.local.identity = "5e" * 32
    with pytest.raises(PermanentError, match="holds repository 5e5e5e5e now"):
        await house.reconcile.reconcile("local")
    [hold] = house.journal.of(HoldPlaced)
    assert hold.store == "local"


@pytest.mark.parametrize("other", ["5e" * 32, None])
async def test_what_was_put_in_a_stores_place_since_the_last_look_is_not_written_to(other: str | None) -> None:
    house = FakeHouse()
    assert (await house.run()).outcome is Outcome.SUCCEEDED
    house.local.identity = other
    house.local.snapshots.clear()
    await asyncio.sleep(CONFIRMED_SECONDS)
    result = await house.run()
    assert result.outcome is Outcome.FAILED
    assert "store local held repository" in result.message
    assert house.local.snapshots == {}
    assert [hold.store for hold in house.journal.of(HoldPlaced)] == ["local"]


@pytest.mark.parametrize("work", ["anchor", "check", "forget", "prune", "reconcile"])
async def test_nobody_works_in_what_was_put_in_a_stores_place(work: str) -> None:
    house = FakeHouse()
    for _ in range(2):
        await house.run()
    house.local.identity = "5e" * 32
    await asyncio.sleep(CONFIRMED_SECONDS)
    begin: dict[str, Callable[[], Awaitable[object]]] = {
        "anchor": lambda: house.anchor.anchor("local"),
        "check": lambda: house.proof.check("local"),
        "forget": lambda: house.retain.forget("orders", "local", "a person", by_a_person=True),
        "prune": lambda: house.retain.prune("local"),
        "reconcile": lambda: house.reconcile.reconcile("local"),
    }
    with pytest.raises(PermanentError, match="holds repository 5e5e5e5e now"):
        await begin[work]()
    assert house.local.prunes == 0
    assert len(house.local.snapshots) == 2


async def test_an_emptied_store_is_held_and_told_and_accepted_only_by_a_person() -> None:
    house = FakeHouse()
    await house.run()
    house.local.identity = None
    house.local.snapshots.clear()
    with pytest.raises(PermanentError, match="holds no repository now"):
        await house.reconcile.reconcile("local")
    assert house.local.identity is None
    identity = await house.stores.accept("local")
    assert house.local.identity == identity
    assert await house.reconcile.reconcile("local") == (0, 1)


async def test_a_person_who_accepts_a_store_that_does_not_open_changes_nothing() -> None:
    house = FakeHouse()
    await house.run()
    house.local.passwords = {b"another"}
    with pytest.raises(WrongPassword):
        await house.stores.accept("local")
    house.local.passwords = {b"credential local-password"}
    await house.stores.open("local")
    assert len(house.journal.of(StoreCreated)) == 1


async def test_a_store_that_is_not_configured_is_named() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    with pytest.raises(PermanentError, match="no store attic"):
        house.stores.configured("attic")


async def test_a_store_that_was_away_at_the_last_start_comes_back_on_record() -> None:
    house = FakeHouse()
    await house.journal.append(StoreWentAway("local", "unplugged"))
    await house.stores.load()
    await house.stores.look("local")
    assert (await house.journal.stores())["local"].away_since is None
