"""Stores that are declared immutable are tried daily, and keys that somebody else added are found."""

import pytest

from drd.core.events import KeysListed, PolicyAdded, ProtectionProbed
from drd.daemon.control import HouseControl
from drd.ports.protection import Extended, Protection
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.repository import FakePlace

pytestmark = pytest.mark.looptime

HELD = Protection(True, "it refused", "COMPLIANCE", 30)


async def a_house() -> FakeHouse:
    policy = a_policy(to=("vault",), require={"immutable": 1})
    house = FakeHouse(protected(policy), stores=(a_store(FakePlace("vault"), immutable_days=30),))
    await house.journal.append(PolicyAdded("orders"))
    await house.run()
    return house


async def clause(house: FakeHouse) -> tuple[bool, str]:
    explained = await control_of(house).explain("orders")
    [line] = [line for line in explained if line.startswith("required immutable")]
    return "NOT MET" not in line, line


def control_of(house: FakeHouse) -> HouseControl:
    async def reload() -> tuple[str, ...]:
        return ()

    return HouseControl(house.house, None, reload)


async def due(house: FakeHouse) -> bool:
    record = (await house.journal.stores())["vault"]
    return house.protecting.is_probe_due(record, house.clock.now())


async def test_a_store_that_refuses_to_delete_is_immutable_and_is_tried_again_the_next_day() -> None:
    house = await a_house()
    assert not (await clause(house))[0]
    assert await due(house)
    house.carrier.protection, house.carrier.extended = HELD, Extended(40, 3)
    await house.protecting.probe("vault")
    [told] = house.journal.of(ProtectionProbed)
    assert (told.is_held, told.mode, told.days, told.files, told.extended) == (True, "COMPLIANCE", 30, 40, 3)
    assert (await clause(house))[0]
    assert not await due(house)
    await house.clock.sleep(24 * 3600)
    assert await due(house)


async def test_drift_is_told_on_the_day_on_which_the_store_lets_go() -> None:
    house = await a_house()
    house.carrier.protection = HELD
    await house.protecting.probe("vault")
    house.carrier.protection = Protection(False, "a probe could be deleted there at once", risks=("a rule",))
    await house.protecting.probe("vault")
    is_met, line = await clause(house)
    assert not is_met
    assert "is declared immutable for 30 days, but a probe could be deleted there at once" in line
    status = await control_of(house).status()
    assert any("a probe could be deleted there at once" in warning for warning in status.warnings)
    explained = await control_of(house).explain("orders")
    assert "store vault: a rule" in explained


async def test_locks_that_cannot_be_made_longer_break_the_promise() -> None:
    house = await a_house()
    house.carrier.protection, house.carrier.extended = HELD, Extended(40, 0, 40, "the bucket answers AccessDenied")
    await house.protecting.probe("vault")
    assert "40 of 40 locks cannot be made longer: the bucket answers AccessDenied" in (await clause(house))[1]


async def test_a_key_that_drd_did_not_add_is_told_until_a_person_accepts_it() -> None:
    house = await a_house()
    house.carrier.keys["vault"] = ("a" * 64,)
    assert house.protecting.are_keys_due("vault")
    await house.protecting.list_keys("vault")
    assert not house.protecting.are_keys_due("vault")
    house.carrier.keys["vault"] = ("a" * 64, "b" * 64)
    for _ in range(2):
        await house.protecting.list_keys("vault")
    assert [each.foreign for each in house.journal.of(KeysListed)] == [(), ("b" * 64,)]
    [warning] = (await control_of(house).status()).warnings[-1:]
    assert warning.startswith("store vault has the key bbbbbbbb, which drd did not add")
    await control_of(house).accept("vault", "anna")
    await house.protecting.list_keys("vault")
    assert all("key" not in warning for warning in (await control_of(house).status()).warnings)
