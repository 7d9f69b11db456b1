"""Healing: from stores that hold the same files, then from what restic can make anew, and never a word too much."""

import asyncio

import pytest

from drd.core.errors import PermanentError, StoreAway, TransientError
from drd.core.events import (
    DamageFound,
    DamageGivenUp,
    DamageHealed,
    DamageLeft,
    DamageMended,
    HoldPlaced,
    KeysListed,
    RunStarted,
    StoreChecked,
)
from drd.core.policy import Cause, Mode
from drd.core.rotation import Part
from drd.engines.from_mirrors import AFTER_PRUNE
from drd.ports.repairing import Lost
from tests.fakes.house import FakeHouse

pytestmark = pytest.mark.looptime
PACK = "1f" * 32
PATH = f"data/1f/{PACK}"
INDEX = "index/" + "2e" * 32


async def a_damaged_house(*bad: str, store: str = "local") -> FakeHouse:
    """A house with a point in both stores, and files of one of them damaged; nobody knows of it yet."""
    house = FakeHouse()
    await house.run()
    await house.copy.fill("offsite")
    place = house.carrier.places[store]
    place.bad = set(bad)
    place.damage = tuple(f"pack {each} is damaged" for each in bad) or ("the index is damaged",)
    place.broken_packs = tuple(each.rpartition("/")[2] for each in bad if each.startswith("data/"))
    return house


async def test_a_damaged_pack_is_fetched_from_the_mirror_and_the_hold_ends() -> None:
    house = await a_damaged_house(PATH)
    await house.proof.check("local", part=Part(3, 24))
    record = (await house.journal.stores())["local"]
    assert record.is_damaged
    assert record.damage is not None
    assert record.damage.files == (PATH,)
    assert record.hold == "its last check found damage"
    assert await house.healing.heal("local")
    record = (await house.journal.stores())["local"]
    assert (record.damage, record.hold, record.is_damaged) == (None, None, False)
    [mended] = house.journal.of(DamageMended)
    assert (mended.store, mended.origin, mended.files) == ("local", "offsite", (PATH,))
    [healed] = house.journal.of(DamageHealed)
    assert (healed.subsets, healed.files, healed.means) == (("3/24",), (PATH,), "1 file from store offsite")
    assert [(each.subset, each.sound) for each in house.journal.of(StoreChecked)] == [("3/24", False), ("3/24", True)]


async def test_a_mirror_is_healed_from_its_origin() -> None:
    house = await a_damaged_house(PATH, store="offsite")
    await house.proof.check("offsite")
    assert await house.healing.heal("offsite")
    assert [each.origin for each in house.journal.of(DamageMended)] == ["local"]


async def test_without_a_good_copy_the_loss_is_named_and_nothing_is_claimed() -> None:
    house = await a_damaged_house(PATH)
    house.carrier.places["offsite"].bad = {PATH}
    [snapshot_id] = house.local.snapshots
    house.local.lost = (Lost(snapshot_id, "/srv/shop/orders"), Lost("ffffffff", "/"))
    await house.proof.check("local")
    for _ in range(2):
        assert not await house.healing.heal("local")
    record = (await house.journal.stores())["local"]
    assert record.is_damaged
    assert record.hold is not None
    [left] = house.journal.of(DamageLeft)
    [point, *_] = await house.journal.points("orders")
    assert left.files == (PATH,)
    assert left.lost == (f"{point.label}: /srv/shop/orders", "snapshot ffffffff: /")
    assert record.damage is not None
    assert record.damage.left == left.message
    assert record.damage.lost_of(point) == ("/srv/shop/orders",)
    assert house.journal.of(DamageHealed) == []
    assert house.local.salvaged == (PACK,)
    [given_up] = house.journal.of(DamageGivenUp)
    assert given_up.files == (PATH,)
    fulls = [each for each in house.journal.of(RunStarted) if each.cause is Cause.HEALTH]
    assert [each.mode for each in fulls] == [Mode.FULL], "once for an incident"
    house.local.bad, house.carrier.places["offsite"].bad = {PATH}, set()
    assert await house.healing.heal("local")
    assert not (await house.journal.stores())["local"].is_damaged


async def test_nothing_is_given_up_while_a_store_is_away_that_may_have_it() -> None:
    house = await a_damaged_house(PATH)
    await house.proof.check("local")
    house.carrier.places["offsite"].away = "unplugged"
    assert not await house.healing.heal("local")
    assert house.local.salvaged == ()
    [left] = house.journal.of(DamageLeft)
    assert "offsite" in left.hint


@pytest.mark.parametrize("error", [PermanentError, TransientError])
async def test_mirrors_are_asked_also_where_a_buckets_versions_may_not_be_looked_at(
    error: type[PermanentError | TransientError],
) -> None:
    house = await a_damaged_house(PATH)
    house.local.keeps_versions = True
    house.carrier.no_versions = error("bucket drd refuses these credentials (AccessDenied)")
    await house.proof.check("local", part=Part(3, 24))
    assert await house.healing.heal("local")
    [healed] = house.journal.of(DamageHealed)
    refusal = "the bucket's own versions could not be asked: bucket drd refuses these credentials (AccessDenied)"
    assert healed.means == f"1 file from store offsite; {refusal}"


async def test_who_may_not_look_at_versions_is_told_so_beside_what_is_lost() -> None:
    house = await a_damaged_house(PATH)
    house.local.keeps_versions = True
    house.carrier.no_versions = PermanentError("bucket drd refuses these credentials (AccessDenied)")
    house.carrier.places["offsite"].bad = {PATH}
    house.local.lost = (Lost(*house.local.snapshots, path="/srv/shop/orders"),)
    await house.proof.check("local")
    for _ in range(2):
        assert not await house.healing.heal("local")
    [left] = house.journal.of(DamageLeft)
    assert "refuses these credentials" in left.hint
    assert house.local.salvaged == (PACK,), "given up once"


async def test_a_store_that_goes_away_is_not_healed_meanwhile() -> None:
    house = await a_damaged_house(PATH)
    house.local.keeps_versions = True
    house.carrier.no_versions = StoreAway("bucket drd does not answer")
    await house.proof.check("local", part=Part(3, 24))
    with pytest.raises(StoreAway):
        await house.healing.heal("local")


async def test_of_a_store_that_was_never_pruned_only_what_went_since_drd_knows_it_comes_back() -> None:
    house = await a_damaged_house(PATH)
    house.local.keeps_versions = True
    await house.proof.check("local", part=Part(3, 24))
    record = (await house.journal.stores())["local"]
    assert (record.last_pruned, record.known_since is None) == (None, False)
    assert await house.healing.heal("local")
    assert {since for _, since in house.carrier.uncoverings} == {record.known_since}


async def test_only_drds_own_keys_and_nothing_from_before_it_gave_up_come_back_from_a_buckets_versions() -> None:
    house = await a_damaged_house(PATH)
    house.local.keeps_versions = True
    found = DamageFound("local", "", (PATH, "keys", "keys/stranger"), "damaged")
    given_up = DamageGivenUp("local", (PATH,), "/var/lib/drd/damaged/local")
    await house.journal.append(KeysListed("local", ("mine", "stranger"), ("stranger",)), found, given_up)
    assert await house.healing.heal("local")
    record = (await house.journal.stores())["local"]
    assert record.last_given_up is not None
    for paths, since in house.carrier.uncoverings:
        assert [path for path in paths if path.startswith("keys")] == ["keys/mine"]
        assert PATH in paths
        assert since == record.last_given_up + AFTER_PRUNE


async def test_a_config_and_a_key_come_back_from_the_mirror_and_the_hold_on_the_identity_ends() -> None:
    house = await a_damaged_house()
    house.local.damage = ()
    identity, house.local.identity = house.local.identity, None
    house.local.bad, house.local.passwords = {"config"}, set()
    with pytest.raises(PermanentError):
        await house.reconcile.reconcile("local")
    assert (await house.journal.stores())["local"].is_identity_held
    assert await house.healing.look("local")
    [found] = house.journal.of(DamageFound)
    assert (found.subset, found.files) == ("open", ("config", "keys"))
    assert await house.healing.heal("local"), house.journal.of(DamageLeft)
    record = (await house.journal.stores())["local"]
    assert (record.hold, record.is_damaged, house.local.identity) == (None, False, identity)


async def test_an_empty_place_is_not_taken_for_a_repository_that_lost_its_config() -> None:
    house = await a_damaged_house()
    house.local.identity = None
    house.local.snapshots.clear()
    house.local.bad = {f"snapshots/{each}" for each in await house.journal.holdings("local")}
    assert not await house.healing.look("local")
    assert house.journal.of(DamageFound) == []


async def test_an_index_that_nobody_has_is_made_anew() -> None:
    house = await a_damaged_house(INDEX)
    house.carrier.places["offsite"].bad = {INDEX}
    house.local.is_index_broken = True
    await house.proof.check("local")
    assert await house.healing.heal("local")
    assert (house.carrier.removed, house.local.indexes_made) == ([INDEX], 1)


async def test_an_index_that_is_missing_is_made_anew() -> None:
    house = await a_damaged_house()
    house.local.is_index_broken = True
    await house.proof.check("local")
    assert await house.healing.heal("local")
    assert house.local.indexes_made == 1
    assert house.journal.of(DamageHealed)[0].means == "the index was made anew from the data"


async def test_damage_that_a_restore_met_is_looked_for_in_all_the_data() -> None:
    house = await a_damaged_house(PATH)
    house.local.damage = ()
    await house.journal.append(DamageFound("local", "restore", (), "a restore could not read what was saved there"))
    assert await house.healing.heal("local")
    assert ("local", ("keys", "snapshots", "index", "data")) in house.carrier.examined
    assert not (await house.journal.stores())["local"].is_damaged


async def test_what_a_mirror_refuses_opens_an_incident_once() -> None:
    house = FakeHouse()
    await house.run()
    house.carrier.refused = set(house.local.snapshots)
    house.local.bad = {f"snapshots/{each}" for each in house.local.snapshots}
    for _ in range(2):
        await house.copy.fill("offsite")
    assert [each.subset for each in house.journal.of(DamageFound)] == ["mirror"]
    assert (await house.journal.stores())["local"].is_damaged
    await house.proof.check("local")
    assert (await house.journal.stores())["local"].is_damaged, "a look at the structure has seen none of that"


async def test_a_hold_for_another_reason_stays() -> None:
    house = await a_damaged_house(PATH)
    await house.journal.append(HoldPlaced("local", "another live daemon"))
    await house.proof.check("local")
    assert await house.healing.heal("local")
    assert (await house.journal.stores())["local"].hold == "another live daemon"


async def test_upkeep_heals_by_itself() -> None:
    house = await a_damaged_house(PATH)
    task = asyncio.create_task(house.upkeep.serve("local"))
    await asyncio.sleep(3600)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(house.journal.of(DamageHealed)) == 1
    assert not (await house.journal.stores())["local"].is_damaged
