"""Bringing data back, on real folders."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from drd.core.catalogue import RestoreRecord
from drd.core.errors import DrdError, PermanentError, RepositoryDamaged, StoreAway, UsageError
from drd.core.events import HoldReleased, RestoreFinished, RestoreStarted, SnapshotFound, StoreChecked, StoreWentAway
from drd.core.points import Standing
from drd.core.policy import Mode, Outcome
from drd.core.postgres.target import AtName
from drd.daemon.startup import start_up
from drd.engines.landing import mark_of
from drd.engines.restore_request import BESIDE, RestoreRequest
from drd.engines.work_queues import JobClass
from drd.ports.repository import OnProgress
from drd.ports.source import Settled, Source, Wanted
from drd.ports.world import World
from tests.fakes.clock import FakeClock
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.repository import FakePlace
from tests.fakes.source import FakeSource


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with two files, one in a folder of its own."""
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "orders.csv").write_bytes(b"1,2,3\n" * 100)
    (folder / "deep" / "readme").write_bytes(b"hello")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def a_house(source: Path, **plan: object) -> FakeHouse:
    return FakeHouse(protected(a_policy(**plan), main=FakeSource(path=str(source))))  # type: ignore[arg-type]


def request(target: Path | str, **more: object) -> RestoreRequest:
    return RestoreRequest("orders", more.pop("at", None), str(target), **more)  # type: ignore[arg-type]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*restoring*"))


async def test_a_whole_point_comes_back_as_it_was(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run(run="01RUN")
    landed = await house.restore.restore("09R", request(tmp_path / "target"))
    assert contents(tmp_path / "target") == contents(source)
    assert (landed.store, landed.files, landed.bytes) == ("local", 2, 605)
    assert landed.places == (str(tmp_path / "target"),)
    [finished] = house.journal.of(RestoreFinished)
    assert (finished.outcome, finished.whole) == (Outcome.SUCCEEDED, True)
    [point] = await house.journal.points("orders")
    assert [copy.standing for copy in point.copies] == [Standing.PROVEN]
    assert leftovers(tmp_path) == []


async def test_an_empty_folder_that_is_there_is_used(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    (tmp_path / "target").mkdir()
    await house.restore.restore("09R", request(tmp_path / "target"))
    assert contents(tmp_path / "target") == contents(source)
    assert leftovers(tmp_path) == []


async def test_the_newest_good_point_that_is_not_after_the_moment_is_chosen(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run(run="01RUN")
    moment = house.clock.now()
    house.clock.step(moment - moment.replace(hour=moment.hour - 1))
    (source / "orders.csv").write_bytes(b"later")
    await house.run(run="02RUN")
    landed = await house.restore.restore("09R", request(tmp_path / "old", at=moment))
    assert landed.point.run == "01RUN"
    landed = await house.restore.restore("10R", request(tmp_path / "new"))
    assert landed.point.run == "02RUN"
    assert contents(tmp_path / "new")["orders.csv"] == b"later"


async def test_a_moment_before_every_point_is_told_with_the_oldest(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    early = house.clock.now().replace(year=2020)
    with pytest.raises(UsageError, match="the oldest good one is from 2026-03-02"):
        await house.restore.restore("09R", request(tmp_path / "target", at=early))
    with pytest.raises(UsageError, match="no good recovery point of attic"):
        await house.restore.choose(RestoreRequest("attic", None, "/"))


async def test_a_word_that_is_no_time_is_told_what_is_where_no_wal_is_kept(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    with pytest.raises(UsageError, match="'yesterday' is no time, and without WAL there are no restore points") as told:
        await house.restore.plan("09R", request(tmp_path / "target", moment=AtName("yesterday")))
    assert told.value.hint == "write 2026-11-22 10:15:00+08:00 or latest"


async def test_an_incomplete_point_is_not_chosen(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run(run="01GOOD")
    house.disk.unreadable[str(source)] = 1
    await house.run(run="02BAD")
    assert (await house.restore.choose(request(tmp_path / "target"))).run == "01GOOD"


async def test_the_nearest_store_is_taken_and_the_next_when_it_is_away(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    await house.copy.fill("offsite")
    assert (await house.restore.restore("08R", request(tmp_path / "near"))).store == "local"
    house.local.away = "the disk is unplugged"
    await house.stores.went_away("local", "the disk is unplugged")
    assert (await house.restore.restore("09R", request(tmp_path / "far"))).store == "offsite"
    assert contents(tmp_path / "far") == contents(source)


async def test_a_damaged_store_is_the_last_that_is_tried(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    await house.copy.fill("offsite")
    await house.journal.append(StoreChecked("local", "", False, 1, "a pack is broken", 1.0))
    assert (await house.restore.restore("08R", request(tmp_path / "sound"))).store == "offsite"
    house.offsite.away = "the line is cut"
    await house.stores.went_away("offsite", "the line is cut")
    assert (await house.restore.restore("09R", request(tmp_path / "damaged"))).store == "local"


@pytest.mark.looptime
async def test_of_two_stores_as_near_the_one_is_taken_where_nobody_has_to_be_waited_for(source: Path) -> None:
    policy = protected(a_policy(to=("a", "b")), main=FakeSource(path=str(source)))
    house = FakeHouse(policy, stores=(a_store(FakePlace("a")), a_store(FakePlace("b"))))
    await house.run()
    await house.copy.fill("b")
    async with house.queues.take("a", JobClass.FORGET, 1):
        landed = await house.restore.restore("09R", request(source.parent / "target"))
    assert landed.store == "b"


@pytest.mark.looptime
async def test_who_waits_for_a_restore_is_told_what_it_waits_for(source: Path) -> None:
    house = a_house(source)
    await house.run()
    forgetting = asyncio.Event()

    async def forget() -> None:
        async with house.queues.take("local", JobClass.FORGET, 1):
            await forgetting.wait()

    holding = asyncio.create_task(forget())
    await asyncio.sleep(0)
    task = house.restore.start("09R", request(source.parent / "target"))
    sample = await anext(house.board.follow("09R"))
    assert sample.phase == "waiting for the forget in store local"
    forgetting.set()
    await asyncio.gather(task, holding)


async def test_a_store_that_goes_away_in_the_middle_gives_way_to_the_next(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    await house.copy.fill("offsite")

    def fail(work: str) -> None:
        if work.startswith("restore /"):
            house.local.away = "it hangs"
            raise StoreAway("local does not answer", "")

    house.repository("local").before = fail
    landed = await house.restore.restore("09R", request(tmp_path / "target"))
    assert landed.store == "offsite"
    assert contents(tmp_path / "target") == contents(source)
    assert [fact.outcome for fact in house.journal.of(RestoreFinished)] == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert [fact.store for fact in house.journal.of(StoreWentAway)] == ["local"]


async def test_a_store_that_turns_out_damaged_in_the_middle_gives_way_to_the_next(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    await house.copy.fill("offsite")

    def fail(work: str) -> None:
        if work.endswith("readme"):
            raise RepositoryDamaged("the repository local is damaged", "")

    house.repository("local").before = fail
    landed = await house.restore.restore("09R", request(tmp_path / "target"))
    assert (landed.store, landed.notes) == ("offsite", ("the repository local is damaged",))
    assert contents(tmp_path / "target") == contents(source)
    assert [fact.outcome for fact in house.journal.of(RestoreFinished)] == [Outcome.FAILED, Outcome.SUCCEEDED]
    record = (await house.journal.stores())["local"]
    assert (record.is_damaged, record.hold) == (True, "a restore met damage there")
    await house.journal.append(StoreChecked("local", "", True, 0, "", 1.0))
    assert (await house.journal.stores())["local"].is_damaged, "a check of the structure reads no data"
    await house.journal.append(HoldReleased("local", "anna"))
    assert not (await house.journal.stores())["local"].is_damaged


async def test_when_every_store_is_damaged_nothing_is_left_and_all_are_named(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    await house.copy.fill("offsite")

    def failing(store: str) -> Callable[[str], None]:
        def fail(work: str) -> None:
            if work.startswith("restore /"):
                raise RepositoryDamaged(f"the repository {store} is damaged", "")

        return fail

    for store in ("local", "offsite"):
        house.repository(store).before = failing(store)
    with pytest.raises(RepositoryDamaged, match="the repository local is damaged; the repository offsite is damaged"):
        await house.restore.restore("09R", request(tmp_path / "target"))
    assert not (tmp_path / "target").exists()
    assert not leftovers(tmp_path)


async def test_a_person_may_name_a_farther_store(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    await house.copy.fill("offsite")
    assert (await house.restore.restore("09R", request(tmp_path / "target", store="offsite"))).store == "offsite"


async def test_without_any_store_that_answers_it_says_which_were_asked(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    house.local.away = "the disk is unplugged"
    await house.stores.went_away("local", "unplugged")
    with pytest.raises(StoreAway, match="the disk is unplugged"):
        await house.restore.restore("09R", request(tmp_path / "target"))
    assert not (tmp_path / "target").exists()


async def test_a_restore_makes_no_repository_where_there_is_none(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    origin = house.foreign()
    await house.journal.append(
        SnapshotFound("orders", "01R", "main", "local", origin.id, origin.time, Mode.FULL, Outcome.SUCCEEDED, "")
    )
    with pytest.raises(DrdError):
        await house.restore.restore("09R", request(tmp_path / "target"))
    assert house.local.identity is None


@pytest.mark.parametrize(
    ("target", "sentence"),
    [("relative", "not an absolute path"), ("{tmp}/full", "is not empty"), ("{tmp}/file", "is a file")],
)
async def test_a_target_that_does_not_fit_is_refused(source: Path, tmp_path: Path, target: str, sentence: str) -> None:
    house = a_house(source)
    await house.run()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep me")
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(UsageError, match=sentence):
        await house.restore.restore("09R", request(target.format(tmp=tmp_path)))
    assert (tmp_path / "full" / "mine").read_text() == (tmp_path / "file").read_text() == "keep me"
    assert house.journal.of(RestoreStarted) == []


@pytest.mark.parametrize("target", ["{tmp}/target", BESIDE])
async def test_a_place_that_is_too_small_is_refused(source: Path, tmp_path: Path, target: str) -> None:
    house = a_house(source)
    await house.run()
    house.host.free = 100
    with pytest.raises(UsageError, match="605 B do not fit into 100 B"):
        await house.restore.restore("09R", request(target.format(tmp=tmp_path)))


async def unknown_sizes(house: FakeHouse) -> FakeHouse:
    """The same stores on a new machine, made with a restic that tells no sizes."""
    house.local.tells_sizes = False
    await house.run()
    fresh = FakeHouse(house.policy())
    fresh.local.identity, fresh.local.passwords = house.local.identity, house.local.passwords
    fresh.local.snapshots, fresh.local.trees = house.local.snapshots, house.local.trees
    await fresh.reconcile.reconcile("local")
    [point] = await fresh.journal.points("orders")
    assert point.total_bytes == 0
    return fresh


@pytest.mark.parametrize("target", ["{tmp}/target", BESIDE])
async def test_a_size_that_nobody_knows_is_asked_before_anything_is_written(
    source: Path, tmp_path: Path, target: str
) -> None:
    house = await unknown_sizes(a_house(source))
    house.host.free = 604
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="605 B do not fit into 604 B"):
        await house.restore.restore("09R", request(target.format(tmp=tmp_path)))
    assert contents(tmp_path) == before
    house.host.free = 605
    assert (await house.restore.restore("10R", request(tmp_path / "roomy"))).bytes == 605


async def test_a_path_comes_back_alone_and_proves_nothing(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    await house.restore.restore("09R", request(tmp_path / "target", include=("deep/readme",)))
    assert contents(tmp_path / "target") == {"deep/readme": b"hello"}
    [point] = await house.journal.points("orders")
    assert [copy.standing for copy in point.copies] == [Standing.CLAIMED]


async def test_a_path_that_is_not_in_the_point_is_told(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    with pytest.raises(UsageError, match="holds nothing at attic"):
        await house.restore.restore("09R", request(tmp_path / "target", include=("attic",)))
    assert not (tmp_path / "target").exists()
    assert leftovers(tmp_path) == []


async def test_a_restore_beside_touches_nothing_of_the_source(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    before = contents(source)
    (source / "orders.csv").write_bytes(b"damaged")
    landed = await house.restore.restore("09R", request(BESIDE))
    [place] = landed.places
    assert Path(place).parent == tmp_path
    assert Path(place).name.startswith("source.restored-2026")
    assert contents(Path(place)) == before
    assert (source / "orders.csv").read_bytes() == b"damaged"


async def test_a_restore_beside_an_emptied_source_does_not_land_in_it(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    before = contents(source)
    for file in sorted(source.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    landed = await house.restore.restore("09R", request(BESIDE))
    assert contents(Path(landed.places[0])) == before
    assert list(source.iterdir()) == []


async def a_house_with_two_paths(tmp_path: Path) -> tuple[FakeHouse, Path, Path]:
    """A point of one part with two paths, in folders of their own: each may be on a disk of its own."""
    one, other = tmp_path / "disk" / "one", tmp_path / "other disk" / "two"
    for path in (one, other):
        path.mkdir(parents=True)
    house = FakeHouse()
    await house.repository("local").create()
    snapshot = house.foreign(paths=(str(one), str(other)), daemon="01DAEMON")
    house.local.plant(snapshot, {f"{one}/a": b"1", f"{other}/b": b"22", f"{other}/c": b"333"})
    await house.reconcile.reconcile("local")
    return house, one, other


async def test_each_path_lands_beside_itself_and_is_read_on_its_own_file_system(tmp_path: Path) -> None:
    house, one, other = await a_house_with_two_paths(tmp_path)
    seen: dict[str, list[str]] = {}

    def look(work: str) -> None:
        if work.startswith("restore /"):
            seen[work[-1]] = [str(path.parent) for path in tmp_path.rglob("*.drd-restoring")]

    house.repository("local").before = look
    landed = await house.restore.restore("09R", request(BESIDE))
    assert [Path(place).parent for place in landed.places] == [one.parent, other.parent]
    assert [contents(Path(place)) for place in landed.places] == [{"a": b"1"}, {"b": b"22", "c": b"333"}]
    assert (landed.files, landed.bytes) == (3, 6)
    assert seen["a"] == [str(one.parent)]
    assert str(other.parent) in seen["b"]
    assert leftovers(tmp_path) == []
    [point] = await house.journal.points("orders")
    assert [copy.standing for copy in point.copies] == [Standing.PROVEN]


async def test_what_is_wanted_of_one_of_several_paths_lands_beside_that(tmp_path: Path) -> None:
    house, one, other = await a_house_with_two_paths(tmp_path)
    landed = await house.restore.restore("09R", request(BESIDE, include=(f"{other}/b",)))
    assert [contents(Path(place)) for place in landed.places] == [{"b": b"22"}]
    assert [path.name for path in one.parent.iterdir()] == ["one"]


@pytest.mark.parametrize("target", ["{tmp}/target", BESIDE])
async def test_a_name_that_was_being_given_when_the_restore_was_cancelled_is_taken_away(
    source: Path, tmp_path: Path, target: str
) -> None:
    house = a_house(source)
    await house.run()
    before = contents(tmp_path)
    asked, go, done = asyncio.Event(), threading.Event(), threading.Event()

    async def within(seconds: float, work: Callable[[], Any]) -> Any:
        if not {"_appear", "_appear_beside"} & set(work.__code__.co_names):
            if asked.is_set():  # what comes after the cancel finds that the thread has come to its end
                go.set()
                await asyncio.to_thread(done.wait)
            return work()
        asked.set()

        def give_name() -> Any:
            go.wait()
            try:
                return work()
            finally:
                done.set()

        return await asyncio.to_thread(give_name)

    house.host.within = within  # type: ignore[method-assign]
    task = house.restore.start("09R", request(target.format(tmp=tmp_path)))
    await asked.wait()
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    go.set()
    await asyncio.wait({task})
    assert task.cancelled()
    assert contents(tmp_path) == before
    assert leftovers(tmp_path) == []


async def test_a_restore_that_fails_leaves_nothing(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()

    def fail(work: str) -> None:
        if work.endswith("readme"):
            raise PermanentError("a damaged blob", "drd check local")

    house.repository("local").before = fail
    with pytest.raises(PermanentError, match="damaged blob"):
        await house.restore.restore("09R", request(tmp_path / "target"))
    assert not (tmp_path / "target").exists()
    assert leftovers(tmp_path) == []
    assert [fact.outcome for fact in house.journal.of(RestoreFinished)] == [Outcome.FAILED]


async def test_a_restore_that_is_cancelled_leaves_nothing_and_is_on_record(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    house.repository("local").seconds["restore"] = 60
    task = house.restore.start("09R", request(tmp_path / "target"))
    while not house.journal.of(RestoreStarted):
        await asyncio.sleep(0.01)
    await house.restore.finished(0.05)
    assert not task.done()
    await house.restore.cancel()
    assert task.cancelled()
    assert not (tmp_path / "target").exists()
    assert leftovers(tmp_path) == []
    assert [fact.outcome for fact in house.journal.of(RestoreFinished)] == [Outcome.CANCELLED]


async def test_a_bug_in_a_restore_is_on_record_as_a_failure(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()

    def break_(work: str) -> None:
        if work == "restore":
            raise KeyError("a mistake")

    house.repository("local").before = break_
    with pytest.raises(KeyError):
        await house.restore.restore("09R", request(tmp_path / "target"))
    assert [fact.outcome for fact in house.journal.of(RestoreFinished)] == [Outcome.FAILED]


async def test_several_parts_come_back_side_by_side_and_each_is_proven(source: Path, tmp_path: Path) -> None:
    policy = protected(a_policy(), files=FakeSource(path=str(source)), database=FakeSource(program="pg_dump"))
    house = FakeHouse(policy)
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    await house.run()
    await house.restore.restore("09R", request(tmp_path / "target"))
    assert contents(tmp_path / "target" / "files") == contents(source)
    assert contents(tmp_path / "target" / "database") == {"dump": b"CREATE TABLE"}
    [point] = await house.journal.points("orders")
    assert {copy.standing for copy in point.copies} == {Standing.PROVEN}
    ends = house.journal.of(RestoreFinished)
    assert [(end.files, end.bytes) for end in ends] == [(2, 605), (1, 12)]
    assert {end.snapshot_id for end in ends} == {copy.snapshot_id for copy in point.copies}


@pytest.mark.parametrize("beside", [{}, {"files": FakeSource(program="pg_dump")}])
async def test_data_comes_back_inside_of_what_makes_it_whole(
    beside: dict[str, FakeSource], source: Path, tmp_path: Path
) -> None:
    house = FakeHouse(protected(a_policy(), base=FakeSource(path=str(source), rest="/rest"), **beside))
    house.disk.folders["/rest"] = {"label": b"here"}
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    await house.run()
    await house.restore.restore("09R", request(tmp_path / "target"))
    place = tmp_path / "target" / ("base" if beside else "")
    assert contents(place / "data" / source.relative_to("/")) == contents(source)
    assert (place / "label").read_bytes() == b"here"
    [point] = await house.journal.points("orders")
    assert {copy.standing for copy in point.copies} == {Standing.PROVEN}
    await house.restore.restore("10R", request(tmp_path / "one", include=(str(source),)))
    assert contents(tmp_path / "one" / "base.data") == contents(source)


async def test_no_part_has_its_name_before_all_were_read(source: Path, tmp_path: Path) -> None:
    policy = protected(a_policy(), files=FakeSource(path=str(source)), database=FakeSource(program="pg_dump"))
    house = FakeHouse(policy)
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    await house.run()
    seen: list[bool] = []
    house.repository("local").before = lambda work: seen.append((tmp_path / "target").exists())
    await house.restore.restore("09R", request(tmp_path / "target"))
    assert not any(seen)
    assert leftovers(tmp_path) == []


async def test_a_path_of_one_part_comes_back_although_the_other_does_not_hold_it(source: Path, tmp_path: Path) -> None:
    policy = protected(a_policy(), files=FakeSource(path=str(source)), database=FakeSource(program="pg_dump"))
    house = FakeHouse(policy)
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    await house.run()
    await house.restore.restore("09R", request(tmp_path / "target", include=("/dump",)))
    assert contents(tmp_path / "target") == {"database/dump": b"CREATE TABLE"}


async def test_when_one_part_fails_the_others_are_taken_away_again(source: Path, tmp_path: Path) -> None:
    policy = protected(a_policy(), files=FakeSource(path=str(source)), database=FakeSource(program="pg_dump"))
    house = FakeHouse(policy)
    house.disk.programs["pg_dump"] = b"CREATE TABLE"
    await house.run()

    def fail(work: str) -> None:
        if work == "restore /dump":
            raise PermanentError("a damaged blob", "")

    house.repository("local").before = fail
    with pytest.raises(PermanentError):
        await house.restore.restore("09R", request(tmp_path / "target"))
    assert contents(tmp_path / "target") == {}


async def test_a_part_that_stands_twice_in_a_store_comes_back_once(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run(run="01RUN")
    [snapshot] = house.local.snapshots.values()
    twin = house.foreign(run="01RUN", daemon="01DAEMON", tags=snapshot.tags, paths=snapshot.paths)
    house.local.plant(twin, house.local.trees[snapshot.id])
    assert await house.reconcile.reconcile("local") == (0, 0)
    await house.restore.restore("09R", request(tmp_path / "target"))
    assert contents(tmp_path / "target") == contents(source)


async def test_a_snapshot_that_is_gone_from_its_store_is_told(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    house.local.snapshots.clear()
    with pytest.raises(PermanentError, match="does not list snapshot"):
        await house.restore.restore("09R", request(tmp_path / "target"))


async def test_a_full_state_disk_keeps_nobody_from_their_data(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    house.journal.is_full = True
    await house.restore.restore("09R", request(tmp_path / "target"))
    assert contents(tmp_path / "target") == contents(source)
    assert house.restore.outbox.owed == 2
    house.journal.is_full = False
    await house.restore.outbox.pay()
    assert [fact.outcome for fact in house.journal.of(RestoreFinished)] == [Outcome.SUCCEEDED]


async def test_not_even_when_the_nearest_store_is_away_too(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    await house.copy.fill("offsite")
    house.journal.is_full = True
    await house.stores.went_away("local", "unplugged")
    house.local.away = "unplugged"
    landed = await house.restore.restore("09R", request(tmp_path / "target"))
    assert landed.store == "offsite"


async def test_a_failed_restore_that_nobody_waits_for_is_no_noise(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: noise.append(context))
    house.local.snapshots.clear()
    task = house.restore.start("09R", request(tmp_path / "target"))
    await house.restore.finished(5)
    del task
    await asyncio.sleep(0)
    assert noise == []
    assert isinstance(house.clock, FakeClock)


async def test_a_file_as_source_comes_back_into_the_target(source: Path, tmp_path: Path) -> None:
    house = a_house(source / "orders.csv")
    await house.run()
    await house.restore.restore("09R", request(tmp_path / "target"))
    assert contents(tmp_path / "target") == {"orders.csv": b"1,2,3\n" * 100}


async def test_nothing_is_restored_beside_what_lies_in_the_root_folder() -> None:
    house = FakeHouse(protected(a_policy(), main=FakeSource(program="dump")))
    house.disk.programs["dump"] = b"a listing"
    await house.run()
    with pytest.raises(UsageError, match="nothing is restored beside it"):
        await house.restore.restore("09R", request("beside"))


async def interrupted(house: FakeHouse, run: str = "01INTERRUPTED") -> FakeHouse:
    """The house of the next start, after a process that died in the middle of a restore."""
    [point] = await house.journal.points("orders")
    begun = RestoreStarted("orders", point.run, "local", point.copies[0].snapshot_id, "eva")
    await house.journal.append(begun, run=run)
    return FakeHouse(after=house)


def a_leftover(place: Path, run: str = "01INTERRUPTED") -> Path:
    """What such a process leaves at a place."""
    inside = place / f"{place.name}.{mark_of(run)}.drd-restoring" if place.is_dir() else None
    folder = inside or place.parent / f"{place.name}.{mark_of(run)}.drd-restoring"
    (folder / "read" / "srv").mkdir(parents=True)
    (folder / "read" / "srv" / "half").write_bytes(b"hal")
    return folder


async def test_a_restore_that_was_interrupted_has_an_end_on_record_after_the_next_start(source: Path) -> None:
    house = a_house(source)
    await house.run()
    again = await interrupted(house)
    [told] = [each for each in await start_up(again.house) if isinstance(each, RestoreRecord)]
    assert told.run == "01INTERRUPTED"
    [end] = house.journal.of(RestoreFinished)
    assert (end.outcome, end.message, end.whole) == (Outcome.CANCELLED, "drd ended in the middle of the restore", False)
    assert house.journal.events[-1].run == "01INTERRUPTED"
    assert await again.restore.end_interrupted() == ()
    [point] = await house.journal.points("orders")
    assert [copy.standing for copy in point.copies] == [Standing.CLAIMED]


@pytest.mark.parametrize("is_made", [False, True])
async def test_what_an_interrupted_restore_left_is_taken_away_by_the_next_to_the_same_place(
    source: Path, tmp_path: Path, is_made: bool
) -> None:
    house = a_house(source)
    await house.run()
    again = await interrupted(house)
    await again.restore.end_interrupted()
    target = tmp_path / "target"
    if is_made:
        target.mkdir()
    a_leftover(target)
    elsewhere = a_leftover(tmp_path / "another")
    await again.restore.restore("02R", request(target))
    assert contents(target) == contents(source)
    assert leftovers(tmp_path) == [elsewhere.name]


async def test_a_folder_that_forbids_its_own_removal_is_taken_away_too(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    again = await interrupted(house)
    target = tmp_path / "target"
    read_only = a_leftover(target) / "read" / "srv"
    (read_only / "link").symlink_to(source)
    read_only.chmod(0o500)
    mode = source.stat().st_mode
    await again.restore.restore("02R", request(target))
    assert leftovers(tmp_path) == []
    assert source.stat().st_mode == mode


async def test_beside_a_source_too(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    again = await interrupted(house)
    a_leftover(tmp_path / "source").rename(tmp_path / f"source.{mark_of('01INTERRUPTED')}.drd-restoring")
    before = contents(source)
    await again.restore.restore("02R", request(BESIDE))
    assert leftovers(tmp_path) == []
    assert contents(source) == before


async def test_nothing_is_taken_away_that_the_journal_does_not_know_as_its_own(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    again = await interrupted(house)
    target = tmp_path / "target"
    target.mkdir()
    foreign = a_leftover(target, run="01SOMEBODYELSE")
    with pytest.raises(UsageError, match="is not in this journal"):
        await again.restore.restore("02R", request(target))
    assert (foreign / "read" / "srv" / "half").exists()
    link = tmp_path / f"new.{mark_of('01INTERRUPTED')}.drd-restoring"
    link.symlink_to(source)
    await again.restore.restore("03R", request(tmp_path / "new"))
    assert link.is_symlink()
    assert contents(source) == contents(tmp_path / "new")


async def test_a_place_that_was_being_named_when_drd_died_is_looked_at_by_a_person(
    source: Path, tmp_path: Path
) -> None:
    house = a_house(source)
    await house.run()
    again = await interrupted(house)
    target = tmp_path / "target"
    target.mkdir()
    left = a_leftover(target)
    (target / "orders.csv").write_bytes(b"one of several")
    with pytest.raises(UsageError, match="what lies there may be half of it"):
        await again.restore.restore("02R", request(target))
    assert left.exists()


async def test_two_restores_to_one_place_leave_each_other_alone(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    (tmp_path / "target").mkdir()
    house.repository("local").seconds["restore"] = 0.2
    first = house.restore.start("01FIRST", request(tmp_path / "target"))
    while not leftovers(tmp_path):
        await asyncio.sleep(0.01)
    with pytest.raises(UsageError, match="a restore is under way there"):
        await house.restore.restore("02SECOND", request(tmp_path / "target"))
    await first
    assert contents(tmp_path / "target") == contents(source)


@pytest.mark.looptime
async def test_a_place_whose_file_system_hangs_is_an_error_in_time(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()
    house.host.hangs = True
    with pytest.raises(PermanentError, match="does not answer within 30 s"):
        await house.restore.restore("09R", request(tmp_path / "target"))
    assert asyncio.get_running_loop().time() == pytest.approx(30, abs=1)


@pytest.mark.looptime
async def test_a_place_that_begins_to_hang_in_the_middle_is_left_as_it_is(source: Path, tmp_path: Path) -> None:
    house = a_house(source)
    await house.run()

    def hang(work: str) -> None:
        house.host.hangs |= work == "end of restore"

    house.repository("local").before = hang
    with pytest.raises(PermanentError, match="does not answer within 900 s"):
        await house.restore.restore("09R", request(tmp_path / "target"))
    [end] = house.journal.of(RestoreFinished)
    assert end.outcome is Outcome.FAILED
    assert not (tmp_path / "target").exists()
    assert len(leftovers(tmp_path)) == 1
    house.host.hangs = False
    house.repository("local").before = lambda work: None
    await house.restore.restore("10R", request(tmp_path / "target"))
    assert leftovers(tmp_path) == []


# --- kinds that make whole what was restored --------------------------------------------------------------------------


class Settling(FakeSource):
    """Its data lies below `deep`; what lies beside that goes beside the place. A word in an option breaks it."""

    seen: ClassVar[list[tuple[str, Mapping[str, str], Path]]] = []
    hinted: ClassVar[list[Mapping[str, str]]] = []

    @property
    def restore_hints(self) -> Mapping[str, str]:
        return {"shade": "dark"}

    @classmethod
    async def look_at_place(cls, world: World, wanted: Wanted) -> None:
        if wanted.options.get("colour") == "mauve":
            raise UsageError("no cluster is mauve", "choose another colour")

    @classmethod
    async def reads_back(cls, world: World, wanted: Wanted) -> bool:
        return "colour" in wanted.options

    @classmethod
    async def settled(cls, world: World, wanted: Wanted, folder: Path, on_progress: OnProgress) -> Settled:
        cls.seen.append((wanted.policy, wanted.options, wanted.place))
        cls.hinted.append(wanted.hints)
        if wanted.options.get("colour") == "black":
            raise PermanentError("it is not whole", "restore another point")
        (folder / "deep" / "made").write_bytes(b"whole")
        others = {"orders.csv": wanted.place.with_name(f"{wanted.place.name}.orders")}
        return Settled("deep", others, notes=("it is whole",), following=(f"look {wanted.place}",))


def a_settling_house(source: Path, *, parts: int = 1) -> FakeHouse:
    sources: dict[str, Source] = {
        f"part{number}": FakeSource(path=str(source), facts=("source=fake",)) for number in range(parts)
    }
    house = FakeHouse(protected(a_policy(), **sources))
    house.kinds["fake"] = Settling
    return house


async def test_what_the_policy_says_of_a_source_today_helps_to_restore_what_it_saved(
    source: Path, tmp_path: Path
) -> None:
    house = FakeHouse(protected(a_policy(), main=Settling(path=str(source), facts=("source=fake",))))
    house.kinds["fake"] = Settling
    await house.run()
    await house.restore.restore("09R", request(tmp_path / "known"))
    assert Settling.hinted[-1] == {"shade": "dark"}
    house.in_force.replace(replace(house.in_force(), policies={}))
    await house.restore.restore("09S", request(tmp_path / "of a policy that is gone"))
    assert Settling.hinted[-1] == {}


async def test_what_a_kind_reads_back_itself_is_not_read_back_twice(source: Path, tmp_path: Path) -> None:
    house = a_settling_house(source)
    await house.run()
    await house.restore.restore("09R", request(tmp_path / "once", options={"colour": "blue"}))
    await house.restore.restore("09S", request(tmp_path / "as restic does"))
    await house.restore.restore("09T", request(tmp_path / "in part", include=(str(source / "deep/readme"),)))
    assert house.local.read_back == [False, True, True]


@pytest.mark.parametrize("exists", [False, True])
async def test_what_a_kind_makes_of_what_was_restored_takes_the_place(
    source: Path, tmp_path: Path, exists: bool
) -> None:
    house = a_settling_house(source)
    await house.run()
    target = tmp_path / "target"
    if exists:
        target.mkdir()
    landed = await house.restore.restore("09R", request(target, options={"colour": "blue"}))
    assert contents(target) == {"readme": b"hello", "made": b"whole"}
    assert (tmp_path / "target.orders").read_bytes() == b"1,2,3\n" * 100
    assert (landed.notes, landed.following) == (("it is whole",), (f"look {target}",))
    assert landed.places == (str(target), str(tmp_path / "target.orders"))
    assert Settling.seen[-1] == ("orders", {"colour": "blue"}, target)
    assert leftovers(tmp_path) == []


async def test_each_of_several_parts_is_made_whole_in_its_own_folder(source: Path, tmp_path: Path) -> None:
    house = a_settling_house(source, parts=2)
    await house.run()
    await house.restore.restore("09R", request(tmp_path / "target"))
    assert contents(tmp_path / "target").keys() == {
        *(f"part{number}/{name}" for number in (0, 1) for name in ("readme", "made")),
        "part0.orders",
        "part1.orders",
    }


async def test_what_is_not_whole_is_not_brought_back(source: Path, tmp_path: Path) -> None:
    house = a_settling_house(source)
    await house.run()
    with pytest.raises(PermanentError, match="not whole"):
        await house.restore.restore("09R", request(tmp_path / "target", options={"colour": "black"}))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    [end] = house.journal.of(RestoreFinished)
    assert (end.outcome, end.whole) == (Outcome.FAILED, False)


async def test_what_cannot_take_its_place_takes_the_rest_with_it(source: Path, tmp_path: Path) -> None:
    house = a_settling_house(source)
    await house.run()
    (tmp_path / "target.orders").mkdir()
    (tmp_path / "target.orders" / "other").touch()
    with pytest.raises(PermanentError, match="could not write"):
        await house.restore.restore("09R", request(tmp_path / "target"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target.orders"]
    assert (tmp_path / "target.orders" / "other").exists()


async def test_the_place_has_its_name_when_all_that_belongs_to_it_lies_where_it_should(
    source: Path, tmp_path: Path
) -> None:
    house = a_settling_house(source)
    await house.run()
    target, orders = tmp_path / "target", tmp_path / "target.orders"
    seen: list[tuple[bool, bool]] = []
    usual = house.host.within

    async def within(seconds: float, work: Callable[[], Any]) -> Any:
        done = await usual(seconds, work)
        seen.append((orders.exists(), target.exists()))
        return done

    house.host.within = within  # type: ignore[method-assign]
    await house.restore.restore("09R", request(target))
    assert list(dict.fromkeys(seen)) == [(False, False), (True, False), (True, True)]


async def test_a_place_that_cannot_be_named_takes_what_lies_beside_it_with_it(source: Path, tmp_path: Path) -> None:
    house = a_settling_house(source)
    await house.run()
    target, orders = tmp_path / "target", tmp_path / "target.orders"
    usual = house.host.within

    async def within(seconds: float, work: Callable[[], Any]) -> Any:
        if orders.exists() and not target.exists():
            target.write_text("somebody else's")
        return await usual(seconds, work)

    house.host.within = within  # type: ignore[method-assign]
    with pytest.raises(PermanentError, match="could not write"):
        await house.restore.restore("09R", request(target))
    assert not orders.exists()
    assert target.read_text() == "somebody else's"
    assert leftovers(tmp_path) == []


async def test_some_paths_of_a_point_come_back_as_they_are(source: Path, tmp_path: Path) -> None:
    house = a_settling_house(source)
    await house.run()
    landed = await house.restore.restore("09R", request(tmp_path / "target", include=("orders.csv",)))
    assert contents(tmp_path / "target").keys() == {"orders.csv"}
    assert landed.notes == ()


async def test_what_a_kind_does_not_know_or_allow_is_refused_before_anything_is_read(
    source: Path, tmp_path: Path
) -> None:
    house = a_settling_house(source)
    await house.run()
    with pytest.raises(UsageError, match="no cluster is mauve"):
        await house.restore.restore("09R", request(tmp_path / "target", options={"colour": "mauve"}))
    with pytest.raises(UsageError, match="nothing is known of colour here"):
        await house.restore.restore("10R", request(tmp_path / "target", include=("deep",), options={"colour": "blue"}))
    with pytest.raises(UsageError, match="not restored beside itself"):
        await house.restore.restore("11R", request(BESIDE))
    plain = a_house(source)
    await plain.run()
    with pytest.raises(UsageError, match="nothing is known of colour here"):
        await plain.restore.restore("09R", request(tmp_path / "target", options={"colour": "blue"}))
    assert house.journal.of(RestoreStarted) == []
