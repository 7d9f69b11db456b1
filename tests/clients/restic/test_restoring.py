"""Getting data back."""

from pathlib import Path

import pytest

from drd.clients.restic import Restic, ResticRepository
from drd.core.errors import PermanentError, RepositoryDamaged
from drd.ports.repository import Progress
from tests.clients.restic.conftest import Open, files

pytestmark = pytest.mark.slow


def ignore(progress: Progress) -> None:
    """Progress is not what these tests are about."""


async def test_a_restored_tree_is_what_was_saved(repository: ResticRepository, tree: Path, tmp_path: Path) -> None:
    (tree / "link").symlink_to("picture")
    saved = await repository.save(files(tree), ignore)
    target = tmp_path / "back"

    restored = await repository.restore(saved.snapshot_id, target, (), ignore)

    back = target / tree.relative_to("/")
    assert contents(back) == contents(tree)
    assert (back / "link").readlink() == Path("picture")
    assert restored.files == 4
    assert restored.bytes >= 24 + 256 * 4000
    assert restored.verified_files >= 3


async def test_a_cache_that_somebody_killed_left_torn_is_given_up(
    open_at: Open, place: Path, tree: Path, tmp_path: Path
) -> None:
    repository = open_at(str(place))
    saved = await repository.save(files(tree), ignore)
    cached = [path for path in tmp_path.glob("cache-*/*/index/*/*") if path.is_file()]
    assert cached
    for path in cached:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-100])

    await repository.restore(saved.snapshot_id, tmp_path / "back", (), ignore)
    assert contents(tmp_path / "back" / tree.relative_to("/")) == contents(tree)
    await repository.restore(saved.snapshot_id, tmp_path / "again", (), ignore)
    assert [each.id for each in await repository.snapshots()] == [saved.snapshot_id]


async def test_one_path_is_restored_although_it_looks_like_a_pattern(
    repository: ResticRepository, tree: Path, tmp_path: Path
) -> None:
    saved = await repository.save(files(tree), ignore)

    restored = await repository.restore(
        saved.snapshot_id, tmp_path / "back", (str(tree / "orders" / "two [2].json"),), ignore
    )

    assert restored.files == 1
    assert contents(tmp_path / "back" / tree.relative_to("/")) == {"orders/two [2].json": b'{"order": 2}'}


async def test_since_0_17_a_snapshot_says_how_much_it_holds_and_every_version_can_be_asked(
    repository: ResticRepository, restic: Restic, tree: Path
) -> None:
    saved = await repository.save(files(tree), ignore)
    marked = await repository.mark(saved.snapshot_id, "outcome=incomplete")

    [snapshot] = await repository.snapshots()

    told = (24 + 256 * 4000, 3) if restic.version >= (0, 17, 0) else (None, None)
    assert (snapshot.id, snapshot.total_bytes, snapshot.total_files) == (marked, *told)
    assert await repository.restored_bytes(snapshot.id) == 24 + 256 * 4000


async def test_nothing_is_restored_over_what_is_there(repository: ResticRepository, tree: Path, tmp_path: Path) -> None:
    saved = await repository.save(files(tree), ignore)

    with pytest.raises(PermanentError, match="is not empty"):
        await repository.restore(saved.snapshot_id, tree, (), ignore)
    with pytest.raises(PermanentError, match="is a file"):
        await repository.restore(saved.snapshot_id, tree / "picture", (), ignore)


async def test_a_snapshot_that_is_not_there_is_an_error(repository: ResticRepository, tmp_path: Path) -> None:
    with pytest.raises(PermanentError):
        await repository.restore("0" * 64, tmp_path / "back", (), ignore)


@pytest.mark.parametrize("harm", ["changed", "cut off", "removed"])
async def test_damage_in_the_repository_is_told_from_all_else(
    repository: ResticRepository, place: Path, tree: Path, tmp_path: Path, harm: str
) -> None:
    saved = await repository.save(files(tree), ignore)
    pack = max((each for each in (place / "data").rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
    pack.chmod(0o600)
    if harm == "changed":
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.write_bytes(content)
    elif harm == "cut off":
        pack.write_bytes(pack.read_bytes()[:1000])
    else:
        pack.unlink()

    with pytest.raises(RepositoryDamaged):
        await repository.restore(saved.snapshot_id, tmp_path / "back", (), ignore)


async def test_progress_tells_bytes_where_the_version_does_and_the_phase_everywhere(
    repository: ResticRepository, restic: Restic, tree: Path, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    saved = await repository.save(files(tree), ignore)

    await repository.restore(saved.snapshot_id, tmp_path / "back", (), seen.append)

    assert "restoring" in {progress.phase for progress in seen}
    if restic.restores_with_messages:
        assert seen[-1].total_bytes == seen[-1].done_bytes == 24 + 256 * 4000


async def test_what_a_snapshot_holds_is_listed_whole_and_below_a_path(repository: ResticRepository, tree: Path) -> None:
    saved = await repository.save(files(tree), ignore)

    everything = {entry.path: entry for entry in await repository.entries(saved.snapshot_id)}
    below = {entry.path for entry in await repository.entries(saved.snapshot_id, str(tree / "orders"))}

    assert everything[str(tree / "picture")].size == 256 * 4000
    assert everything[str(tree / "orders")].kind == "dir"
    assert {str(tree / "orders" / "one.json"), str(tree / "orders" / "two [2].json")} <= below
    assert str(tree / "picture") not in below


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    }
