"""Files of WAL that archive_command brought, on their way into the spool."""

import os
from pathlib import Path

import pytest

from drd.cli import wal_push
from drd.clients import pushing
from drd.clients.spool import FolderSpool, FolderSpools
from drd.core.errors import PermanentError
from drd.core.postgres.arriving import arrivals
from drd.core.postgres.pages import PAGE_BYTES
from drd.core.postgres.spooling import moves
from drd.core.postgres.stretches import Stretches
from drd.core.postgres.wal import Segment
from tests.clients.test_spool import NOW, SIZE, SYSTEM, arranged, receive, segment
from tests.fakes.postgres_tools import wal_of


@pytest.fixture
async def spool(tmp_path: Path) -> FolderSpool:
    made = FolderSpools(tmp_path / "spool").of("orders", SYSTEM)
    await made.look(SIZE)
    return made


@pytest.fixture
async def incoming(tmp_path: Path, spool: FolderSpool) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    await spool.offer(folder, SIZE)
    return folder


def push(folder: Path, of: Segment, content: bytes | None = None, name: str = "") -> Path:
    """What PostgreSQL does, in this process."""
    made = folder.parent / "pg_wal" / (name or of.name)
    made.parent.mkdir(exist_ok=True)
    made.write_bytes(wal_of(of, SYSTEM) if content is None else content)
    wal_push.push(str(made), str(folder))
    return folder / made.name


async def taken_in(spool: FolderSpool, folder: Path, stored: dict[int, Stretches] | None = None) -> tuple[str, ...]:
    found = await spool.look(SIZE)
    return await spool.take_in(folder, arrivals(found, await spool.pushed(folder), SIZE, stored or {}))


async def held(spool: FolderSpool) -> dict[str, set[str]]:
    return {group.name: set(group.names) for group in (await spool.look(SIZE)).groups}


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {pushing.CLUSTER}


def test_both_sides_mean_the_same_files() -> None:
    assert (pushing.CLUSTER, pushing.HIDDEN) == (wal_push.CLUSTER, wal_push.HIDDEN)


async def test_what_was_received_already_leaves_the_folder_and_nothing_is_written(
    spool: FolderSpool, incoming: Path
) -> None:
    inode = receive(spool, 3).stat().st_ino
    receive(spool, 4, is_whole=False)
    [group] = (await arranged(spool)).groups
    push(incoming, segment(3))
    assert await taken_in(spool, incoming) == ()
    assert (spool.folder(group.name) / segment(3).name).stat().st_ino == inode
    assert left(incoming) == set()


async def test_what_was_not_received_fills_the_gap(spool: FolderSpool, incoming: Path) -> None:
    for number in (3, 6, 7):
        receive(spool, number)
    await arranged(spool)
    for number in (4, 5):
        push(incoming, segment(number))
    assert await taken_in(spool, incoming) == ()
    assert {name for names in (await held(spool)).values() for name in names} == {
        segment(number).name for number in range(3, 8)
    }
    assert left(incoming) == set()


async def test_the_file_that_holds_more_is_kept_whichever_path_it_came_by(spool: FolderSpool, incoming: Path) -> None:
    receive(spool, 3, written=10 * PAGE_BYTES)
    receive(spool, 4)
    receive(spool, 5)
    [group] = (await arranged(spool)).groups
    whole = wal_of(segment(3), SYSTEM)
    push(incoming, segment(3), whole)
    push(incoming, segment(4), wal_of(segment(4), SYSTEM)[: 5 * PAGE_BYTES].ljust(SIZE, b"\0"))
    assert await taken_in(spool, incoming) == ()
    assert (spool.folder(group.name) / segment(3).name).read_bytes() == whole
    assert (spool.folder(group.name) / segment(4).name).read_bytes() == wal_of(segment(4), SYSTEM)


async def test_what_contradicts_what_was_received_is_put_aside_and_named(spool: FolderSpool, incoming: Path) -> None:
    content = wal_of(segment(3), SYSTEM)
    (spool.receiving / segment(3).name).write_bytes(content[:100] + b"one" + content[103:])
    receive(spool, 4)
    [group] = (await arranged(spool)).groups
    push(incoming, segment(3), content[:100] + b"two" + content[103:])
    [told] = await taken_in(spool, incoming)
    assert segment(3).name in told
    assert "two servers" in told
    assert (spool.folder(group.name) / segment(3).name).read_bytes()[100:103] == b"one"
    assert left(incoming) == set()


async def test_what_is_of_another_cluster_is_put_aside(spool: FolderSpool, incoming: Path) -> None:
    (incoming / segment(3).name).write_bytes(wal_of(segment(3), "9"))
    (incoming / segment(4).name).write_bytes(b"short")
    told = await taken_in(spool, incoming)
    assert ["9" in told[0], "5 bytes" in told[1]] == [True, True]
    assert await held(spool) == {}


async def test_histories_and_labels_are_kept(spool: FolderSpool, incoming: Path) -> None:
    receive(spool, 3)
    receive(spool, 4)
    await arranged(spool)
    push(incoming, segment(4, 2))
    assert await taken_in(spool, incoming) == ()
    label = f"{segment(3).name}.00000028.backup"
    push(incoming, segment(3), b"1\t0/300000\tnone\n", name="00000002.history")
    push(incoming, segment(3), b"START WAL LOCATION: 0/300028\n", name=label)
    assert await taken_in(spool, incoming) == ()
    assert (spool.receiving / "00000002.history").read_bytes() == b"1\t0/300000\tnone\n"
    assert any(label in names for names in (await held(spool)).values())
    push(incoming, segment(3), b"1\t0/300000\tnone\n", name="00000002.history")
    assert await taken_in(spool, incoming) == ()
    push(incoming, segment(3), b"1\t0/400000\tnone\n", name="00000002.history")
    [told] = await taken_in(spool, incoming)
    assert "00000002.history" in told


async def test_what_every_store_has_leaves_the_folder(spool: FolderSpool, incoming: Path) -> None:
    push(incoming, segment(3))
    assert await taken_in(spool, incoming, {1: Stretches.of([3])}) == ()
    assert await held(spool) == {}
    assert left(incoming) == set()


async def test_what_a_killed_push_left_goes_and_a_living_one_is_left_alone(spool: FolderSpool, incoming: Path) -> None:
    (incoming / f"{pushing.HIDDEN}{2**22 + 1}-{segment(3).name}").touch()
    living = incoming / f"{pushing.HIDDEN}{os.getpid()}-{segment(4).name}"
    living.touch()
    assert await spool.pushed(incoming) == frozenset()
    assert left(incoming) == {living.name}


async def test_another_cluster_is_told_as_soon_as_it_is_known(spool: FolderSpool, incoming: Path) -> None:
    await FolderSpool(incoming.parent / "other", "9").offer(incoming, SIZE)
    with pytest.raises(wal_push.Refused, match="two servers"):
        push(incoming, segment(3))


async def test_a_folder_that_lacks_is_told_with_what_to_type(spool: FolderSpool, tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as told:
        await spool.offer(tmp_path / "nowhere", SIZE)
    assert told.value.hint.startswith("as root: install -d -o postgres -g ")
    assert await spool.pushed(tmp_path / "nowhere") == frozenset()


async def test_received_anew_a_segment_takes_the_old_beginnings_place_only_when_it_holds_as_much(
    spool: FolderSpool,
) -> None:
    receive(spool, 3)
    receive(spool, 4, is_whole=False, written=10 * PAGE_BYTES)
    [group] = (await arranged(spool)).groups
    stands = spool.folder(group.name) / f"{segment(4).name}.partial"
    await spool.begin_anew()
    assert not any(spool.receiving.iterdir())
    again = receive(spool, 4, is_whole=False, written=4 * PAGE_BYTES)
    await arranged(spool)
    assert not stands.samefile(again)
    again.write_bytes(wal_of(segment(4), SYSTEM)[: 12 * PAGE_BYTES].ljust(SIZE, b"\0"))
    await arranged(spool)
    assert stands.samefile(again)


async def test_files_with_two_names_take_their_room_once(spool: FolderSpool) -> None:
    receive(spool, 3)
    before = await spool.used_bytes()
    await arranged(spool)
    receive(spool, 4)
    await arranged(spool)
    assert SIZE <= before <= SIZE + 2**16
    assert await spool.used_bytes() <= 2 * SIZE + 2**17


def changed(content: bytes) -> bytes:
    return content[:100] + b"two" + content[103:]


async def test_a_pushed_segment_that_contradicts_its_received_beginning_is_refused(
    spool: FolderSpool, incoming: Path
) -> None:
    receive(spool, 3)
    partial = receive(spool, 4, is_whole=False, written=10 * PAGE_BYTES)
    [group] = (await arranged(spool)).groups
    push(incoming, segment(4), changed(wal_of(segment(4), SYSTEM)))
    [told] = await taken_in(spool, incoming)
    assert "two servers" in told
    assert (spool.folder(group.name) / partial.name).samefile(partial)
    assert not (spool.folder(group.name) / segment(4).name).exists()
    push(incoming, segment(4), wal_of(segment(4), SYSTEM)[: 5 * PAGE_BYTES].ljust(SIZE, b"\0"))
    [told] = await taken_in(spool, incoming)
    assert "less than what was received" in told
    push(incoming, segment(4))
    assert await taken_in(spool, incoming) == ()
    assert (await held(spool))[group.name] == {segment(3).name, segment(4).name}


async def test_what_was_received_takes_the_place_of_what_was_pushed_before_and_contradicts_it(
    spool: FolderSpool, incoming: Path
) -> None:
    receive(spool, 3)
    await arranged(spool)
    push(incoming, segment(4), changed(wal_of(segment(4), SYSTEM)))
    push(incoming, segment(5), wal_of(segment(5), SYSTEM)[: 5 * PAGE_BYTES].ljust(SIZE, b"\0"))
    assert await taken_in(spool, incoming) == ()
    receive(spool, 4)
    receive(spool, 5)
    receive(spool, 6)
    [told] = await spool.carry_out(moves(await spool.look(SIZE), SIZE, NOW))
    assert segment(4).name in told
    for number in (4, 5):
        [place] = (spool.receiving.parent / "groups").glob(f"*/{segment(number).name}")
        assert place.read_bytes() == wal_of(segment(number), SYSTEM)
    aside = spool.receiving.parent / "refused" / segment(4).name
    assert aside.read_bytes() == changed(wal_of(segment(4), SYSTEM))
    assert {path.name for path in spool.receiving.iterdir()} == {segment(6).name}


async def test_what_was_refused_takes_nobodys_room_and_the_oldest_of_it_goes(
    spool: FolderSpool, incoming: Path, tmp_path: Path
) -> None:
    for number in (3, 4):
        (incoming / segment(number).name).write_bytes(wal_of(segment(number), "9"))
    assert len(await taken_in(spool, incoming)) == 2
    assert await spool.used_bytes() < 2**16
    aside = spool.receiving.parent / "refused"
    assert len(list(aside.iterdir())) == 2
    pushing.forget_refused(aside, 2 * SIZE)
    assert len(list(aside.iterdir())) == 2
    pushing.forget_refused(aside, SIZE - 1)
    assert [path.name for path in aside.iterdir()] == [segment(4).name]


@pytest.mark.parametrize("content", [b"no history at all", b"\xff\xfe\x00", b"", b"3\t0/300000\tof a later one\n"])
async def test_what_is_no_history_is_refused(spool: FolderSpool, incoming: Path, content: bytes) -> None:
    push(incoming, segment(3, 2))
    assert await taken_in(spool, incoming) == ()
    push(incoming, segment(3), content, name="00000002.history")
    [told] = await taken_in(spool, incoming)
    assert "no history" in told
    assert not (spool.receiving / "00000002.history").exists()


async def test_a_history_waits_for_wal_of_its_timeline_and_never_takes_a_received_ones_place(
    spool: FolderSpool, incoming: Path
) -> None:
    receive(spool, 3)
    await arranged(spool)
    waiting = push(incoming, segment(3), b"1\t0/300000\tanother cluster's\n", name="00000002.history")
    assert await taken_in(spool, incoming) == ()
    assert waiting.exists()
    received = spool.receiving / waiting.name
    received.write_bytes(b"1\t0/400000\tno recovery target specified\n")
    [told] = await taken_in(spool, incoming)
    assert waiting.name in told
    assert b"0/400000" in received.read_bytes()


async def test_a_history_that_is_damaged_here_counts_for_none_and_a_whole_one_takes_its_place(
    spool: FolderSpool, incoming: Path
) -> None:
    (spool.receiving / "00000002.history").write_bytes(b"\xff no history")
    (spool.receiving / segment(4, 2).name).write_bytes(wal_of(segment(4, 2), SYSTEM))
    [group] = (await arranged(spool)).groups
    assert group.history == ""
    assert group.group(SYSTEM).switches == ()
    push(incoming, segment(4), b"1\t0/400000\tr\xe9sum\xe9\n", name="00000002.history")
    assert await taken_in(spool, incoming) == ()
    [group] = (await arranged(spool)).groups
    assert [switch.timeline for switch in group.group(SYSTEM).switches] == [1]
