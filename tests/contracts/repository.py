"""What every repository keeps to, the real one and the one in memory: subclass it with a fixture `opened`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drd.core.errors import DrdError, PermanentError, RepositoryMissing, SourceRefused, WrongPassword
from drd.core.policy import Keep
from drd.ports.repository import FilesToSave, Progress, Repository, SaveOutcome, SaveRequest, StreamToSave

TAGS = ("drd", "policy=shop", "run=01RUN", "part=main")


def watch(progress: Progress) -> None:
    """Nobody looks at samples here."""


@dataclass
class Opened:
    """Two repositories that were not made yet, and what the contract cannot do by itself."""

    first: Repository
    second: Repository
    wrong_password: Callable[[], Repository]
    """The first again, opened with another password."""
    producer: tuple[str, ...]
    """A program that prints `hello`."""
    dying_producer: tuple[str, ...]
    make_append_only: Callable[[], Any] | None = None
    """Have the first refuse to delete from here on."""


def files(path: Path, **more: Any) -> SaveRequest:
    request = SaveRequest(FilesToSave((path,)), "shop-host", TAGS, False, timedelta(minutes=1), timedelta(minutes=1))
    return replace(request, **more)


class RepositoryContract:
    """The tests. `opened` gives an `Opened`, `tree` a folder with two files of 5 and 7 bytes."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        tree = tmp_path / "shop"
        (tree / "deep").mkdir(parents=True)
        (tree / "one").write_bytes(b"12345")
        (tree / "deep" / "two").write_bytes(b"1234567")
        return tree

    async def test_before_it_is_made_it_is_missing(self, opened: Opened) -> None:
        with pytest.raises(RepositoryMissing):
            await opened.first.identity()
        with pytest.raises(RepositoryMissing):
            await opened.first.snapshots()

    async def test_it_is_made_once_and_keeps_its_identity(self, opened: Opened) -> None:
        made = await opened.first.create()
        assert await opened.first.identity() == made
        with pytest.raises(DrdError):
            await opened.first.create()
        assert await opened.first.identity() == made

    async def test_another_password_does_not_open_it(self, opened: Opened) -> None:
        await opened.first.create()
        with pytest.raises(WrongPassword):
            await opened.wrong_password().identity()

    async def test_what_is_saved_is_listed_with_its_tags(self, opened: Opened, tree: Path) -> None:
        await opened.first.create()
        saved = await opened.first.save(files(tree), watch)
        assert (saved.outcome, saved.total_files, saved.total_bytes) == (SaveOutcome.COMPLETE, 2, 12)
        [snapshot] = await opened.first.snapshots(("drd", "policy=shop"))
        assert snapshot.id == saved.snapshot_id
        assert set(snapshot.tags) == set(TAGS)
        assert (snapshot.host, snapshot.paths, snapshot.original) == ("shop-host", (str(tree),), None)
        assert await opened.first.snapshots(("drd", "policy=other")) == ()

    async def test_what_was_saved_comes_back_whole_or_in_part(self, opened: Opened, tree: Path, tmp_path: Path) -> None:
        await opened.first.create()
        saved = await opened.first.save(files(tree), watch)
        for place, include, count in ((tmp_path / "a", (), 2), (tmp_path / "b", (f"{tree}/deep",), 1)):
            place.mkdir()
            restored = await opened.first.restore(saved.snapshot_id, place, include, watch)
            assert restored.files == restored.verified_files == count
        assert (tmp_path / "a" / str(tree).lstrip("/") / "one").read_bytes() == b"12345"
        assert not (tmp_path / "b" / str(tree).lstrip("/") / "one").exists()
        with pytest.raises(PermanentError, match="is not empty"):
            await opened.first.restore(saved.snapshot_id, tmp_path / "b", (), watch)

    async def test_how_much_a_restore_writes_can_be_asked(self, opened: Opened, tree: Path) -> None:
        await opened.first.create()
        saved = await opened.first.save(files(tree), watch)
        assert await opened.first.restored_bytes(saved.snapshot_id) == 12
        [snapshot] = await opened.first.snapshots()
        assert (snapshot.total_bytes, snapshot.total_files) in ((12, 2), (None, None))

    async def test_what_a_snapshot_does_not_hold_is_restored_as_no_file(
        self, opened: Opened, tree: Path, tmp_path: Path
    ) -> None:
        await opened.first.create()
        saved = await opened.first.save(files(tree), watch)
        (tmp_path / "back").mkdir()
        restored = await opened.first.restore(saved.snapshot_id, tmp_path / "back", ("/nowhere",), watch)
        assert (restored.files, restored.bytes) == (0, 0)

    async def test_a_stream_becomes_one_file(self, opened: Opened) -> None:
        await opened.first.create()
        content = StreamToSave(opened.producer, "dump.sql", {"PATH": "/usr/bin:/bin"})
        await opened.first.save(files(Path("/"), content=content), watch)
        [snapshot] = await opened.first.snapshots()
        assert [(each.path, each.size) for each in await opened.first.entries(snapshot.id) if each.kind == "file"] == [
            ("/dump.sql", 5)
        ]

    async def test_a_producer_that_dies_leaves_no_snapshot(self, opened: Opened) -> None:
        await opened.first.create()
        content = StreamToSave(opened.dying_producer, "dump.sql", {"PATH": "/usr/bin:/bin"})
        with pytest.raises(SourceRefused):
            await opened.first.save(files(Path("/"), content=content), watch)
        assert await opened.first.snapshots() == ()
        assert await opened.first.locks() == ()

    async def test_marking_gives_another_id_and_remembers_the_first(self, opened: Opened, tree: Path) -> None:
        await opened.first.create()
        saved = await opened.first.save(files(tree), watch)
        marked = await opened.first.mark(saved.snapshot_id, "outcome=incomplete")
        [snapshot] = await opened.first.snapshots()
        assert marked == snapshot.id != saved.snapshot_id
        assert snapshot.original == saved.snapshot_id
        assert snapshot.tag("outcome") == "incomplete"

    async def test_marking_a_copy_finds_the_new_one_though_both_name_the_same_original(
        self, opened: Opened, tree: Path
    ) -> None:
        await opened.first.create()
        saved = await opened.first.save(files(tree), watch)
        await opened.second.create(like=opened.first)
        await opened.second.copy_from(opened.first, (saved.snapshot_id,), watch)
        [copy] = await opened.second.snapshots()
        marked = await opened.second.mark(copy.id, "outcome=incomplete")
        [snapshot] = await opened.second.snapshots()
        assert (snapshot.id, snapshot.original) == (marked, saved.snapshot_id)
        assert marked != copy.id

    async def test_forgetting_takes_exactly_what_is_named(self, opened: Opened, tree: Path) -> None:
        await opened.first.create()
        ids = [(await opened.first.save(files(tree), watch)).snapshot_id for _ in range(3)]
        assert await opened.first.forget(tuple(ids[:2])) == tuple(ids[:2])
        assert [snapshot.id for snapshot in await opened.first.snapshots()] == ids[2:]
        await opened.first.prune(None)
        assert (await opened.first.check()).sound

    async def test_what_a_killed_call_forgot_already_keeps_the_rest_from_nothing(
        self, opened: Opened, tree: Path
    ) -> None:
        await opened.first.create()
        ids = [(await opened.first.save(files(tree), watch)).snapshot_id for _ in range(3)]
        await opened.first.forget(tuple(ids[:1]))
        assert await opened.first.forget(tuple(ids[:2])) == tuple(ids[:2])
        assert [snapshot.id for snapshot in await opened.first.snapshots()] == ids[2:]

    async def test_a_plan_counts_all_that_the_tags_name_together_and_changes_nothing(
        self, opened: Opened, tree: Path
    ) -> None:
        await opened.first.create()
        ids = [(await opened.first.save(files(tree), watch)).snapshot_id for _ in range(2)]
        ids.append((await opened.first.save(files(tree / "deep"), watch)).snapshot_id)
        await opened.first.save(files(tree, tags=("drd", "policy=other")), watch)
        plan = await opened.first.plan_forget(Keep(last=1), ("drd", "policy=shop"))
        assert [snapshot.id for snapshot in plan.keep] == [ids[2]]
        assert {snapshot.id for snapshot in plan.remove} == set(ids[:2])
        assert plan.reasons[ids[2]] == ("last snapshot",)
        assert len(await opened.first.snapshots()) == 4

    async def test_a_copy_has_another_id_and_is_made_once(self, opened: Opened, tree: Path) -> None:
        await opened.first.create()
        await opened.second.create(like=opened.first)
        saved = await opened.first.save(files(tree), watch)
        for _ in range(2):
            await opened.second.copy_from(opened.first, (saved.snapshot_id,), watch)
        [copy] = await opened.second.snapshots(("drd",))
        assert (copy.original, copy.id == saved.snapshot_id) == (saved.snapshot_id, False)
        assert set(copy.tags) == set(TAGS)

    async def test_a_document_is_kept(self, opened: Opened) -> None:
        await opened.first.create()
        await opened.first.save_bytes(b"{}", "head.json", "drd", ("drd", "kind=anchor"))
        assert len(await opened.first.snapshots(("drd", "kind=anchor"))) == 1

    async def test_a_store_that_lets_nothing_go_is_not_believed(self, opened: Opened, tree: Path) -> None:
        await opened.first.create()
        saved = await opened.first.save(files(tree), watch)
        if opened.make_append_only is None:
            return
        opened.make_append_only()
        assert await opened.first.forget((saved.snapshot_id,)) == ()
        with pytest.raises(PermanentError):
            await opened.first.mark(saved.snapshot_id, "outcome=failed")
        assert saved.snapshot_id in [snapshot.id for snapshot in await opened.first.snapshots()]
