"""restic stopped or killed in the middle: what it leaves, and that the next run works."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from drd.clients.restic import Patience, Restic, ResticRepository
from drd.core.errors import TransientError
from drd.ports.repository import Progress
from tests.clients.restic.conftest import Open, files, stream
from tests.waiting import until

pytestmark = pytest.mark.faults


def ignore(progress: Progress) -> None:
    """Progress is not what these tests are about."""


async def test_a_cancelled_save_leaves_neither_snapshot_nor_lock(repository: ResticRepository, restic: Restic) -> None:
    saving = asyncio.create_task(repository.save(stream("while :; do echo data; sleep 0.01; done"), ignore))
    await locked(repository)

    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving

    assert (await repository.locks(), await repository.snapshots()) == ((), ())
    assert running(restic) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_restic_that_is_killed_while_saving_fails_the_save_and_the_next_one_works(
    repository: ResticRepository, restic: Restic, big_tree: Path, number: signal.Signals
) -> None:
    saving = asyncio.create_task(repository.save(files(big_tree), ignore))
    await locked(repository)
    for process in running(restic):
        os.kill(process.pid, number)

    with pytest.raises(Exception, match="restic"):
        await saving
    saved = await repository.save(files(big_tree), ignore)

    assert [snapshot.id for snapshot in await repository.snapshots()] == [saved.snapshot_id]
    assert (await repository.check("1/1")).sound
    assert await repository.locks() == ()


async def test_restic_that_is_killed_names_the_signal(
    repository: ResticRepository, restic: Restic, big_tree: Path
) -> None:
    saving = asyncio.create_task(repository.save(files(big_tree), ignore))
    await locked(repository)
    for process in running(restic):
        process.kill()

    with pytest.raises(TransientError, match="killed by signal 9"):
        await saving


async def test_the_lock_of_a_dead_process_does_not_hold_up_exclusive_work(
    repository: ResticRepository, restic: Restic, big_tree: Path, open_at: Open
) -> None:
    saved = await repository.save(files(big_tree), ignore)
    await leave_dead_lock(repository, restic)

    assert await repository.forget((saved.snapshot_id,)) == (saved.snapshot_id,)
    assert await repository.locks() == ()


Work = Callable[[ResticRepository, str, Path], Awaitable[object]]
WORK: dict[str, Work] = {
    "check": lambda repository, snapshot, folder: repository.check("1/1"),
    "prune": lambda repository, snapshot, folder: repository.prune(None),
    "restore": lambda repository, snapshot, folder: repository.restore(snapshot, folder / "back", (), ignore),
    "forget": lambda repository, snapshot, folder: repository.forget((snapshot,)),
}


@pytest.mark.parametrize("what", WORK)
async def test_cancelled_work_leaves_no_lock_and_a_sound_repository(
    repository: ResticRepository, restic: Restic, big_tree: Path, tmp_path: Path, what: str
) -> None:
    saved = await repository.save(files(big_tree), ignore)
    work = asyncio.ensure_future(WORK[what](repository, saved.snapshot_id, tmp_path))
    await locked(repository)

    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    assert await repository.locks() == ()
    assert running(restic) == []
    assert (await repository.check("1/1")).sound


@pytest.fixture
def big_tree(tmp_path: Path) -> Path:
    """Enough to be in the middle of for a while."""
    tree = tmp_path / "big"
    tree.mkdir()
    for number in range(24):
        (tree / f"{number}.bin").write_bytes(os.urandom(4 << 20))
    return tree


async def locked(repository: ResticRepository) -> None:
    """Wait until restic holds its lock, so that it is in the middle of its work."""
    folder = Path(repository.access.location.url) / "locks"
    await until(lambda: any(folder.iterdir()), "restic's lock")


async def leave_dead_lock(repository: ResticRepository, restic: Restic) -> None:
    """Kill a restic that no client of ours looks after, so that its lock stays."""
    access = repository.access
    process = await asyncio.create_subprocess_exec(
        *(restic.path, "-r", access.location.url, "--no-cache", "backup", "--stdin"),
        env={"RESTIC_PASSWORD": access.password.decode(), "HOME": str(access.cache)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    await locked(repository)
    process.kill()
    await process.wait()
    assert any((Path(access.location.url) / "locks").iterdir())


def running(restic: Restic) -> list[psutil.Process]:
    """The restic processes below this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.cmdline()[:1] == [restic.path]:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


STILL = Patience(answer=timedelta(seconds=20), lock=timedelta(seconds=1), still=timedelta(seconds=1))


@pytest.mark.parametrize("what", ["restore", "check"])
async def test_work_that_stands_still_is_stopped_and_says_so(
    repository: ResticRepository, open_at: Open, place: Path, tree: Path, tmp_path: Path, what: str
) -> None:
    saved = await repository.save(files(tree), ignore)
    patient = open_at(str(place), patience=STILL, keeps_cache=False)
    for path in place.glob("data/*/*" if what == "restore" else "index/*"):
        path.unlink()
        os.mkfifo(path)

    with pytest.raises(TransientError, match=f"restic {what} at .* moved nothing for 1s and was stopped"):
        await WORK[what](patient, saved.snapshot_id, tmp_path)
