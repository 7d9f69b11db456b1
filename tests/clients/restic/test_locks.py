"""Locks that others left or hold: a dead process's is removed at once, a living one's is respected."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.clients.restic import Patience, Restic, ResticRepository
from drd.core.errors import RepositoryLocked
from drd.ports.repository import Progress
from drd.ports.runner import Command, Ended, OnLine, Stream
from drd.ports.store import Limits
from tests.clients.restic.conftest import Open, files
from tests.waiting import until

pytestmark = pytest.mark.faults

USUAL = Patience()
AT_ONCE_SECONDS = 25.0
"""Several calls of restic on a busy machine; less than the 30 and 44 seconds that used to be waited."""
CHECKING = """
import asyncio, sys
from pathlib import Path
from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.clients.restic import Access, ResticRepository, find_restic
from drd.ports.store import Limits, Location
async def check(program, place, cache):
    runner = ChildRunner()
    access = Access(Location(place), sys.stdin.buffer.read(), Path(cache), False)
    restic = await find_restic(program, runner)
    await ResticRepository(restic, access, runner, SystemClock(), Limits(download=10 * 1024)).check("1/1")
asyncio.run(check(*sys.argv[1:]))
"""
"""A daemon in the middle of exclusive work: it checks a repository so slowly that it is killed before it is done."""


def ignore(progress: Progress) -> None:
    """Progress is not what these tests are about."""


@pytest.fixture
def patient(open_at: Open, place: Path) -> ResticRepository:
    """The client as the daemon has it."""
    return open_at(str(place), patience=USUAL)


@asynccontextmanager
async def checked(repository: ResticRepository, restic: Restic) -> AsyncIterator[asyncio.subprocess.Process]:
    """The repository while another drd checks it and holds it alone; that one is killed at last."""
    access = repository.access
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHECKING, restic.path, access.location.url, str(access.cache)),
        stdin=asyncio.subprocess.PIPE,
    )
    assert daemon.stdin is not None
    daemon.stdin.write(access.password)
    daemon.stdin.close()
    locks = Path(access.location.url) / "locks"
    try:
        await until(lambda: any(locks.iterdir()), "the other's lock")
        yield daemon
    finally:
        if daemon.returncode is None:
            daemon.kill()
        await daemon.wait()


async def test_what_a_killed_daemon_held_alone_does_not_hold_the_next_backup_up(
    patient: ResticRepository, restic: Restic, tree: Path
) -> None:
    await patient.save(files(tree), ignore)
    async with checked(patient, restic) as daemon:
        children = psutil.Process(daemon.pid).children(recursive=True)
        daemon.kill()
        await daemon.wait()
    assert children
    assert await patient.locks()
    begun = time.monotonic()

    await patient.save(files(tree), ignore)

    assert time.monotonic() - begun < AT_ONCE_SECONDS
    assert await patient.locks() == ()
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


async def test_what_a_killed_daemon_held_alone_does_not_hold_exclusive_work_up(
    patient: ResticRepository, restic: Restic, tree: Path
) -> None:
    saved = await patient.save(files(tree), ignore)
    async with checked(patient, restic):
        pass
    begun = time.monotonic()

    assert await patient.forget((saved.snapshot_id,)) == (saved.snapshot_id,)

    assert time.monotonic() - begun < AT_ONCE_SECONDS


async def test_the_lock_of_a_living_process_is_respected(
    repository: ResticRepository, restic: Restic, tree: Path
) -> None:
    saved = await repository.save(files(tree), ignore)
    async with checked(repository, restic) as daemon:
        [lock] = await repository.locks()
        for work in (repository.save(files(tree), ignore), repository.forget((saved.snapshot_id,))):
            with pytest.raises(RepositoryLocked):
                await work
        assert await repository.locks() == (lock,)
        assert daemon.returncode is None
    assert [snapshot.id for snapshot in await repository.snapshots()] == [saved.snapshot_id]


async def test_work_goes_on_when_the_living_process_lets_go(
    patient: ResticRepository, restic: Restic, tree: Path
) -> None:
    await patient.save(files(tree), ignore)
    async with checked(patient, restic) as daemon:
        saving = asyncio.create_task(patient.save(files(tree), ignore))
        done, _ = await asyncio.wait({saving}, timeout=5)
        assert not done
        assert daemon.returncode is None
    await asyncio.wait_for(saving, AT_ONCE_SECONDS + 10)
    assert len(await patient.snapshots()) == 2


class Unlinking(ChildRunner):
    """Runs programs, and removes a file as soon as one of them complains that it cannot read it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def run(self, command: Command, on_line: OnLine | None = None) -> Ended:
        def hear(stream: Stream, line: bytes) -> bool | None:
            if f"lock/{self.path.name[:10]}".encode() in line:
                self.path.unlink(missing_ok=True)
            return on_line(stream, line) if on_line is not None else None

        return await super().run(command, hear)


@pytest.mark.parametrize("what", ["save", "unlock", "check"])
async def test_a_lock_that_vanishes_while_it_is_read_is_not_waited_for(
    patient: ResticRepository, restic: Restic, place: Path, tree: Path, what: str
) -> None:
    vanishing = place / "locks" / ("5e" * 32)
    vanishing.symlink_to("/nowhere")
    runner = Unlinking(vanishing)
    repository = ResticRepository(restic, patient.access, runner, SystemClock(), Limits(), USUAL)
    work: dict[str, Callable[[], Awaitable[object]]] = {
        "save": lambda: repository.save(files(tree), ignore),
        "unlock": repository.unlock,
        "check": repository.check,
    }
    begun = time.monotonic()

    await work[what]()

    assert time.monotonic() - begun < AT_ONCE_SECONDS
    assert not vanishing.is_symlink()
    assert await repository.locks() == ()


async def test_a_lock_that_can_never_be_read_ends_no_work(repository: ResticRepository, place: Path) -> None:
    (place / "locks" / ("5e" * 32)).touch()

    assert (await repository.check()).sound
