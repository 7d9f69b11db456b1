"""Files are looked at before they are read: what would make a backup that looks like success is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from drd.core.errors import SourceRefused
from drd.ports.repository import FilesToSave
from drd.ports.world import World
from drd.sources.files import Files
from tests.system.disks import require_root


def source(*paths: object, **options: object) -> Files:
    return Files.model_validate({"paths": [str(path) for path in paths], **options})


async def opened(files: Files, world: World) -> FilesToSave:
    async with files.opened(world) as prepared:
        assert isinstance(prepared.content, FilesToSave)
        return prepared.content


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop" / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "shop" / "deep" / "deeper" / "order").write_text("1")
    return tmp_path / "shop"


async def test_everything_that_was_written_reaches_the_repository(shop: Path, world: World) -> None:
    files = source(
        shop,
        exclude=["*.tmp"],
        exclude_if_present=".nobackup",
        exclude_caches=False,
        exclude_larger_than="1 GiB",
        one_file_system=False,
    )

    assert await opened(files, world) == FilesToSave((shop,), ("*.tmp",), (".nobackup",), False, 1 << 30, False)


@pytest.mark.parametrize("written", ["/srv/shop", ["/srv/shop"], {"paths": "/srv/shop"}, {"paths": ["/srv/shop"]}])
def test_a_path_or_a_list_of_paths_is_enough(written: object) -> None:
    assert Files.model_validate(written).paths == (Path("/srv/shop"),)


async def test_a_relative_path_starts_from_the_data_folder(world: World) -> None:
    assert world.base is not None
    (world.base / "order").write_text("1")

    assert (await opened(source("order"), world)).paths == (world.base / "order",)


async def test_a_relative_path_without_a_data_folder_is_refused(world: World) -> None:
    bare = World(world.clock, world.runner, world.secrets)

    with pytest.raises(SourceRefused) as caught:
        await opened(source("order"), bare)

    assert "data:" in caught.value.hint


async def test_a_missing_path_beside_a_good_one_is_refused(shop: Path, tmp_path: Path, world: World) -> None:
    with pytest.raises(SourceRefused, match="does not exist"):
        await opened(source(shop, tmp_path / "gone"), world)


async def test_a_folder_without_a_single_file_is_refused(tmp_path: Path, world: World) -> None:
    (tmp_path / "empty" / "folders" / "only").mkdir(parents=True)

    with pytest.raises(SourceRefused, match="not a single file"):
        await opened(source(tmp_path / "empty"), world)
    await opened(source(tmp_path / "empty", allow_empty=True), world)


async def test_an_empty_folder_beside_a_full_one_is_refused(shop: Path, tmp_path: Path, world: World) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(SourceRefused, match="not a single file"):
        await opened(source(shop, tmp_path / "empty"), world)


async def test_a_link_is_refused_and_its_target_named(shop: Path, tmp_path: Path, world: World) -> None:
    (tmp_path / "link").symlink_to(shop)

    with pytest.raises(SourceRefused) as caught:
        await opened(source(tmp_path / "link"), world)

    assert str(shop) in caught.value.hint


async def test_a_path_that_has_to_be_a_mount_point_and_is_none_is_refused(shop: Path, world: World) -> None:
    with pytest.raises(SourceRefused, match="nothing is mounted"):
        await opened(source(shop, mounted=True), world)
    await opened(source("/proc", mounted=True), world)


async def test_what_is_mounted_below_is_told(world: World) -> None:
    async with source("/", exclude=["/*"]).opened(world) as prepared:
        assert "other file systems are mounted below the paths and left out" in prepared.note
        assert "/proc" not in prepared.note
    async with source("/", one_file_system=False).opened(world) as prepared:
        assert prepared.note == ""


UNREADABLE = """
import asyncio, sys
from drd.core.errors import SourceRefused
from drd.ports.world import World
from drd.sources.files import Files
async def main():
    try:
        async with Files.model_validate([sys.argv[1]]).opened(World(None, None, None)):
            print("opened")
    except SourceRefused as error:
        print(error)
asyncio.run(main())
"""


def looked_at(path: Path, *before: str) -> str:
    """What the source says of `path` in a process that `before` prepares."""
    command = [*before, sys.executable, "-c", UNREADABLE, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_folder_that_drds_user_may_not_read_is_refused(tmp_path: Path) -> None:
    # Root may read everything while it has the right to; without it, the folder's mode counts for root too.
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "order").write_text("1")
    folder.chmod(0)
    try:
        assert "cannot be read by the user" in looked_at(folder, *(drop if os.geteuid() == 0 else ()))
    finally:
        folder.chmod(0o700)


def test_a_folder_that_is_closed_to_drds_user_is_read_with_the_one_capability_of_the_unit(tmp_path: Path) -> None:
    require_root()
    reads_everything = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search")
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *reads_everything)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "order").write_text("1")
    assert looked_at(closed, *nobody) == "opened\n"


def test_a_folder_on_a_disk_of_fstab_that_is_not_mounted_is_refused(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "shop").mkdir(parents=True)
    (disk / "shop" / "left-behind").write_text("on the root disk")
    fstab = tmp_path / "fstab"
    fstab.write_text(f"/dev/sdz1 {disk} ext4 defaults 0 2\n")
    script = f'mount --bind {fstab} /etc/fstab && exec "$@"'
    root = () if os.geteuid() == 0 else ("--map-root-user",)

    said = looked_at(disk / "shop", "unshare", "--mount", *root, "sh", "-c", script, "sh")

    assert f"the disk {disk} is not mounted" in said
    assert f"mount {disk}" in said


async def test_some_blocks_of_the_files_are_drawn_and_the_same_again_by_the_same_draw(
    tmp_path: Path, world: World
) -> None:
    for number in range(60):
        folder = tmp_path / "shop" / str(number % 7) / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        content = os.urandom(8192) if number % 2 else b"order 4711, paid and sent\n" * 400
        (folder / f"{number}.csv").write_bytes(content)
    os.mkfifo(tmp_path / "shop" / "0" / "pipe")
    (tmp_path / "shop" / "0" / "loop").symlink_to(tmp_path)
    files = source(tmp_path / "shop")
    first = await files.sampled(world, "01RUN")
    assert first.blocks == 48
    assert 10 < first.random < 38
    assert await files.sampled(world, "01RUN") == first
    assert (await source(tmp_path / "nothing").sampled(world, "01RUN")).blocks == 0
