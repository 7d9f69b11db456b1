import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from drd.clients.host import MachineHost
from drd.core.errors import PermanentError


async def test_load_is_a_share_of_the_machine() -> None:
    load = await MachineHost().load()
    assert 0.0 <= load.processor_busy <= 1.0
    assert 0.0 < load.memory_free < 1.0


async def test_load_counts_work_that_is_done_while_it_looks() -> None:
    looking = asyncio.create_task(MachineHost().load())
    working = await asyncio.create_subprocess_exec("sha256sum", "/dev/zero")
    try:
        assert (await looking).processor_busy > 0.05
    finally:
        working.kill()
        await working.wait()


async def test_free_bytes_is_what_the_file_system_of_the_nearest_parent_has(tmp_path: Path) -> None:
    free = await MachineHost().free_bytes(tmp_path / "not" / "yet")
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


async def test_free_bytes_of_a_path_that_cannot_be_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="free space of"):
        await MachineHost().free_bytes(tmp_path / ("x" * 300))


async def test_a_file_system_that_hangs_is_given_up_in_time_and_its_errors_come_through(tmp_path: Path) -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError):
        await MachineHost().within(0.05, release.wait)
    release.set()
    with pytest.raises(FileNotFoundError):
        await MachineHost().within(10, (tmp_path / "gone").rmdir)
