"""What stands between drd and a repository: a place without one, a wrong password, a store that is away, a lock."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.process import ChildRunner
from drd.clients.restic import Patience, ResticRepository, find_restic
from drd.core.errors import (
    PermanentError,
    ProgramMissing,
    RepositoryLocked,
    RepositoryMissing,
    StoreAway,
    WrongPassword,
)
from drd.core.policy import Keep
from drd.ports.repository import Progress
from drd.ports.store import Location
from tests.clients.restic.conftest import Open, files, stream
from tests.servers import RcloneRest, RcloneS3
from tests.waiting import until

pytestmark = pytest.mark.slow


def ignore(progress: Progress) -> None:
    """Progress is not what these tests are about."""


async def test_a_place_without_a_repository_is_told_apart(open_at: Open, tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing):
        await open_at(str(tmp_path / "nothing")).identity()


async def test_a_server_without_the_repository_is_told_apart(open_at: Open, rclone_rest: RcloneRest) -> None:
    with pytest.raises(RepositoryMissing):
        await open_at(rclone_rest.repository("nothing")).identity()


@pytest.mark.parametrize("guessed", [b"guessed wrong", b"wrong", b"password"])
async def test_a_wrong_password_is_told_apart_and_not_repeated(
    repository: ResticRepository, open_at: Open, guessed: bytes
) -> None:
    stranger = open_at(repository.access.location.url, guessed)

    with pytest.raises(WrongPassword) as caught:
        await stranger.identity()

    assert "guessed" not in str(caught.value)


async def test_a_repository_works_without_keeping_a_cache(open_at: Open, place: Path, tree: Path) -> None:
    repository = open_at(str(place), keeps_cache=False)
    saved = await repository.save(files(tree), ignore)
    assert [each.id for each in await repository.snapshots()] == [saved.snapshot_id]
    assert (await repository.check()).sound
    assert [each.name for each in repository.access.cache.iterdir()] == []


async def test_a_store_that_is_away_is_told_apart(open_at: Open, rclone_rest: RcloneRest) -> None:
    place = rclone_rest.repository("orders")
    rclone_rest.stop()

    with pytest.raises(StoreAway):
        await open_at(place, patience=Patience(answer=timedelta(seconds=3))).identity()


async def test_wrong_keys_of_a_bucket_are_an_error_within_the_deadline(open_at: Open, rclone_s3: RcloneS3) -> None:
    url = rclone_s3.make_bucket("offsite")
    keys = {"AWS_ACCESS_KEY_ID": rclone_s3.access_key, "AWS_SECRET_ACCESS_KEY": "not-the-key"}
    repository = open_at(Location(url, keys), patience=Patience(answer=timedelta(seconds=3)))

    with pytest.raises((PermanentError, StoreAway)):
        await repository.identity()


async def test_a_repository_is_made_once_and_tells_its_id(open_at: Open, tmp_path: Path) -> None:
    repository = open_at(str(tmp_path / "new"))

    made = await repository.create()

    assert made == await repository.identity()
    assert len(made) == 64
    with pytest.raises(PermanentError, match="holds a repository already"):
        await repository.create()


async def test_of_a_config_file_that_was_read_before_restic_is_not_asked_again(open_at: Open, tmp_path: Path) -> None:
    repository = open_at(str(tmp_path / "new"))
    made = await repository.create()
    assert await repository.identity("ab" * 32) == made
    (tmp_path / "new").rename(tmp_path / "gone")
    assert await repository.identity("ab" * 32) == made
    with pytest.raises(RepositoryMissing):
        await repository.identity("cd" * 32)
    [note] = repository.access.cache.glob("config-*")
    note.write_text(made[:20])
    with pytest.raises(RepositoryMissing):
        await repository.identity("ab" * 32)


async def test_a_url_with_a_password_never_stands_in_an_error(open_at: Open, rclone_rest: RcloneRest) -> None:
    url = rclone_rest.repository("nothing").replace("//", "//someone:sesame-open@")

    with pytest.raises(RepositoryMissing) as caught:
        await open_at(Location(url, url_is_secret=True)).identity()

    assert "sesame" not in str(caught.value)


async def test_a_live_lock_refuses_exclusive_work_and_outlives_it(repository: ResticRepository) -> None:
    saving = asyncio.create_task(repository.save(stream("echo start; exec sleep 60"), ignore))
    await held_lock(repository)

    with pytest.raises(RepositoryLocked, match="PID"):
        await repository.check()

    assert len(await repository.locks()) == 1
    assert not saving.done()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving


async def test_listing_and_planning_work_beside_an_exclusive_lock(
    repository: ResticRepository, open_at: Open, tree: Path
) -> None:
    saved = await repository.save(files(tree), ignore)
    saving = asyncio.create_task(repository.save(stream("exec sleep 60"), ignore))
    await held_lock(repository)

    assert [snapshot.id for snapshot in await repository.snapshots()] == [saved.snapshot_id]
    plan = await repository.plan_forget(Keep(last=1), ("drd",))

    assert [snapshot.id for snapshot in plan.keep] == [saved.snapshot_id]
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving


async def test_a_locked_repository_is_waited_for(repository: ResticRepository, open_at: Open) -> None:
    saving = asyncio.create_task(repository.save(stream("sleep 4; echo done"), ignore))
    await held_lock(repository)
    patient = open_at(repository.access.location.url, patience=Patience(lock=timedelta(seconds=40)))

    report = await patient.check()

    assert report.sound
    assert (await saving).total_files == 1


async def test_a_program_that_is_no_restic_is_refused() -> None:
    with pytest.raises(ProgramMissing, match="is not restic"):
        await find_restic("/bin/true", ChildRunner())


async def test_a_restic_that_is_not_there_says_what_to_type() -> None:
    with pytest.raises(ProgramMissing) as caught:
        await find_restic("/nowhere/restic", ChildRunner())

    assert "apt-get install restic" in caught.value.hint


@pytest.mark.parametrize("said", ["restic 0.13.1 compiled with go1.18 on linux/amd64", "restic 0.9.6 (v0.9.6)"])
async def test_a_restic_that_is_too_old_is_refused(tmp_path: Path, said: str) -> None:
    program = tmp_path / "restic"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)

    with pytest.raises(ProgramMissing, match=r"drd needs 0\.14\.0"):
        await find_restic(str(program), ChildRunner())


async def held_lock(repository: ResticRepository) -> None:
    """Wait until a lock file is there."""
    folder = Path(repository.access.location.url) / "locks"
    await until(lambda: any(folder.iterdir()), "restic's lock")
