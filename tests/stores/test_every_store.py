"""What every kind of store must do. Where restic takes part, on the oldest and the newest."""

import os
from pathlib import Path

import pytest

from drd.clients.carrier import ProcessCarrier
from drd.clients.carrier.errands import opened
from drd.clients.carrier.files import CONFIG_NAME, FileKind
from drd.clients.carrier.job import Place
from drd.ports.runner import Runner
from drd.stores.local import LocalStore
from tests.stores.places import Mirroring, ResticOn, StorePlace, content_of

pytestmark = pytest.mark.slow


async def test_a_store_that_answers_looks_reachable(place: StorePlace) -> None:
    look = await place.store.look(place.world)
    assert look.reachable, look


async def test_a_store_that_is_away_looks_unreachable_and_says_why(place: StorePlace) -> None:
    place.take_away()
    look = await place.store.look(place.world)
    assert not look.reachable
    assert look.message
    assert look.hint
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


async def test_a_summary_shows_the_place_and_no_secret(place: StorePlace) -> None:
    location = await place.store.location(place.world)
    backend = await place.store.backend(place.world)
    assert place.store.summary()
    for secret in (
        *location.secrets.values(),
        backend.settings.get("secret_key", ""),
        backend.settings.get("password", ""),
    ):
        shown = secret.decode() if isinstance(secret, bytes) else secret
        assert not shown or shown not in f"{place.store.summary()} {backend!r} {place.store!r}"


@pytest.mark.slow
async def test_restic_backs_up_to_and_restores_from_the_location(
    place: StorePlace, tree: Path, restic_on: ResticOn, restic_binary: Path, tmp_path: Path
) -> None:
    restic = await restic_on(place.store, "a password", restic_binary)
    assert (await place.store.look(place.world)).config == ""
    await restic.run("init")
    made = (await place.store.look(place.world)).config
    assert len(made) == 64
    await restic.run("backup", str(tree))
    assert (await place.store.look(place.world)).config == made
    [snapshot] = await restic.snapshots()
    restored = await restic.restored(snapshot, tmp_path / "restored")
    assert sorted(restored.values()) == sorted(content_of(tree).values())


async def test_what_a_creation_left_that_was_ended_in_its_middle_keeps_nobody_from_making_a_repository(
    place: StorePlace, restic_on: ResticOn, carrier: ProcessCarrier, newest_restic: Path
) -> None:
    restic = await restic_on(place.store, "a password", newest_restic)
    await restic.run("init")
    backend = await place.store.backend(place.world)
    await carrier.clear_unfinished(backend)
    await restic.run("check")
    with opened(Place(backend.scheme, dict(backend.settings))) as files:
        files.remove(FileKind.CONFIG, CONFIG_NAME)
    assert "already contains keys" in (await restic.ended("init")).stderr_tail
    await carrier.clear_unfinished(backend)
    await restic.run("init")
    await restic.run("check")
    assert len(await carrier.key_files(backend)) == 1


@pytest.mark.slow
async def test_a_mirror_checks_clean_and_restores_the_same(
    place: StorePlace, mirroring: Mirroring, tree: Path, restic_on: ResticOn, restic_binary: Path, tmp_path: Path
) -> None:
    origin = await restic_on(mirroring.first, "first password", restic_binary)
    await mirroring.adopt(place.store)
    carried = await mirroring.carry(place.store)
    assert carried.complete, carried
    assert carried.files >= 3

    (tree / "later").write_bytes(os.urandom(200_000))
    await origin.run("backup", str(tree))
    second = await mirroring.carry(place.store)
    assert second.complete
    looks = [await store.look(place.world) for store in (mirroring.first, place.store)]
    assert looks[0].config == looks[1].config
    assert second.files >= 3
    assert sorted(second.snapshot_ids) == sorted(await origin.snapshots())

    mirror = await restic_on(place.store, "mirror password", restic_binary)
    await mirror.run("check", "--read-data")
    assert sorted(await mirror.snapshots()) == sorted(second.snapshot_ids)
    for snapshot in second.snapshot_ids:
        here = await origin.restored(snapshot, tmp_path / "restored-first")
        assert await mirror.restored(snapshot, tmp_path / "restored-mirror") == here


@pytest.mark.slow
async def test_a_snapshot_that_the_mirror_forgot_is_not_brought_back(
    place: StorePlace, mirroring: Mirroring, tree: Path, restic_on: ResticOn, restic_binary: Path
) -> None:
    origin = await restic_on(mirroring.first, "first password", restic_binary)
    await mirroring.adopt(place.store)
    await mirroring.carry(place.store)
    mirror = await restic_on(place.store, "mirror password", restic_binary)
    old = await mirror.snapshots()
    await mirror.run("forget", "--prune", *old)
    (tree / "later").write_bytes(os.urandom(200_000))
    await origin.run("backup", str(tree))

    carried = await mirroring.carry(place.store, withheld=frozenset(old))

    assert carried.complete
    [newest] = set(await origin.snapshots()) - set(old)
    assert carried.snapshot_ids == (newest,)
    assert await mirror.snapshots() == [newest]
    await mirror.run("check", "--read-data")


async def test_a_round_with_nothing_new_sends_nothing_and_claims_everything(
    place: StorePlace, mirroring: Mirroring, first: LocalStore
) -> None:
    await mirroring.adopt(place.store)
    assert (await mirroring.carry(place.store)).complete
    again = await mirroring.carry(place.store)
    assert again.complete
    assert (again.files, again.bytes) == (0, 0)
    assert list(again.snapshot_ids) == [path.name for path in (first.path / "snapshots").iterdir()]


@pytest.mark.slow
async def test_a_mirror_has_a_key_of_its_own_and_none_of_the_first_stores(
    place: StorePlace, first: LocalStore, runner: Runner, restic_on: ResticOn, restic_binary: Path, scratch: Path
) -> None:
    mirroring = Mirroring(ProcessCarrier(runner, restic_binary, scratch), first, place.world)
    await mirroring.adopt(place.store)
    await mirroring.adopt(place.store)
    keys = await mirroring.keys(place.store)
    assert len(keys) == 1
    assert not set(keys) & set(await mirroring.keys(first))
    assert list(scratch.iterdir()) == []
    stranger = await restic_on(place.store, "first password", restic_binary)
    assert (await stranger.ended("cat", "config")).code != 0
    mirror = await restic_on(place.store, "mirror password", restic_binary)
    origin = await restic_on(first, "first password", restic_binary)
    assert await mirror.run("cat", "config") == await origin.run("cat", "config")


@pytest.mark.slow
async def test_a_store_can_be_the_origin_of_a_mirror(
    place: StorePlace, mirroring: Mirroring, restic_on: ResticOn, tmp_path: Path
) -> None:
    await mirroring.adopt(place.store)
    await mirroring.carry(place.store)
    back = LocalStore(path=tmp_path / "back")
    onwards = Mirroring(mirroring.carrier, place.store, place.world)
    await onwards.adopt(back, first_password="mirror password")
    assert (await onwards.carry(back)).complete
    third = await restic_on(back, "mirror password")
    await third.run("check", "--read-data")
