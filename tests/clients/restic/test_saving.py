"""What a saved snapshot holds and says, and what makes it incomplete or keeps it from being made."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.clients.restic import Access, Restic, ResticRepository
from drd.core.errors import PermanentError, SourceRefused, TransientError
from drd.ports.repository import Progress, SaveOutcome
from drd.ports.runner import Command, Ended, OnLine
from drd.ports.store import Limits, Location
from tests.clients.restic.conftest import PASSWORD, Open, files, request, stream
from tests.waiting import until

pytestmark = pytest.mark.slow

# Reading it fails with an input/output error also for root, who may read every file of a real folder.
UNREADABLE = Path("/proc/self/mem")


def ignore(progress: Progress) -> None:
    """Progress is not what these tests are about."""


async def test_a_snapshot_is_listed_under_its_whole_id_with_its_host_and_tags(
    repository: ResticRepository, tree: Path
) -> None:
    before = datetime.now(UTC)

    saved = await repository.save(files(tree), ignore)

    [snapshot] = await repository.snapshots(("drd", "policy=shop"))
    assert (saved.outcome, saved.snapshot_id) == (SaveOutcome.COMPLETE, snapshot.id)
    assert len(saved.snapshot_id) == 64
    assert (snapshot.host, snapshot.tag("policy"), snapshot.paths) == ("shop-host", "shop", (str(tree),))
    assert before <= saved.started <= snapshot.time <= datetime.now(UTC)
    assert (saved.total_files, saved.files_new, saved.unreadable) == (3, 3, 0)
    assert saved.total_bytes == 12 + 12 + 256 * 4000
    assert saved.added_bytes > 0
    assert saved.peak_memory_bytes > 10 << 20


async def test_an_incremental_reads_what_changed_and_a_full_reads_everything(
    repository: ResticRepository, tree: Path
) -> None:
    await repository.save(files(tree), ignore)

    incremental = await repository.save(files(tree), ignore)
    full = await repository.save(request(files(tree).content, reread_everything=True), ignore)

    assert (incremental.files_unmodified, incremental.files_new) == (3, 0)
    assert (full.files_unmodified, full.files_new) == (0, 3)


@pytest.mark.parametrize("ignores_ctime", [False, True])
async def test_a_file_that_got_another_name_is_read_again_unless_that_is_no_change(
    repository: ResticRepository, tree: Path, tmp_path: Path, *, ignores_ctime: bool
) -> None:
    file = max(tree.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    await repository.save(files(tree, ignores_ctime=ignores_ctime), ignore)
    (tmp_path / "another-name").hardlink_to(file)

    saved = await repository.save(files(tree, ignores_ctime=ignores_ctime), ignore)

    assert saved.files_unmodified == (3 if ignores_ctime else 2)
    file.write_bytes(file.read_bytes()[::-1])
    changed = await repository.save(files(tree, ignores_ctime=ignores_ctime), ignore)
    assert changed.files_unmodified == 2


async def test_what_is_excluded_is_left_out(repository: ResticRepository, tree: Path) -> None:
    (tree / "scratch").mkdir()
    (tree / "scratch" / ".nobackup").touch()
    (tree / "scratch" / "big").touch()
    (tree / "cache").mkdir()
    (tree / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    (tree / "cache" / "page").touch()

    saved = await repository.save(
        files(tree, excludes=("*.json",), exclude_if_present=(".nobackup",), exclude_larger_than=100_000), ignore
    )

    kept = {entry.path for entry in await repository.entries(saved.snapshot_id) if entry.kind == "file"}
    assert kept == {str(tree / "cache" / "CACHEDIR.TAG"), str(tree / "scratch" / ".nobackup")}


async def test_a_path_that_looks_like_an_option_is_a_path(repository: ResticRepository, tree: Path) -> None:
    (tree / "--force").write_text("x")

    assert (await repository.save(files(tree / "--force"), ignore)).total_files == 1


async def test_progress_is_told_while_it_goes(repository: ResticRepository, tree: Path) -> None:
    seen: list[Progress] = []

    await repository.save(stream("for n in 1 2 3 4 5 6; do head -c 3000000 /dev/urandom; sleep 0.3; done"), seen.append)

    assert seen
    assert seen[-1].done_bytes > 3_000_000
    assert seen == sorted(seen, key=lambda progress: progress.done_bytes)


async def test_one_missing_source_of_several_makes_the_snapshot_incomplete(
    repository: ResticRepository, tree: Path, tmp_path: Path
) -> None:
    saved = await repository.save(files(tree, tmp_path / "gone"), ignore)

    assert (saved.outcome, saved.unreadable) == (SaveOutcome.INCOMPLETE, 1)
    assert [snapshot.id for snapshot in await repository.snapshots()] == [saved.snapshot_id]


async def test_all_sources_missing_is_refused_and_saves_nothing(repository: ResticRepository, tmp_path: Path) -> None:
    with pytest.raises(SourceRefused):
        await repository.save(files(tmp_path / "gone"), ignore)

    assert await repository.snapshots() == ()


async def test_an_unreadable_file_makes_the_snapshot_incomplete(repository: ResticRepository, tree: Path) -> None:
    saved = await repository.save(files(tree, UNREADABLE), ignore)

    assert (saved.outcome, saved.unreadable) == (SaveOutcome.INCOMPLETE, 1)
    assert len(await repository.snapshots()) == 1


async def test_the_output_of_a_program_becomes_one_file(repository: ResticRepository, tmp_path: Path) -> None:
    saved = await repository.save(stream("echo CREATE TABLE orders"), ignore)
    await repository.restore(saved.snapshot_id, tmp_path / "back", (), ignore)

    assert saved.outcome is SaveOutcome.COMPLETE
    assert (tmp_path / "back" / "dump.sql").read_text() == "CREATE TABLE orders\n"


@pytest.mark.parametrize("ending", ["exit 7", "kill -KILL $$", "kill -TERM $$"])
async def test_a_producer_that_dies_saves_nothing(repository: ResticRepository, ending: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        await repository.save(stream(f"head -c 9000000 /dev/urandom; echo it broke >&2; {ending}"), ignore)

    assert caught.value.detail == "it broke"
    assert "it broke" not in str(caught.value)
    assert await repository.snapshots() == ()
    assert await repository.locks() == ()


async def test_a_producer_that_moves_nothing_is_stopped_as_stalled(repository: ResticRepository) -> None:
    with pytest.raises(TransientError, match="moved nothing for 2s"):
        await repository.save(stream("echo start; exec sleep 60", stall=timedelta(seconds=2)), ignore)

    assert await repository.snapshots() == ()
    assert await repository.locks() == ()


async def test_a_save_that_takes_too_long_is_stopped(repository: ResticRepository) -> None:
    with pytest.raises((TransientError, SourceRefused), match=r"within"):
        await repository.save(stream("exec yes", deadline=timedelta(seconds=2)), ignore)

    assert await repository.snapshots() == ()
    assert await repository.locks() == ()


async def test_a_small_document_is_stored_and_read_back(repository: ResticRepository, tmp_path: Path) -> None:
    snapshot_id = await repository.save_bytes(b'{"head": "abc"}', "journal-head.json", "drd", ("drd", "head"))
    await repository.restore(snapshot_id, tmp_path / "back", (), ignore)

    assert (tmp_path / "back" / "journal-head.json").read_bytes() == b'{"head": "abc"}'


async def test_a_tag_with_a_comma_is_refused(repository: ResticRepository) -> None:
    with pytest.raises(PermanentError, match="comma"):
        await repository.save_bytes(b"x", "x", "drd", ("a,b",))


async def test_nothing_of_drds_environment_reaches_restic(
    repository: ResticRepository, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTIC_REPOSITORY", "/nowhere")
    monkeypatch.setenv("RESTIC_PASSWORD", "wrong")
    monkeypatch.setenv("RESTIC_PASSWORD_COMMAND", "false")

    assert (await repository.save(files(tree), ignore)).outcome is SaveOutcome.COMPLETE


async def test_neither_password_nor_secret_url_stands_in_arguments_or_environment(
    open_at: Open, place: Path, restic: Restic
) -> None:
    repository = open_at(Location(str(place), url_is_secret=True))
    run = asyncio.create_task(repository.save(stream("exec sleep 60"), ignore))
    await until(lambda: bool(restic_children(restic)), "restic's process")
    [child] = restic_children(restic)

    shown = " ".join([*child.cmdline(), *child.environ().values()])
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert PASSWORD.decode() not in shown
    assert str(place) not in shown


async def test_marking_gives_a_new_id_and_keeps_the_content(repository: ResticRepository, tree: Path) -> None:
    saved = await repository.save(files(tree), ignore)

    marked = await repository.mark(saved.snapshot_id, "outcome=incomplete")

    [snapshot] = await repository.snapshots()
    assert (snapshot.id, snapshot.original) == (marked, saved.snapshot_id)
    assert snapshot.tags == ("drd", "policy=shop", "outcome=incomplete")


async def test_copying_brings_snapshots_into_another_repository(
    repository: ResticRepository, open_at: Open, tree: Path, tmp_path: Path
) -> None:
    saved = await repository.save(files(tree), ignore)
    other = open_at(str(tmp_path / "other"), b"another password")
    await other.create(like=repository)

    await other.copy_from(repository, (saved.snapshot_id,), ignore)
    again = await other.save(files(tree), ignore)

    copied, _ = await other.snapshots()
    assert (copied.original, copied.tags) == (saved.snapshot_id, ("drd", "policy=shop"))
    assert again.added_bytes < 20_000, "what was copied must not be stored twice"


class Noting(ChildRunner):
    """Runs programs, and notes what each was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    async def run(self, command: Command, on_line: OnLine | None = None) -> Ended:
        self.told.append(command.argv)
        return await super().run(command, on_line)


async def test_copying_reads_no_faster_than_either_end_may(
    restic: Restic, place: Path, tree: Path, tmp_path: Path
) -> None:
    runner = Noting()
    (tmp_path / "cache").mkdir()
    slow, slower = Limits(download=4 * 2**20), Limits(download=3 * 2**20)

    def opened(where: Path, limits: Limits) -> ResticRepository:
        access = Access(Location(str(where)), PASSWORD, tmp_path / "cache")
        return ResticRepository(restic, access, runner, SystemClock(), limits)

    origin, target = opened(place, slower), opened(tmp_path / "other", slow)
    saved = await origin.save(files(tree), ignore)
    await target.create(like=origin)
    await target.copy_from(origin, (saved.snapshot_id,), ignore)

    [told] = [argv for argv in runner.told if "copy" in argv]
    assert told[told.index("--limit-download") + 1] == str(3 * 1024)


async def test_copying_a_snapshot_that_is_not_there_is_an_error(
    repository: ResticRepository, open_at: Open, tree: Path, tmp_path: Path
) -> None:
    await repository.save(files(tree), ignore)
    other = open_at(str(tmp_path / "other"))
    await other.create(like=repository)

    with pytest.raises(PermanentError):
        await other.copy_from(repository, ("0" * 64,), ignore)


def restic_children(restic: Restic) -> list[psutil.Process]:
    """The restic processes that this test has started and that run by now."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.cmdline()[:1] == [restic.path]:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found
