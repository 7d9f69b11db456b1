"""The spool on a real file system."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drd.clients.spool import FolderSpool, FolderSpools
from drd.clients.spool.marks import CLUSTER, MARKS, read_marks
from drd.core.errors import PermanentError, TransientError
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.pages import PAGE_BYTES
from drd.core.postgres.spooling import Found, Move, Moves, moves
from drd.core.postgres.wal import Segment
from tests.fakes.postgres_tools import wal_of
from tests.system.disks import small_disk

SIZE = 2**20
SYSTEM = "7000000000000000001"
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def segment(number: int, timeline: int = 1) -> Segment:
    return Segment(timeline, number, SIZE)


def receive(spool: FolderSpool, number: int, *, is_whole: bool = True, written: int = SIZE) -> Path:
    name = segment(number).name
    content = wal_of(segment(number), SYSTEM)[:written].ljust(SIZE, b"\0")
    path = spool.receiving / (name if is_whole else f"{name}.partial")
    path.write_bytes(content)
    return path


async def arranged(spool: FolderSpool) -> Found:
    assert await spool.carry_out(moves(await spool.look(SIZE), SIZE, NOW)) == ()
    return await spool.look(SIZE)


@pytest.fixture
async def spool(tmp_path: Path) -> FolderSpool:
    made = FolderSpools(tmp_path / "spool").of("orders", SYSTEM)
    await made.look(SIZE)
    return made


async def test_what_was_received_is_in_a_group_without_being_written_again(spool: FolderSpool) -> None:
    inodes = {receive(spool, 3).stat().st_ino, receive(spool, 4, is_whole=False).stat().st_ino}
    found = await arranged(spool)
    [group] = found.groups
    folder = spool.folder(group.name)
    assert {path.stat().st_ino for path in folder.iterdir()} == inodes
    assert found.received == {f"{segment(4).name}.partial"}
    # The program goes on writing, and gives the segment its name.
    partial = spool.receiving / f"{segment(4).name}.partial"
    partial.rename(spool.receiving / segment(4).name)
    receive(spool, 5, is_whole=False)
    [group] = (await arranged(spool)).groups
    assert group.names == {segment(3).name, segment(4).name, f"{segment(5).name}.partial"}


async def test_whoever_is_cancelled_while_files_are_moved_waits_until_they_are(spool: FolderSpool) -> None:
    loop, begun, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    class Slow(tuple[Move, ...]):
        def __iter__(self) -> Iterator[Move]:
            loop.call_soon_threadsafe(begun.set)
            assert goes_on.wait(90)
            return super().__iter__()

    work = asyncio.create_task(spool.carry_out(Moves(Slow(), ())))
    await begun.wait()
    work.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not work.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_a_segment_that_is_another_clusters_or_cut_off_is_put_aside_and_named(spool: FolderSpool) -> None:
    receive(spool, 3).write_bytes(wal_of(segment(3), "1"))
    os.truncate(receive(spool, 4), SIZE - 1)
    receive(spool, 5)
    told = await spool.carry_out(moves(await spool.look(SIZE), SIZE, NOW))
    assert [segment(3).name in told[0], segment(4).name in told[1]] == [True, True]
    found = await spool.look(SIZE)
    assert sorted(path.name for path in (spool.receiving.parent / "refused").iterdir()) == [
        segment(3).name,
        segment(4).name,
    ]
    assert found.received == {segment(5).name}


async def test_a_position_is_held_when_its_page_is_written(spool: FolderSpool) -> None:
    receive(spool, 3, is_whole=False, written=2 * PAGE_BYTES)
    [group] = (await arranged(spool)).groups
    start = segment(3).start
    for offset, is_held in ((0, True), (1, True), (2 * PAGE_BYTES, True), (2 * PAGE_BYTES + 1, False)):
        assert await spool.holds(segment(3), group.name, start + offset) is is_held
    assert not await spool.holds(segment(4), group.name, segment(4).start + 1)


async def test_marks_are_kept_with_the_group_and_a_damaged_file_of_them_is_begun_anew(spool: FolderSpool) -> None:
    receive(spool, 3)
    [group] = (await arranged(spool)).groups
    marks = tuple(Mark(NOW + timedelta(seconds=each), 1, Lsn(3 * SIZE + each)) for each in range(3))
    await spool.note(group.name, marks)
    [group] = (await spool.look(SIZE)).groups
    assert group.marks == marks
    place = spool.folder(group.name) / MARKS
    assert read_marks(place.read_bytes(), 1) == marks
    place.write_text("{")
    [group] = (await spool.look(SIZE)).groups
    assert group.marks == ()


async def test_to_begin_anew_leaves_groups_and_puts_aside_what_is_in_none(spool: FolderSpool) -> None:
    receive(spool, 3)
    [group] = (await arranged(spool)).groups
    receive(spool, 7, is_whole=False)
    (spool.receiving / "00000002.history").write_text("1\t0/5000000\tno recovery target specified\n")
    assert await spool.begin_anew() == (f"{segment(7).name}.partial",)
    assert [path.name for path in spool.receiving.iterdir()] == ["00000002.history"]
    assert [each.names for each in (await spool.look(SIZE)).groups] == [group.names]


async def test_the_clusters_of_a_policy_are_known_by_what_lies_there(tmp_path: Path) -> None:
    spools = FolderSpools(tmp_path / "spool")
    assert await spools.known("orders") == ()
    for system in ("1", "2"):
        await spools.of("orders", system).look(SIZE)
    assert await spools.known("orders") == (("1", SIZE), ("2", SIZE))
    assert await spools.known("carts") == ()
    assert await spools.free_bytes() > 0
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff"])
async def test_a_damaged_note_of_the_cluster_is_told_with_what_to_type(tmp_path: Path, content: bytes) -> None:
    spools = FolderSpools(tmp_path / "spool")
    await spools.of("orders", "1").look(SIZE)
    told = tmp_path / "spool" / "orders" / "1" / CLUSTER
    told.write_bytes(content)
    with pytest.raises(PermanentError, match="is damaged") as error:
        await spools.known("orders")
    assert error.value.hint.startswith(f"rm {told}")
    told.unlink()
    await spools.of("orders", "1").look(SIZE)
    assert await spools.known("orders") == (("1", SIZE),)


async def test_groups_that_leave_while_they_are_looked_at_are_no_mistake(spool: FolderSpool) -> None:
    def come_and_go() -> None:
        for _ in range(300):
            for number in (3, 4, 5):
                folder = spool.folder(segment(number).name)
                folder.mkdir()
                (folder / segment(number).name).touch()
            for number in (3, 4, 5):
                shutil.rmtree(spool.folder(segment(number).name))

    going = asyncio.create_task(asyncio.to_thread(come_and_go))
    while not going.done():
        await spool.look(SIZE)
    await going


async def test_a_full_disk_is_told_as_the_spools_and_not_as_the_journals(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        spool = FolderSpools(disk / "spool").of("orders", SYSTEM)
        await spool.look(SIZE)
        spool.folder("x").mkdir()
        (disk / "filler").write_bytes(b"\1" * shutil.disk_usage(disk).free)
        with pytest.raises(TransientError, match="the disk of the spool"):
            await spool.note("x", [Mark(NOW, 1, Lsn(each)) for each in range(5000)])
