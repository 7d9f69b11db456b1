"""What a mirror is worth when something breaks while it is filled: real restic, real servers, a real carrier."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import psutil
import pytest

from drd.clients.carrier import ProcessCarrier
from drd.clients.carrier.errands import opened
from drd.clients.carrier.files import INCOMING, FileKind
from drd.clients.carrier.job import Place
from drd.core.errors import PermanentError, RepositoryMissing, StoreAway, TransientError, WrongPassword
from drd.ports.repository import Progress
from drd.stores.local import LocalStore
from tests.stores.places import Mirroring, Restic, ResticOn, StorePlace
from tests.waiting import until_true

pytestmark = [pytest.mark.slow, pytest.mark.faults]

SLOW_BYTES_PER_SECOND = 3_000_000


@pytest.fixture
async def origin(mirroring: Mirroring, restic_on: ResticOn) -> Restic:
    return await restic_on(mirroring.first, "first password")


def packs(store: LocalStore) -> list[Path]:
    return sorted((store.path / "data").glob("*/*"))


def flip_a_byte(path: Path) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


async def listed(place: StorePlace, kind: FileKind) -> set[str]:
    backend = await place.store.backend(place.world)

    def names() -> set[str]:
        with opened(Place(backend.scheme, backend.settings)) as files:
            return set(files.list(kind))

    return await asyncio.to_thread(names)


def carriers() -> list[psutil.Process]:
    """The carrier's children that run now."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "drd.clients.carrier" in child.cmdline():
                found.append(child)
    return found


async def test_packs_that_went_ahead_do_not_go_again_and_what_lacks_comes_behind(
    place: StorePlace, mirroring: Mirroring, first: LocalStore, origin: Restic, tree: Path, restic_on: ResticOn
) -> None:
    await mirroring.adopt(place.store)
    sending = asyncio.create_task(mirroring.send_ahead(place.store))
    for number in range(2):  # the second one's come up while it looks
        (tree / f"{number}").write_bytes(os.urandom(300_000))
        await origin.run("backup", str(tree))
        there = {pack.name for pack in packs(first)}

        async def is_there(names: set[str] = there) -> bool:
            return names == await listed(place, FileKind.DATA)

        await until_true(is_there, "all packs go")
    assert await listed(place, FileKind.SNAPSHOT) == set()
    assert await listed(place, FileKind.INDEX) == set()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert carriers() == []
    carried = await mirroring.carry(place.store)
    assert carried.complete
    assert carried.files == len(carried.snapshot_ids) + len(list((first.path / "index").iterdir()))
    await (await restic_on(place.store, "mirror password")).run("check", "--read-data")


async def test_what_is_under_way_when_a_round_begins_goes_to_its_end_and_nothing_more(
    local_place: StorePlace, mirroring: Mirroring, origin: Restic, tree: Path
) -> None:
    await mirroring.adopt(local_place.store)
    (tree / "new").write_bytes(os.urandom(40_000_000))
    await origin.run("--pack-size", "4", "backup", str(tree))
    sending = asyncio.create_task(mirroring.send_ahead(local_place.store, SLOW_BYTES_PER_SECOND))

    async def has_begun() -> bool:
        return bool(await listed(local_place, FileKind.DATA))

    await until_true(has_begun, "the first pack is there")
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    went = await listed(local_place, FileKind.DATA)
    assert isinstance(local_place.store, LocalStore)
    assert not (local_place.store.path / INCOMING).exists()
    carried = await mirroring.carry(local_place.store)
    assert carried.complete
    there = await listed(local_place, FileKind.DATA)
    assert 0 < len(went) < len(there)
    assert carried.files == len(there - went) + len(carried.snapshot_ids) + 2


async def test_a_damaged_pack_is_not_sent_ahead_and_the_others_are(
    local_place: StorePlace, mirroring: Mirroring, first: LocalStore, origin: Restic, tree: Path
) -> None:
    await mirroring.adopt(local_place.store)
    (tree / "new").write_bytes(os.urandom(300_000))
    await origin.run("backup", str(tree))
    damaged, *others = packs(first)
    flip_a_byte(damaged)
    sending = asyncio.create_task(mirroring.send_ahead(local_place.store))

    async def others_are_there() -> bool:
        return {pack.name for pack in others} == await listed(local_place, FileKind.DATA)

    await until_true(others_are_there, "the others go")
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    carried = await mirroring.carry(local_place.store)
    assert carried.refused == (f"data/{damaged.name[:2]}/{damaged.name}",)
    assert carried.snapshot_ids == ()


async def test_a_damaged_pack_is_refused_and_withholds_every_index_and_snapshot(
    place: StorePlace,
    mirroring: Mirroring,
    first: LocalStore,
    origin: Restic,
    tree: Path,
    restic_on: ResticOn,
    tmp_path: Path,
) -> None:
    await mirroring.adopt(place.store)
    before = await mirroring.carry(place.store)
    old_packs = set(packs(first))
    (tree / "new").write_bytes(os.urandom(300_000))
    await origin.run("backup", str(tree))
    damaged = next(pack for pack in packs(first) if pack not in old_packs)
    flip_a_byte(damaged)

    carried = await mirroring.carry(place.store)
    assert not carried.complete
    assert carried.refused == (f"data/{damaged.name[:2]}/{damaged.name}",)
    assert "does not hash to its name" in carried.message
    assert carried.snapshot_ids == ()
    assert damaged.name not in await listed(place, FileKind.DATA)
    assert await listed(place, FileKind.SNAPSHOT) == set(before.snapshot_ids)
    mirror = await restic_on(place.store, "mirror password")
    await mirror.run("check", "--read-data")
    assert await mirror.restored(before.snapshot_ids[0], tmp_path / "restored")


async def test_a_damaged_snapshot_withholds_only_itself(
    local_place: StorePlace, mirroring: Mirroring, first: LocalStore, origin: Restic, tree: Path
) -> None:
    [old] = (first.path / "snapshots").iterdir()
    await origin.run("backup", str(tree))
    flip_a_byte(old)
    await mirroring.adopt(local_place.store)
    carried = await mirroring.carry(local_place.store)
    assert not carried.complete
    assert carried.refused == (f"snapshots/{old.name}",)
    assert len(carried.snapshot_ids) == 1
    assert old.name not in carried.snapshot_ids


async def test_a_file_that_is_shorter_at_the_mirror_is_refused_and_named(
    local_place: StorePlace, mirroring: Mirroring
) -> None:
    await mirroring.adopt(local_place.store)
    await mirroring.carry(local_place.store)
    assert isinstance(local_place.store, LocalStore)
    short = packs(local_place.store)[0]
    os.truncate(short, 100)
    carried = await mirroring.carry(local_place.store)
    assert not carried.complete
    assert carried.snapshot_ids == ()
    assert carried.refused == (f"data/{short.name[:2]}/{short.name}",)
    assert "100 at the mirror" in carried.message


async def test_a_pack_that_somebody_removed_from_the_mirror_comes_again(
    local_place: StorePlace, mirroring: Mirroring
) -> None:
    await mirroring.adopt(local_place.store)
    await mirroring.carry(local_place.store)
    assert isinstance(local_place.store, LocalStore)
    packs(local_place.store)[0].unlink()
    again = await mirroring.carry(local_place.store)
    assert again.complete
    assert again.files == 1


async def test_a_mirror_that_is_filled_during_backups_is_sound_after_every_round(
    local_place: StorePlace, mirroring: Mirroring, origin: Restic, tree: Path, restic_on: ResticOn
) -> None:
    await mirroring.adopt(local_place.store)
    mirror = await restic_on(local_place.store, "mirror password")

    async def back_up() -> None:
        for number in range(4):
            (tree / f"new-{number}").write_bytes(os.urandom(8_000_000))
            await origin.run("backup", str(tree))

    backing_up = asyncio.create_task(back_up())
    claimed: set[str] = set()
    while not backing_up.done():
        carried = await mirroring.carry(local_place.store)
        assert carried.refused == ()
        claimed |= set(carried.snapshot_ids)
        await mirror.run("check")
    await backing_up
    last = await mirroring.carry(local_place.store)
    assert last.complete
    assert claimed <= set(last.snapshot_ids)
    assert len(last.snapshot_ids) == 5
    await mirror.run("check", "--read-data")


async def test_forget_and_prune_at_the_origin_leave_the_mirror_sound(
    local_place: StorePlace, mirroring: Mirroring, origin: Restic, tree: Path, restic_on: ResticOn, tmp_path: Path
) -> None:
    for number in range(2):
        (tree / f"{number}.bin").write_bytes(os.urandom(400_000))
        await origin.run("backup", str(tree))
    await mirroring.adopt(local_place.store)
    before = await mirroring.carry(local_place.store)
    await origin.run("forget", before.snapshot_ids[0], before.snapshot_ids[1], "--prune", "--max-unused", "0")
    after = await mirroring.carry(local_place.store)
    assert after.complete
    mirror = await restic_on(local_place.store, "mirror password")
    await mirror.run("check", "--read-data")
    for snapshot in before.snapshot_ids:
        assert await mirror.restored(snapshot, tmp_path / "restored")


async def test_a_carrier_that_is_killed_leaves_a_sound_mirror_and_the_next_round_sends_the_rest(
    place: StorePlace, mirroring: Mirroring, origin: Restic, tree: Path, restic_on: ResticOn
) -> None:
    (tree / "big").write_bytes(os.urandom(40_000_000))
    await origin.run("--pack-size", "4", "backup", str(tree))
    await mirroring.adopt(place.store)

    def kill_it(progress: Progress) -> None:
        if progress.done_files >= 2:
            for child in carriers():
                child.kill()

    with pytest.raises(TransientError):
        await mirroring.carry(place.store, SLOW_BYTES_PER_SECOND, kill_it)
    mirror = await restic_on(place.store, "mirror password")
    await mirror.run("check")
    assert await mirror.snapshots() == []
    there = len(await listed(place, FileKind.DATA))
    assert there >= 2
    rest = await mirroring.carry(place.store)
    assert rest.complete
    assert rest.files == len(await listed(place, FileKind.DATA)) - there + 2 + len(rest.snapshot_ids)
    await mirror.run("check", "--read-data")


async def test_a_store_that_goes_away_half_way_is_away_and_caught_up_later(
    s3_place: StorePlace, mirroring: Mirroring, origin: Restic, tree: Path
) -> None:
    (tree / "big").write_bytes(os.urandom(20_000_000))
    await origin.run("backup", str(tree))
    await mirroring.adopt(s3_place.store)

    def cut_off(progress: Progress) -> None:
        if progress.done_bytes > 0:
            s3_place.take_away()

    with pytest.raises(StoreAway, match="does not answer"):
        await mirroring.carry(s3_place.store, SLOW_BYTES_PER_SECOND, cut_off)
    with pytest.raises(StoreAway):
        await mirroring.carry(s3_place.store)
    s3_place.bring_back()
    assert (await mirroring.carry(s3_place.store)).complete


async def test_another_repository_is_never_written_to(
    local_place: StorePlace, mirroring: Mirroring, restic_on: ResticOn
) -> None:
    stranger = await restic_on(local_place.store, "mirror password")
    await stranger.run("init")
    with pytest.raises(PermanentError, match="another repository"):
        await mirroring.adopt(local_place.store)
    with pytest.raises(PermanentError, match="another repository"):
        await mirroring.carry(local_place.store)
    assert await listed(local_place, FileKind.DATA) == set()
    assert len(await listed(local_place, FileKind.KEY)) == 1


async def test_a_place_that_holds_no_repository_yet_is_told_from_one_that_is_away(
    place: StorePlace, mirroring: Mirroring
) -> None:
    with pytest.raises(RepositoryMissing):
        await mirroring.carry(place.store)
    assert await mirroring.keys(place.store) == ()
    place.take_away()
    with pytest.raises((StoreAway, RepositoryMissing)):
        await mirroring.carry(place.store)


async def test_a_place_with_the_config_alone_is_completed(local_place: StorePlace, mirroring: Mirroring) -> None:
    await mirroring.adopt(local_place.store)
    assert isinstance(local_place.store, LocalStore)
    shutil.rmtree(local_place.store.path / "keys")
    await mirroring.adopt(local_place.store)
    assert len(await mirroring.keys(local_place.store)) == 1


async def test_a_place_with_snapshots_and_no_config_is_not_taken_over(
    local_place: StorePlace, mirroring: Mirroring
) -> None:
    await mirroring.adopt(local_place.store)
    await mirroring.carry(local_place.store)
    assert isinstance(local_place.store, LocalStore)
    (local_place.store.path / "config").unlink()
    with pytest.raises(PermanentError, match="not empty"):
        await mirroring.adopt(local_place.store)


async def test_a_wrong_password_of_the_first_store_changes_nothing(
    local_place: StorePlace, mirroring: Mirroring, scratch: Path
) -> None:
    with pytest.raises(WrongPassword):
        await mirroring.adopt(local_place.store, first_password="not that one")
    assert isinstance(local_place.store, LocalStore)
    assert not local_place.store.path.exists()
    assert list(scratch.iterdir()) == []


async def test_no_secret_stands_in_the_carriers_arguments_or_environment(
    s3_place: StorePlace, mirroring: Mirroring, origin: Restic, tree: Path
) -> None:
    (tree / "big").write_bytes(os.urandom(3_000_000))
    await origin.run("backup", str(tree))
    await mirroring.adopt(s3_place.store)
    seen: list[str] = []

    def look(progress: Progress) -> None:
        seen.extend(f"{child.cmdline()} {child.environ()}" for child in carriers())

    await mirroring.carry(s3_place.store, SLOW_BYTES_PER_SECOND, look)
    assert seen
    assert not any("test-secret-key" in text for text in seen)


async def test_an_upload_limit_is_kept(
    local_place: StorePlace, mirroring: Mirroring, origin: Restic, tree: Path
) -> None:
    (tree / "big").write_bytes(os.urandom(6_000_000))
    await origin.run("backup", str(tree))
    await mirroring.adopt(local_place.store)
    carried = await mirroring.carry(local_place.store, SLOW_BYTES_PER_SECOND)
    assert carried.bytes >= 6_000_000
    assert carried.seconds >= carried.bytes / SLOW_BYTES_PER_SECOND - 0.5


async def test_a_damaged_pack_of_the_first_store_is_mended_from_its_mirror(
    place: StorePlace, mirroring: Mirroring, carrier: ProcessCarrier, origin: Restic
) -> None:
    await mirroring.adopt(place.store)
    await mirroring.carry(place.store)
    assert isinstance(mirroring.first, LocalStore)
    damaged = packs(mirroring.first)[0]
    flip_a_byte(damaged)
    await origin.run("check", "--read-data", expect=1)
    path = f"data/{damaged.name[:2]}/{damaged.name}"
    good, bad = await place.store.backend(place.world), await mirroring.first.backend(place.world)
    # Both ways round: what is damaged is never taken for a cure.
    assert list(await carrier.mend(bad, good, (path,), None, lambda progress: None)) == [path]
    assert await carrier.mend(good, bad, (path,), None, lambda progress: None) == {}
    await origin.run("check", "--read-data")


async def test_a_file_that_neither_store_has_cannot_be_mended(
    local_place: StorePlace, mirroring: Mirroring, carrier: ProcessCarrier
) -> None:
    await mirroring.adopt(local_place.store)
    missing = f"data/00/{'0' * 64}"
    ends = [await store.backend(local_place.world) for store in (mirroring.first, local_place.store)]
    left = await carrier.mend(ends[0], ends[1], (missing,), None, lambda progress: None)
    assert "does not have it" in left[missing]
