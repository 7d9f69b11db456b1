"""Staging folders: private, for one use alone, and gone whatever happens to who uses them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drd.clients.staging import staged, sweep
from drd.core.errors import TransientError

KILLED = """
import asyncio, sys
from pathlib import Path
from drd.clients.staging import staged
async def main():
    async with staged(Path(sys.argv[1]), "base", "orders") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
        print(folder, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_folder_has_the_same_name_each_time_and_is_gone_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        async with staged(tmp_path / "staging", "base", "orders") as folder:
            assert folder == tmp_path / "staging" / "base-orders"
            assert folder.stat().st_mode & 0o777 == 0o700
            assert left_in(folder) == []
            (folder / "file").write_text("x")
    assert left_in(tmp_path / "staging") == []


async def test_it_is_gone_after_an_error_too(tmp_path: Path) -> None:
    async def fail() -> None:
        async with staged(tmp_path, "base", "orders") as folder:
            (folder / "deep").mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert left_in(tmp_path) == []


async def test_two_uses_at_once_have_two_folders(tmp_path: Path) -> None:
    async with staged(tmp_path, "base", "orders") as first:
        (first / "file").write_text("x")
        async with staged(tmp_path, "base", "orders") as second:
            assert second.name == "base-orders-2"
            assert left_in(first) == ["file"]


async def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == str(tmp_path / "base-orders")
        sweep(tmp_path, "base")
        assert (tmp_path / "base-orders" / "deep" / "file").exists()
        other.send_signal(signal.SIGKILL)
    (tmp_path / "base-stock").mkdir()
    (tmp_path / "precious").mkdir()
    async with staged(tmp_path, "base", "orders") as folder:
        assert folder.name == "base-orders"
        assert left_in(folder) == []
        assert left_in(tmp_path) == ["base-orders", "precious"]


async def test_what_a_killed_process_left_running_there_is_ended(tmp_path: Path) -> None:
    (tmp_path / "base-orders").mkdir()
    words = ["sh", "-c", "while :; do sleep 0.1; done"]
    with (
        subprocess.Popen([*words, tmp_path / "base-orders/base"]) as left,
        subprocess.Popen([*words, tmp_path / "base-orders.old/base"]) as stranger,
    ):
        async with staged(tmp_path, "base", "orders"):
            assert left.wait(10) == -signal.SIGKILL
            assert stranger.poll() is None
        stranger.kill()


async def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / "base-orders").symlink_to(tmp_path / "precious")
    with pytest.raises(TransientError):
        async with staged(tmp_path, "base", "orders"):
            pytest.fail("it was taken")
    assert left_in(tmp_path / "precious") == ["file"]


async def test_a_place_where_nothing_can_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TransientError, match="nothing can be put into"):
        async with staged(tmp_path / "file", "base", "orders"):
            pytest.fail("it was taken")
