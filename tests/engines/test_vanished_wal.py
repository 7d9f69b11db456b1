"""A batch of WAL that a store lists no more: held, claimed by nobody, and healed; what later ones hold is no loss."""

from dataclasses import replace
from pathlib import Path

import pytest

from drd.core.events import DamageFound, DamageHealed, ForgetStarted, SnapshotMissing, WalShipped
from drd.engines.vanished import FILES_TOLD
from tests.fakes.kept_wal import Kept, furnished

pytestmark = pytest.mark.looptime


async def groups(it: Kept, store: str = "local.wal") -> list[str]:
    return [each.snapshot_id for each in await it.house.journal.wal("orders") if each.store == store]


async def test_a_batch_that_vanished_is_held_and_healed_from_a_mirror(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    house = it.house
    await it.wal(0)
    await it.wal(1)
    [first, second] = await groups(it)
    gone = it.places["local.wal"].snapshots.pop(first)
    for _ in range(2):
        await house.reconcile.reconcile("local.wal")
    [found] = house.journal.of(DamageFound)
    assert found.files == (f"snapshots/{first}",)
    assert "orders, WAL from 0/0 to 0/400000 is gone from there" in found.message
    assert (await house.journal.stores())["local.wal"].hold == "1 snapshot is gone from there that drd did not forget"
    assert await groups(it) == [second], "nobody counts on it"
    assert [each.snapshot_id for each in await house.journal.lost_wal("local.wal")] == [first]
    assert await groups(it, "offsite.wal") == [first, second]
    assert await house.healing.heal("local.wal")
    record = (await house.journal.stores())["local.wal"]
    assert (record.damage, record.hold) == (None, None)
    assert it.places["local.wal"].snapshots[first] == gone
    assert await groups(it) == [first, second]
    assert not house.journal.of(SnapshotMissing)


async def test_however_many_vanished_none_of_them_counts_any_more(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    house = it.house
    many = FILES_TOLD + 2
    for number in range(many):
        await it.wal(number, "local.wal")
    it.places["local.wal"].snapshots.clear()
    for _ in range(2):
        await house.reconcile.reconcile("local.wal")
        assert await groups(it) == []
        assert len(await house.journal.lost_wal("local.wal")) == many
        assert [len(each.files) for each in house.journal.of(DamageFound)] == [FILES_TOLD, 2]


async def test_one_that_is_nowhere_is_named_until_it_comes_again(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    house = it.house
    await it.wal(0, "local.wal")
    [lost] = await groups(it)
    snapshot = it.places["local.wal"].snapshots.pop(lost)
    await house.reconcile.reconcile("local.wal")
    assert not await house.healing.heal("local.wal")
    damage = (await house.journal.stores())["local.wal"].damage
    assert damage is not None
    assert damage.lost == ("orders, WAL from 0/0 to 0/400000: /",)
    assert "drd release local.wal" in damage.hint
    assert await groups(it) == []
    [shipped] = house.journal.of(WalShipped)
    it.places["local.wal"].snapshots["again"] = replace(snapshot, id="again")
    await house.journal.append(
        WalShipped("orders", "local.wal", "again", "7", shipped.group, shipped.segment_bytes, shipped.through, None, ())
    )
    assert await groups(it) == ["again"]
    assert await house.healing.heal("local.wal")
    assert house.journal.of(DamageHealed)
    assert (await house.journal.stores())["local.wal"].hold is None
    await house.reconcile.reconcile("local.wal")
    assert [each.snapshot_id for each in house.journal.of(SnapshotMissing)] == [lost]
    assert len(house.journal.of(DamageFound)) == 1


async def test_a_superseded_batch_and_one_that_drd_was_forgetting_are_no_loss(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    house = it.house
    await it.wal(0)
    await it.wal(1)
    [old, leaving] = await groups(it)
    [first, *_] = house.journal.of(WalShipped)
    it.places["local.wal"].snapshots["later"] = replace(it.places["local.wal"].snapshots.pop(old), id="later")
    await house.journal.append(
        WalShipped("orders", "local.wal", "later", "7", first.group, first.segment_bytes, first.through, None, ()),
        ForgetStarted("orders", "local.wal", (leaving,)),
    )
    del it.places["local.wal"].snapshots[leaving]
    await house.reconcile.reconcile("local.wal")
    assert not house.journal.of(DamageFound)
    assert sorted(each.snapshot_id for each in house.journal.of(SnapshotMissing)) == sorted([old, leaving])
    assert await groups(it) == ["later"]
