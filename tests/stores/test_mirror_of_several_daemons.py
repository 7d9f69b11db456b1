"""Several daemons that mirror into one place, at work beside backups and prunes: real restic, real carriers."""

import asyncio
import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from drd.clients.carrier.files import INCOMING
from drd.core.errors import PermanentError, TransientError
from drd.ports.repository import Progress
from drd.stores.local import LocalStore
from tests.stores.places import Mirroring, Restic, ResticOn, StorePlace

pytestmark = [pytest.mark.slow, pytest.mark.faults]

ROUNDS = 3
SLOW_BYTES_PER_SECOND = 2_000_000


@pytest.fixture
async def origin(mirroring: Mirroring, restic_on: ResticOn) -> Restic:
    return await restic_on(mirroring.first, "first password")


async def carried_until(mirroring: Mirroring, place: StorePlace, work: asyncio.Task[None]) -> set[str]:
    """What a daemon claims that fills the mirror again and again while the work goes on."""
    claimed: set[str] = set()
    while not work.done():
        # Prune after prune, without a pause, may be too much for a round: it says so, and the next brings the rest.
        with suppress(TransientError):
            carried = await mirroring.carry(place.store)
            assert carried.refused == ()
            claimed |= set(carried.snapshot_ids)
    return claimed


@pytest.mark.parametrize("kind", ["local", "s3", "sftp"])
async def test_two_daemons_fill_one_place_beside_backups_and_prunes_and_it_is_sound(
    kind: str,
    request: pytest.FixtureRequest,
    mirroring: Mirroring,
    origin: Restic,
    tree: Path,
    restic_on: ResticOn,
    tmp_path: Path,
) -> None:
    place: StorePlace = request.getfixturevalue(f"{kind}_place")
    drawn = random.Random(1)
    contents: dict[str, dict[str, bytes]] = {}

    async def work() -> None:
        for number in range(ROUNDS):
            (tree / f"{number}.bin").write_bytes(drawn.randbytes(3_000_000))
            before = set(await origin.snapshots())
            await origin.run("--pack-size", "4", "backup", str(tree))
            [new] = set(await origin.snapshots()) - before
            contents[new] = {path.name: path.read_bytes() for path in tree.iterdir()}
            await origin.run("forget", "--keep-last", "2", "--group-by", "", "--prune", "--max-unused", "0")

    await asyncio.gather(*(mirroring.adopt(place.store) for _ in range(2)))
    working = asyncio.create_task(work())
    claimed: set[str] = set().union(
        *await asyncio.gather(*(carried_until(mirroring, place, working) for _ in range(2)))
    )
    await working
    ends = await asyncio.gather(*(mirroring.carry(place.store) for _ in range(2)))
    assert all(each.complete for each in ends)
    mirror = await restic_on(place.store, "mirror password")
    await mirror.run("check", "--read-data")
    assert claimed | set(ends[0].snapshot_ids) <= set(await mirror.snapshots())
    for snapshot in contents.keys() & set(await mirror.snapshots()):
        restored = await mirror.restored(snapshot, tmp_path / "restored")
        assert {Path(path).name: content for path, content in restored.items()} == contents[snapshot]


async def test_a_mirror_that_another_daemon_prunes_while_it_is_filled_is_filled_all_the_same(
    local_place: StorePlace, mirroring: Mirroring, origin: Restic, tree: Path, restic_on: ResticOn
) -> None:
    await mirroring.adopt(local_place.store)
    assert (await mirroring.carry(local_place.store)).complete
    mirror = await restic_on(local_place.store, "mirror password")
    (tree / "new").write_bytes(os.urandom(12_000_000))
    await origin.run("--pack-size", "4", "backup", str(tree))
    pruning: list[asyncio.Task[list[str]]] = []

    def prune(progress: Progress) -> None:
        # Packs are there that no index names yet: for a prune they are rubbish.
        if progress.done_files >= 1 and not pruning:
            pruning.append(asyncio.get_running_loop().create_task(mirror.run("prune")))

    carried = await mirroring.carry(local_place.store, SLOW_BYTES_PER_SECOND, prune)
    assert pruning
    await pruning[0]
    assert carried.complete
    assert len(carried.snapshot_ids) == 2
    assert (await mirroring.carry(local_place.store)).complete
    await mirror.run("check", "--read-data")


async def test_of_two_daemons_with_repositories_of_their_own_only_one_gets_the_place(
    local_place: StorePlace, mirroring: Mirroring, restic_on: ResticOn, tmp_path: Path
) -> None:
    other = LocalStore(path=tmp_path / "other")
    await (await restic_on(other, "first password")).run("init")
    both = (mirroring, Mirroring(mirroring.carrier, other, mirroring.world))
    ended = await asyncio.gather(*(each.adopt(local_place.store) for each in both), return_exceptions=True)
    assert [type(each) for each in ended if each is not None] == [PermanentError], ended
    [refused] = [daemon for daemon, each in zip(both, ended, strict=True) if each is not None]
    [taken] = [daemon for daemon, each in zip(both, ended, strict=True) if each is None]
    with pytest.raises(PermanentError, match="another repository") as told:
        await refused.carry(local_place.store)
    assert "independent: true" in told.value.hint
    assert (await taken.carry(local_place.store)).complete
    await (await restic_on(local_place.store, "mirror password")).run("check", "--read-data")


async def test_what_another_daemon_is_writing_stays_and_what_was_left_goes(
    local_place: StorePlace, mirroring: Mirroring
) -> None:
    await mirroring.adopt(local_place.store)
    assert isinstance(local_place.store, LocalStore)
    incoming = local_place.store.path / INCOMING
    incoming.mkdir()
    growing, left = incoming / "growing", incoming / "left"
    for path in (growing, left):
        path.write_bytes(b"half a pack")
    os.utime(left, (time.time() - 7200,) * 2)
    assert (await mirroring.carry(local_place.store)).complete
    assert [path.name for path in incoming.iterdir()] == ["growing"]
