"""Forgetting, pruning and checking, and what damage looks like."""

from pathlib import Path

import pytest

from drd.clients.restic import ResticRepository
from drd.core.errors import DrdError, PermanentError
from drd.core.policy import Keep
from drd.ports.repository import Progress
from tests.clients.restic.conftest import Open, files
from tests.servers import RcloneRest

pytestmark = pytest.mark.slow


def ignore(progress: Progress) -> None:
    """Progress is not what these tests are about."""


async def test_the_plan_says_what_goes_and_why_the_rest_stays(repository: ResticRepository, tree: Path) -> None:
    ids = [(await repository.save(files(tree), ignore)).snapshot_id for _ in range(3)]

    plan = await repository.plan_forget(Keep(last=1, daily=1), ("drd", "policy=shop"))

    assert [snapshot.id for snapshot in plan.keep] == ids[2:]
    assert {snapshot.id for snapshot in plan.remove} == set(ids[:2])
    assert set(plan.reasons[ids[2]]) == {"last snapshot", "daily snapshot"}
    assert len(await repository.snapshots()) == 3


async def test_the_plan_of_another_policy_is_empty(repository: ResticRepository, tree: Path) -> None:
    await repository.save(files(tree), ignore)

    plan = await repository.plan_forget(Keep(last=1), ("drd", "policy=other"))

    assert (plan.keep, plan.remove) == ((), ())


async def test_a_plan_that_keeps_nothing_is_refused(repository: ResticRepository) -> None:
    with pytest.raises(PermanentError):
        await repository.plan_forget(Keep(), ("drd",))


async def test_forgetting_removes_exactly_the_named_snapshots(repository: ResticRepository, tree: Path) -> None:
    first, second = [(await repository.save(files(tree), ignore)).snapshot_id for _ in range(2)]

    assert await repository.forget((first,)) == (first,)

    assert [snapshot.id for snapshot in await repository.snapshots()] == [second]
    assert await repository.forget(()) == ()


async def test_an_id_that_is_not_there_is_gone_and_removes_nothing_else(
    repository: ResticRepository, tree: Path
) -> None:
    saved = await repository.save(files(tree), ignore)

    assert await repository.forget(("0" * 64,)) == ("0" * 64,)
    assert [snapshot.id for snapshot in await repository.snapshots()] == [saved.snapshot_id]


async def test_an_append_only_store_forgets_nothing_and_says_so(
    open_at: Open, rclone_rest_append_only: RcloneRest, tree: Path
) -> None:
    repository = open_at(rclone_rest_append_only.repository("orders"))
    await repository.create()
    saved = await repository.save(files(tree), ignore)

    try:
        gone: tuple[str, ...] = await repository.forget((saved.snapshot_id,))
    except DrdError:
        gone = ()

    assert gone == ()
    assert [snapshot.id for snapshot in await repository.snapshots()] == [saved.snapshot_id]


async def test_an_append_only_store_lets_nothing_be_marked_and_says_so(
    open_at: Open, rclone_rest_append_only: RcloneRest, tree: Path
) -> None:
    repository = open_at(rclone_rest_append_only.repository("orders"))
    await repository.create()
    saved = await repository.save(files(tree), ignore)

    with pytest.raises(DrdError):
        await repository.mark(saved.snapshot_id, "outcome=incomplete")

    assert saved.snapshot_id in {snapshot.id for snapshot in await repository.snapshots()}


async def test_pruning_gives_the_room_of_forgotten_snapshots_back(
    repository: ResticRepository, tree: Path, place: Path
) -> None:
    saved = await repository.save(files(tree), ignore)
    await repository.forget((saved.snapshot_id,))

    await repository.prune(1 << 30)

    assert not [file for file in (place / "data").rglob("*") if file.is_file()]
    assert (await repository.check("1/1")).sound


async def test_a_sound_repository_checks_sound(repository: ResticRepository, tree: Path) -> None:
    await repository.save(files(tree), ignore)

    report = await repository.check("1/1")

    assert (report.sound, report.errors, report.broken_packs) == (True, (), ())


async def test_flipped_bits_are_found_by_reading_and_not_by_the_structure(
    repository: ResticRepository, tree: Path, place: Path
) -> None:
    await repository.save(files(tree), ignore)
    damaged = flip_bits(place)

    structure = await repository.check()
    reading = await repository.check("1/1")

    assert structure.sound
    assert not reading.sound
    assert reading.broken_packs == (damaged,)
    assert any(damaged in error for error in reading.errors)


async def test_a_missing_pack_is_found_by_the_structure(repository: ResticRepository, tree: Path, place: Path) -> None:
    await repository.save(files(tree), ignore)
    pack = largest_pack(place)
    pack.unlink()

    report = await repository.check()

    assert not report.sound
    assert len(report.errors) == 1
    assert pack.name in report.errors[0]


async def test_a_rolling_check_finds_the_damage_in_exactly_one_part(
    repository: ResticRepository, tree: Path, place: Path
) -> None:
    await repository.save(files(tree), ignore)
    flip_bits(place)

    sound = [(await repository.check(f"{part}/3")).sound for part in (1, 2, 3)]

    assert sorted(sound) == [False, True, True]


async def test_a_damaged_snapshot_is_not_restored_as_if_it_were_whole(
    repository: ResticRepository, tree: Path, place: Path, tmp_path: Path
) -> None:
    saved = await repository.save(files(tree), ignore)
    flip_bits(place)

    with pytest.raises(DrdError):
        await repository.restore(saved.snapshot_id, tmp_path / "back", (), ignore)


async def test_a_damaged_snapshot_is_not_copied(
    repository: ResticRepository, open_at: Open, tree: Path, place: Path, tmp_path: Path
) -> None:
    saved = await repository.save(files(tree), ignore)
    other = open_at(str(tmp_path / "other"))
    await other.create(like=repository)
    flip_bits(place)

    with pytest.raises(DrdError):
        await other.copy_from(repository, (saved.snapshot_id,), ignore)

    assert await other.snapshots() == ()


def largest_pack(place: Path) -> Path:
    return max((file for file in (place / "data").rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)


def flip_bits(place: Path) -> str:
    """Damage twelve bytes in the middle of the largest pack; returns the pack's id."""
    pack = largest_pack(place)
    content = bytearray(pack.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 12] = bytes(byte ^ 0xFF for byte in content[middle : middle + 12])
    pack.chmod(0o600)
    pack.write_bytes(content)
    return pack.name
