"""The projections may be thrown away at any time: what is built from the events is the same to the byte."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drd.clients.journal import SqliteJournal
from drd.clients.journal.tables import TABLES
from drd.core import events
from drd.core.events import Body
from drd.core.policy import Cause, Mode, Outcome
from tests.clients.journal.made import NOON, StillClock, whole_run

Tables = dict[str, list[tuple[Any, ...]]]


def tables(state: Path) -> Tables:
    connection = sqlite3.connect(state / "journal.db")
    try:
        names = [*(table.name for table in TABLES), "projection"]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in names}
    finally:
        connection.close()


def forget_projections(state: Path) -> None:
    connection = sqlite3.connect(state / "journal.db")
    connection.execute("UPDATE projection SET version = 0")
    connection.commit()
    connection.close()


async def opened_and_closed(state: Path) -> int:
    async with await SqliteJournal.open(state, StillClock(), ballast_bytes=4096) as journal:
        return journal._writer().folded_at_open


async def test_a_rebuild_gives_the_same_tables(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        for number in range(600):
            clock.move(timedelta(minutes=1))
            await journal.append(*whole_run("web", number), run=f"r{number}")
    written = tables(tmp_path)
    forget_projections(tmp_path)
    assert await opened_and_closed(tmp_path) == 2401
    assert tables(tmp_path) == written
    assert await opened_and_closed(tmp_path) == 0


async def test_a_rebuild_reads_the_sealed_segments_too(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        for number in range(4):
            await journal.append(*whole_run("web", number), run=f"r{number}")
            await journal.seal()
    written = tables(tmp_path)
    forget_projections(tmp_path)
    assert await opened_and_closed(tmp_path) == 21
    assert tables(tmp_path) == written


async def test_projections_that_are_behind_catch_up_from_where_they_are(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        await journal.append(*whole_run("web", 1), run="r1")
        before = tables(tmp_path)
        await journal.append(*whole_run("web", 2), run="r2")
    after = tables(tmp_path)
    put_back(tmp_path, before)
    assert await opened_and_closed(tmp_path) == 4
    assert tables(tmp_path) == after


async def test_a_reader_of_another_version_builds_its_own_in_memory(tmp_path: Path, clock: StillClock) -> None:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        await journal.append(events.PolicyAdded("web"), *whole_run("web", 1), run="r1")
        points = await journal.points("web")
    forget_projections(tmp_path)
    async with await SqliteJournal.open(tmp_path, clock, readonly=True) as reader:
        assert await reader.points("web") == points
        assert set(await reader.policies()) == {"web"}
    assert await opened_and_closed(tmp_path) == 6


async def test_a_journal_of_the_drd_before_tells_what_a_store_owes(tmp_path: Path, clock: StillClock) -> None:
    """Its tables are thrown away, whatever columns they have; its events have known all along."""
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=4096) as journal:
        await journal.append(events.SnapshotsForgotten("web", "local", ("s1",), "schedule"))
        await journal.append(events.HeadAnchored("local", "s2", 3, "ff"))
    connection = sqlite3.connect(tmp_path / "journal.db")
    for column in ("last_retained", "is_prune_owed", "anchors", "forgotten_anchors"):
        connection.execute(f"ALTER TABLE stores DROP COLUMN {column}")
    connection.execute("UPDATE projection SET version = 2")
    connection.commit()
    connection.close()
    for is_readonly in (True, False):
        async with await SqliteJournal.open(tmp_path, clock, readonly=is_readonly, ballast_bytes=4096) as journal:
            record = (await journal.stores())["local"]
            assert record.is_prune_owed
            assert record.last_anchored == NOON
            assert record.last_retained is None


async def lacking_is_what_the_points_say(journal: SqliteJournal) -> None:
    """SQL chooses the points that a store lacks, and may not choose otherwise than the points themselves."""
    for policy in ("web", "db"):
        points = await journal.points(policy)
        for store in ("local", "offsite"):
            lacking = tuple(point for point in points if point.is_lacking_in(store))
            assert await journal.uncopied(policy, store) == lacking


def put_back(state: Path, contents: Tables) -> None:
    connection = sqlite3.connect(state / "journal.db")
    for name, rows in contents.items():
        connection.execute(f"DELETE FROM {name}")
        for row in rows:
            connection.execute(f"INSERT INTO {name} VALUES ({', '.join('?' for _ in row)})", row)
    connection.commit()
    connection.close()


def in_a_loop_of_its_own(work: Coroutine[Any, Any, object]) -> None:
    """asyncio.run would take the loop of pytest-asyncio away, which then is found unclosed in some later test."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


policies = st.sampled_from(["web", "db"])
stores = st.sampled_from(["local", "offsite"])
snapshots = st.sampled_from([f"s{number}" for number in range(6)])
runs = st.sampled_from(["r0", "r1", "r2", "r3"])
modes = st.sampled_from(Mode)
outcomes = st.sampled_from(Outcome)
moments = st.integers(0, 1000).map(lambda minutes: NOON + timedelta(minutes=minutes))
subsets = st.sampled_from(["", "1/2", "100%"])
sizes = st.integers(0, 10**12)
small = st.just("")

BODIES: st.SearchStrategy[Body] = st.one_of(
    st.builds(events.PolicyAdded, policies),
    st.builds(events.PolicyRemoved, policies),
    st.builds(events.RunStarted, policies, modes, st.sampled_from(Cause), st.none()),
    st.builds(events.RunFinished, policies, modes, outcomes, small, small, st.just(1.0), sizes, sizes),
    st.builds(
        events.SnapshotCreated, policies, st.sampled_from(["files", "dump"]), stores, snapshots, moments, modes,
        outcomes, sizes, sizes, sizes, st.just(1.0),
    ),
    st.builds(events.CopyCreated, policies, st.just("files"), stores, snapshots, stores, moments, runs),
    st.builds(
        events.SnapshotFound, policies, runs, st.just("files"), stores, snapshots, moments, modes, outcomes,
        st.just("other"),
    ),
    st.builds(events.SnapshotMissing, policies, stores, snapshots),
    st.builds(events.ForgetStarted, policies, stores, st.lists(snapshots, max_size=3).map(tuple)),
    st.builds(
        events.SnapshotsForgotten, policies, stores, st.lists(snapshots, max_size=3).map(tuple), st.just("retention")
    ),
    st.builds(
        events.RestoreFinished, policies, runs, stores, outcomes, small, small, st.just(1.0), sizes, sizes,
        st.booleans(), st.one_of(small, snapshots),
    ),
    st.builds(events.StoreChecked, stores, subsets, st.booleans(), st.just(0), small, st.just(1.0)),
    st.builds(events.RetentionApplied, stores, st.just(2), st.just(0), st.just(0)),
    st.builds(events.HeadAnchored, stores, snapshots, st.just(1), st.just("ff")),
    st.builds(events.AnchorsForgotten, stores, st.lists(snapshots, max_size=3).map(tuple)),
    st.builds(events.StoreCreated, stores, st.sampled_from(["id", "another"]), st.none()),
    st.builds(events.StoreWentAway, stores, small),
    st.builds(events.StoreCameBack, stores),
    st.builds(events.StorePruned, stores, st.just(1.0)),
    st.builds(events.HoldPlaced, stores, st.just("held")),
    st.builds(events.HoldReleased, stores, small),
    st.builds(events.Paused, policies, st.just("backup"), st.just(datetime(2027, 1, 1, tzinfo=UTC)), small, small),
    st.builds(events.Resumed, policies, st.just("backup"), small),
    st.builds(events.ClockStepped, st.floats(-10, 10)),
)  # fmt: skip

APPENDS = st.lists(st.tuples(st.lists(BODIES, min_size=1, max_size=4), st.one_of(st.none(), runs)), max_size=25)


@pytest.mark.slow
@given(appends=APPENDS, seal_after=st.integers(0, 25), at_once=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_was_told_a_rebuild_gives_the_same_tables(
    appends: list[tuple[list[Body], str | None]], seal_after: int, at_once: bool
) -> None:
    async def tell(state: Path) -> None:
        clock = StillClock()
        async with await SqliteJournal.open(state, clock, ballast_bytes=4096) as journal:
            if at_once:
                await asyncio.gather(*(journal.append(*bodies, run=run) for bodies, run in appends))
                await lacking_is_what_the_points_say(journal)
                return
            for number, (bodies, run) in enumerate(appends):
                clock.move(timedelta(seconds=1))
                await journal.append(*bodies, run=run)
                if number == seal_after:
                    await journal.seal()
            assert journal.verify().sound
            await lacking_is_what_the_points_say(journal)

    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        in_a_loop_of_its_own(tell(state))
        written = tables(state)
        forget_projections(state)
        in_a_loop_of_its_own(opened_and_closed(state))
        assert tables(state) == written
