"""Names that people type, also of what the configuration does not have any more, or not yet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drd.core.errors import StoreAway, UsageError
from drd.core.events import Resumed, StoreReconciled
from drd.daemon.control import HouseControl
from drd.daemon.startup import start_up
from drd.ports.restoring import RestoreOrder
from drd.ports.steps import Step
from tests.fakes.clock import START
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.source import FakeSource


def an_order(target: Path | str, **more: Any) -> RestoreOrder:
    return RestoreOrder(policy="orders", target=str(target), by="anna", **more)


async def nothing_to_reload() -> tuple[str, ...]:
    return ()


@asynccontextmanager
async def controlled(house: FakeHouse) -> AsyncIterator[HouseControl]:
    await start_up(house.house)
    yield HouseControl(house.house, START, nothing_to_reload)


async def told(steps: AsyncIterator[Step]) -> list[Step]:
    async with asyncio.timeout(60):
        return [step async for step in steps]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "orders.csv").write_bytes(b"1,2,3\n")
    return folder


async def a_house_with_a_point(source: Path) -> FakeHouse:
    house = FakeHouse(protected(a_policy(), main=FakeSource(path=str(source))))
    await house.run()
    await house.copy.fill("offsite")
    return house


def on_a_new_machine(house: FakeHouse) -> FakeHouse:
    """The stores of a house, and none of its policies; it has another one."""
    fresh = FakeHouse(protected(a_policy("carts")))
    for name in ("local", "offsite"):
        old, new = house.carrier.places[name], fresh.carrier.places[name]
        new.identity, new.passwords, new.snapshots, new.trees = old.identity, old.passwords, old.snapshots, old.trees
    return fresh


async def test_what_a_removed_policy_saved_is_listed_and_comes_back(source: Path, tmp_path: Path) -> None:
    house = await a_house_with_a_point(source)
    house.put_in_force(protected(a_policy("carts")))
    async with controlled(house) as control:
        [point] = await control.points("orders", why=True)
        steps = await told(control.restore(an_order(tmp_path / "target")))
    assert point.why_kept == dict.fromkeys(
        ("local", "offsite"), ("no policy asks for it any more, and nothing forgets it",)
    )
    assert (steps[-1].exit_code, steps[-1].message) == (0, "")
    assert (tmp_path / "target" / "orders.csv").read_bytes() == b"1,2,3\n"


async def test_a_new_machine_brings_back_what_no_policy_there_names(source: Path, tmp_path: Path) -> None:
    fresh = on_a_new_machine(await a_house_with_a_point(source))
    async with controlled(fresh) as control:
        steps = await told(control.restore(an_order(tmp_path / "target")))
        assert [point.stores for point in await control.points("orders")] == [("local", "offsite")]
    assert steps[-1].exit_code == 0
    assert (tmp_path / "target" / "orders.csv").exists()


async def test_a_policy_that_is_nowhere_is_told_with_what_was_meant_and_costs_one_look_at_each_store(
    source: Path,
) -> None:
    house = await a_house_with_a_point(source)
    house.put_in_force(protected(a_policy("carts")))
    async with controlled(house) as control:
        for _ in range(2):
            with pytest.raises(UsageError, match="there is no policy order — did you mean orders"):
                await told(control.restore(RestoreOrder(policy="order", target="/nowhere", by="anna")))
    assert len(house.journal.of(StoreReconciled)) == 2


async def test_where_a_store_that_was_never_seen_does_not_answer_it_says_so(source: Path) -> None:
    fresh = on_a_new_machine(await a_house_with_a_point(source))
    fresh.local.away, fresh.offsite.away = "it is unplugged", "the line is cut"
    async with controlled(fresh) as control:
        with pytest.raises(StoreAway, match="it is unplugged"):
            await control.points("orders")


@pytest.mark.parametrize("order", ["restore", "check", "release", "accept"])
async def test_a_store_that_is_not_there_is_told_with_the_one_that_was_meant(order: str, source: Path) -> None:
    house = await a_house_with_a_point(source)
    async with controlled(house) as control:
        orders = {
            "restore": lambda: told(
                control.restore(RestoreOrder(policy="orders", target="/nowhere", by="anna", store="offsit"))
            ),
            "check": lambda: told(control.check("offsit", "anna")),
            "release": lambda: control.release("offsit", "anna"),
            "accept": lambda: control.accept("offsit", "anna"),
        }
        with pytest.raises(UsageError, match="there is no store offsit — did you mean offsite"):
            await orders[order]()


async def test_resuming_where_nothing_is_paused_is_refused(source: Path) -> None:
    house = await a_house_with_a_point(source)
    async with controlled(house) as control:
        with pytest.raises(UsageError, match="nothing of orders is paused"):
            await control.resume("orders", "anna")
        await control.pause("orders", "backup", house.clock.now() + timedelta(hours=1), "", "anna")
        await control.resume("orders", "anna")
    assert len(house.journal.of(Resumed)) == 1


async def test_a_restore_that_takes_longer_than_promised_says_which_objective_it_missed(
    source: Path, tmp_path: Path
) -> None:
    promise = {"full_restore": "1ms", "rto": "1h"}
    house = FakeHouse(protected(a_policy(objectives=promise), main=FakeSource(path=str(source))))
    await house.run()
    house.repository("local").seconds["restore"] = 0.01
    async with controlled(house) as control:
        whole = await told(control.restore(an_order(tmp_path / "whole")))
        part = await told(
            control.restore(
                RestoreOrder(policy="orders", target=str(tmp_path / "part"), by="anna", include=("orders.csv",))
            )
        )
    assert (whole[-1].exit_code, whole[-1].message) == (3, "it took longer than objectives: full_restore: 1ms")
    assert part[-1].exit_code == 0
