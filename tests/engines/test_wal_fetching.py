"""Groups of WAL out of the stores, also while batches of them are forgotten there."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from drd.core.errors import PermanentError, RepositoryDamaged
from drd.core.postgres.groups import Group, ShippedGroup
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.wal import Segment
from drd.engines.wal_fetching import WalFetching
from tests.fakes.kept_wal import IN_A_GROUP, SEGMENT, Kept, furnished

pytestmark = pytest.mark.looptime
NAMES = tuple(Segment(1, number, SEGMENT).name for number in range(IN_A_GROUP))


async def fetched(it: Kept, folder: Path) -> list[str]:
    house = it.house
    fetching = WalFetching(house.stores, house.queues, house.host, house.board, nothing_is_damaged)
    shipped = tuple(each for each in await house.journal.wal("orders") if each.store == "local.wal")
    await fetching.fetch("RUN", shipped, lambda groups, _: groups, lambda _: NAMES, folder)
    return sorted(path.name for path in folder.iterdir())


async def nothing_is_damaged(run: str, store: str) -> None:
    raise AssertionError(f"{store} is not damaged in {run}")


async def test_a_batch_that_was_superseded_meanwhile_is_fetched_as_the_newer_one(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    await it.wal(0)
    place = it.places["local.wal"]
    [old] = place.snapshots.values()
    place.plant(replace(old, id="newer"), {f"/spool/{name}": name.encode() for name in NAMES})
    of_another = Group("7", Segment(1, 40, SEGMENT), Lsn(100 * SEGMENT)).tags("orders")
    place.plant(replace(old, id="of another group", tags=of_another))
    del place.snapshots[old.id]
    assert await fetched(it, tmp_path / "wal") == list(NAMES)


async def test_an_older_batch_does_not_stand_in_for_one_that_is_gone(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    await it.wal(0)
    place = it.places["local.wal"]
    [known] = place.snapshots.values()
    older = Group("7", Segment(1, 0, SEGMENT), Lsn(SEGMENT + 1)).tags("orders")
    place.plant(replace(known, id="older", tags=older))
    del place.snapshots[known.id]
    with pytest.raises(PermanentError, match="does not list the WAL 000000010000000000000000 any more"):
        await fetched(it, tmp_path / "wal")


async def test_a_group_that_one_store_does_not_list_any_more_is_fetched_from_the_next(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    await it.wal(0)
    it.places["local.wal"].snapshots.clear()
    [there] = it.places["offsite.wal"].snapshots.values()
    it.places["offsite.wal"].plant(there, {f"/spool/{name}": name.encode() for name in NAMES})
    house = it.house
    fetching = WalFetching(house.stores, house.queues, house.host, house.board, nothing_is_damaged)
    asked: list[str] = []

    def nearest(groups: Sequence[ShippedGroup], stores: Sequence[str]) -> Sequence[ShippedGroup]:
        found = sorted((each for each in groups if each.store in stores), key=lambda each: each.store)[:1]
        asked.extend(each.store for each in found)
        return found

    shipped = await house.journal.wal("orders")
    await fetching.fetch("RUN", shipped, nearest, lambda _: NAMES, tmp_path / "wal")
    assert list(dict.fromkeys(asked)) == ["local.wal", "offsite.wal"]
    assert sorted(path.name for path in (tmp_path / "wal").iterdir()) == list(NAMES)


async def test_the_folder_is_there_also_when_no_wal_is_needed(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    await it.wal(0)
    house = it.house
    fetching = WalFetching(house.stores, house.queues, house.host, house.board, nothing_is_damaged)
    shipped = await house.journal.wal("orders")
    await fetching.fetch("RUN", shipped, lambda groups, stores: (), lambda _: NAMES, tmp_path / "wal")
    assert list((tmp_path / "wal").iterdir()) == []


async def test_damage_in_a_later_group_is_told_and_the_next_store_gives_what_it_withheld(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    for number in range(2):
        await it.wal(number)
    segments = [Segment(1, number, SEGMENT).name for number in range(2 * IN_A_GROUP)]
    for place in (it.places["local.wal"], it.places["offsite.wal"]):
        for snapshot in place.snapshots.values():
            first = segments.index(snapshot.id)
            place.plant(snapshot, {f"/spool/{name}": b"wal" for name in segments[first : first + IN_A_GROUP]})
    damaged = segments[IN_A_GROUP + 1]

    def refuse(work: str) -> None:
        if work == f"restore /spool/{damaged}":
            raise RepositoryDamaged("pack 1234 is not what it is called", "drd stores check local.wal")

    house = it.house
    house.repository("local.wal").before = refuse
    told: list[str] = []

    async def note(run: str, store: str) -> None:
        told.append(store)

    fetching = WalFetching(house.stores, house.queues, house.host, house.board, note)

    def nearest(groups: Sequence[ShippedGroup], stores: Sequence[str]) -> Sequence[ShippedGroup]:
        found = {each.group.name: each for each in sorted(groups, key=lambda each: each.store, reverse=True)}
        return [each for each in found.values() if each.store in stores]

    shipped = await house.journal.wal("orders")
    await fetching.fetch("RUN", shipped, nearest, lambda _: (), tmp_path / "wal")
    assert told == ["local.wal"]
    assert sorted(path.name for path in (tmp_path / "wal").iterdir()) == segments


async def test_a_batch_that_is_superseded_while_others_are_fetched_is_fetched_as_the_newer_one(tmp_path: Path) -> None:
    it = await furnished(tmp_path)
    for number in range(2):
        await it.wal(number)
    place = it.places["local.wal"]
    first, second = place.snapshots.values()
    later = [Segment(1, number, SEGMENT).name for number in range(IN_A_GROUP, 2 * IN_A_GROUP)]
    place.plant(first, {f"/spool/{name}": b"wal" for name in NAMES})

    def supersede(work: str) -> None:
        if work == f"restore /spool/{NAMES[0]}" and second.id in place.snapshots:
            place.plant(replace(second, id="newer"), {f"/spool/{name}": b"wal" for name in later})
            del place.snapshots[second.id], place.trees[second.id]

    it.house.repository("local.wal").before = supersede
    fetching = WalFetching(it.house.stores, it.house.queues, it.house.host, it.house.board, nothing_is_damaged)
    shipped = tuple(each for each in await it.house.journal.wal("orders") if each.store == "local.wal")
    await fetching.fetch("RUN", shipped, lambda groups, _: groups, lambda _: (), tmp_path / "wal")
    assert sorted(path.name for path in (tmp_path / "wal").iterdir()) == [*NAMES, *later]
