"""What every kind of store must do; each on the oldest and the newest restic where restic takes part."""

import os
from pathlib import Path

from drd.clients.carrier import ProcessCarrier
from drd.ports.repository import Progress
from drd.ports.store import Carried
from drd.stores.local import LocalStore
from tests.stores.places import ResticOn, StorePlace, content_of


def ignore(progress: Progress) -> None:
    """Nobody watches."""


async def test_a_store_that_answers_looks_reachable(place: StorePlace) -> None:
    look = await place.store.look(place.world)
    assert look.reachable, look


async def test_a_store_that_is_away_looks_unreachable_and_says_why(place: StorePlace) -> None:
    place.take_away()
    look = await place.store.look(place.world)
    assert not look.reachable
    assert look.message
    place.bring_back()
    assert (await place.store.look(place.world)).reachable


async def test_a_wrong_secret_is_told_from_a_store_that_is_away(place: StorePlace) -> None:
    if place.wrong_secret is None:
        assert place.store.kind == "local"
        return
    place.wrong_secret()
    look = await place.store.look(place.world)
    assert not look.reachable
    assert "does not answer" not in look.message
    assert look.hint


async def test_restic_backs_up_to_and_restores_from_the_location(
    place: StorePlace, tree: Path, restic_on: ResticOn, tmp_path: Path
) -> None:
    restic = await restic_on(place.store, "a password")
    await restic.run("init")
    await restic.run("backup", str(tree))
    [snapshot] = await restic.snapshots()
    restored = await restic.restored(snapshot, tmp_path / "restored")
    assert sorted(restored.values()) == sorted(content_of(tree).values())


async def test_a_summary_shows_the_place_and_no_secret(place: StorePlace) -> None:
    location = await place.store.location(place.world)
    assert place.store.summary()
    for secret in location.secrets.values():
        assert secret.decode() not in place.store.summary()
    assert "secret" not in repr(await place.store.shelf(place.world))


async def test_a_mirror_checks_clean_and_restores_the_same(
    place: StorePlace, first: LocalStore, carrier: ProcessCarrier, tree: Path, restic_on: ResticOn, tmp_path: Path
) -> None:
    origin = await restic_on(first, "first password")
    await origin.run("init")
    await origin.run("backup", str(tree))
    await adopt(carrier, first, place)
    carried = await carry(carrier, first, place)
    assert carried.complete, carried
    assert carried.files >= 3

    (tree / "later").write_bytes(os.urandom(200_000))
    await origin.run("backup", str(tree))
    second = await carry(carrier, first, place)
    assert second.complete
    assert sorted(second.snapshot_ids) == sorted(await origin.snapshots())

    mirror = await restic_on(place.store, "mirror password")
    await mirror.run("check", "--read-data")
    assert sorted(await mirror.snapshots()) == sorted(await origin.snapshots())
    for snapshot in await origin.snapshots():
        here = await origin.restored(snapshot, tmp_path / "restored-first")
        assert await mirror.restored(snapshot, tmp_path / "restored-mirror") == here


async def test_a_round_with_nothing_new_sends_nothing_and_claims_everything(
    place: StorePlace, first: LocalStore, carrier: ProcessCarrier, tree: Path, restic_on: ResticOn
) -> None:
    origin = await restic_on(first, "first password")
    await origin.run("init")
    await origin.run("backup", str(tree))
    await adopt(carrier, first, place)
    assert (await carry(carrier, first, place)).complete
    again = await carry(carrier, first, place)
    assert again.complete
    assert (again.files, again.bytes) == (0, 0)
    assert list(again.snapshot_ids) == await origin.snapshots()


async def test_the_first_stores_password_does_not_open_the_mirror(
    place: StorePlace, first: LocalStore, carrier: ProcessCarrier, restic_on: ResticOn
) -> None:
    origin = await restic_on(first, "first password")
    await origin.run("init")
    await adopt(carrier, first, place)
    await adopt(carrier, first, place)
    shelf = await place.store.shelf(place.world)
    assert len(await carrier.key_files(shelf)) == 1
    stranger = await restic_on(place.store, "first password")
    assert (await stranger.ended("cat", "config")).code != 0
    mirror = await restic_on(place.store, "mirror password")
    assert await mirror.run("cat", "config") == await origin.run("cat", "config")


async def test_the_mirror_of_a_mirror_is_a_mirror(
    place: StorePlace, first: LocalStore, carrier: ProcessCarrier, tree: Path, restic_on: ResticOn, tmp_path: Path
) -> None:
    origin = await restic_on(first, "first password")
    await origin.run("init")
    await origin.run("backup", str(tree))
    await adopt(carrier, first, place)
    await carry(carrier, first, place)
    back = StorePlace(LocalStore(path=tmp_path / "back"), place.world, take_away=lambda: None, bring_back=lambda: None)
    shelf = await place.store.shelf(place.world)
    back_shelf = await back.store.shelf(place.world)
    await carrier.adopt(shelf, back_shelf, b"mirror password", b"third password")
    assert (await carrier.carry(shelf, back_shelf, None, ignore)).complete
    third = await restic_on(back.store, "third password")
    await third.run("check", "--read-data")


async def adopt(carrier: ProcessCarrier, first: LocalStore, place: StorePlace) -> None:
    await carrier.adopt(
        await first.shelf(place.world), await place.store.shelf(place.world), b"first password", b"mirror password"
    )


async def carry(carrier: ProcessCarrier, first: LocalStore, place: StorePlace) -> Carried:
    return await carrier.carry(await first.shelf(place.world), await place.store.shelf(place.world), None, ignore)
