"""Recovery to a moment, a position, a name and the end, by a real server; compared with what the client wrote down."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from drd.clients.clock import SystemClock
from drd.clients.host import MachineHost
from drd.clients.postgres import Dsn, PostgresServer
from drd.clients.postgres_tools import ProgramsOfPostgres, find_programs, restored
from drd.clients.postgres_tools.replay import Replay, Replayed, Replaying
from drd.clients.process import ChildRunner
from drd.core.errors import PermanentError, TransientError
from drd.core.postgres.archive import Archive
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Choice, Kept, RestorePoint, choose_base
from drd.core.postgres.server import Tablespace
from drd.core.postgres.target import AtLsn, AtName, AtTime, Latest, Target
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import FileKind, Segment, kind_of
from drd.ports.host import Host, Result
from drd.ports.postgres_tools import BaseRequest, ReceiveRequest, WalWith
from drd.ports.repository import Progress
from tests.postgres_lab import OWNER, Cluster, Lab
from tests.waiting import until

pytestmark = pytest.mark.slow

WRITE = "INSERT INTO orders SELECT %s, string_agg(md5(random()::text), '') FROM generate_series(1, 150)"
SIZE = 2**20
ROWS = 400


@dataclass
class Written:
    """A row as its client knows it."""

    number: int
    begun: datetime
    acknowledged: datetime
    timeline: int
    lsn: Lsn
    """The end of the WAL when it was committed; nobody else writes."""


@dataclass
class Shop:
    """A cluster with a past of two timelines, its WAL in a folder, a base backup, and the client's own log."""

    lab: Lab
    wal: Path
    base: Path
    spaces: dict[int, Path]
    kept: Kept
    rows: list[Written] = field(default_factory=list)
    tools: Any = None

    def until(self, is_in: Callable[[Written], bool]) -> set[int]:
        return {row.number for row in self.rows if is_in(row)}


class Client:
    """Writes rows into a cluster and writes down when."""

    def __init__(self) -> None:
        self.rows: list[Written] = []
        self.marks: list[Mark] = []

    def write(self, cluster: Cluster, timeline: int, count: int) -> None:
        with psycopg.connect(cluster.dsn().decode(), autocommit=True) as connection:
            for _ in range(count):
                number, begun = len(self.rows) + 1, datetime.now(UTC)
                connection.execute(WRITE, (number,))
                acknowledged = datetime.now(UTC)
                row = connection.execute("SELECT clock_timestamp(), pg_current_wal_insert_lsn()::text").fetchone()
                assert row is not None
                self.rows.append(Written(number, begun, acknowledged, timeline, Lsn.parse(row[1])))
                self.marks.append(Mark(row[0], timeline, Lsn.parse(row[1])))


async def received(tools: ProgramsOfPostgres, cluster: Cluster, wal: Path, until_lsn: Lsn) -> None:
    """Have pg_receivewal bring everything up to a position."""
    request = ReceiveRequest(cluster.dsn(), wal, "drd", until_lsn)
    await tools.receive_wal(request, lambda _: None)


@pytest.fixture(scope="module")
def past(postgres_lab: Lab) -> Shop:
    return asyncio.run(lived(postgres_lab))


async def lived(lab: Lab) -> Shop:
    tools = ProgramsOfPostgres(await find_programs(lab.major, ChildRunner(), [lab.programs]), ChildRunner())
    primary = lab.new("primary", segment_mib=1, settings={"max_wal_senders": 5})
    server = PostgresServer(Dsn.parse(primary.dsn()))
    primary.execute(f"CREATE TABLESPACE fast LOCATION '{primary.make_folder('fast')}'")
    primary.execute("CREATE TABLE orders (number int PRIMARY KEY, filling text) TABLESPACE fast")
    primary.execute("CREATE UNLOGGED TABLE baskets (number int)")
    await server.create_slot("drd")
    wal = lab.folder / "wal"
    wal.mkdir()
    client = Client()
    client.write(primary, 1, 20)
    spaces: tuple[Tablespace, ...] = (await server.facts()).tablespaces
    request = BaseRequest(primary.dsn(), lab.folder / "base", WalWith.NONE, "drd", spaces, is_synced=False)
    base = await tools.base_backup(request, lambda _: None)
    ended = (await server.positions()).taken
    primary.execute("SELECT lo_from_bytea(4711, 'coffee')")
    client.write(primary, 1, ROWS // 2)
    named = await server.create_restore_point("before it")
    point = RestorePoint("before it", 1, named)
    client.write(primary, 1, ROWS // 2)
    standby = await asyncio.to_thread(a_standby, lab, primary)
    client.write(primary, 1, 20)
    newest = client.rows[-1].lsn
    await until(lambda: Lsn.parse(standby.value("SELECT pg_last_wal_replay_lsn()::text")) >= newest, "it caught up")
    await received(tools, primary, wal, newest)
    await server.close()
    primary.kill()
    standby.promote()
    other = PostgresServer(Dsn.parse(standby.dsn()))
    await other.create_slot("drd")
    client.write(standby, 2, ROWS // 2)
    await received(tools, standby, wal, client.rows[-1].lsn)
    await other.close()
    standby.kill()
    kept = Kept(
        archive_in(wal), (Base("01R", base.timeline, base.start, base.end, ended),), tuple(client.marks), (point,)
    )
    return Shop(lab, wal, base.folder, dict(base.tablespaces), kept, client.rows, tools)


def a_standby(lab: Lab, primary: Cluster) -> Cluster:
    """As the lab makes them, with the tablespace at a place of its own."""
    standby = lab._place("standby", False)
    dsn = f"{primary.dsn().decode()} application_name=standby"
    fast = f"--tablespace-mapping={primary.folder}/fast={standby.folder}/fast"
    words = ["-D", str(standby.data), fast, "-X", "stream", "-c", "fast", "-R", "-C", "-S", "standby", "-N", "-d", dsn]
    lab.run("pg_basebackup", *words)
    standby.start()
    return standby


def archive_in(wal: Path) -> Archive:
    """What a folder holds; a partial segment as far as its last byte that is not zero."""
    whole: list[Segment] = []
    partials: dict[Segment, Lsn] = {}
    histories: list[History] = []
    for file in wal.iterdir():
        segment = Segment.parse(file.name, SIZE)
        if kind_of(file.name) is FileKind.HISTORY:
            histories.append(History.parse(int(file.name[:8], 16), file.read_text()))
        elif segment is not None and kind_of(file.name) is FileKind.PARTIAL:
            partials[segment] = segment.start + len(file.read_bytes().rstrip(b"\0"))
        elif segment is not None:
            whole.append(segment)
    return Archive.of(SIZE, whole, partials, histories)


class LaterHost(MachineHost):
    """Something happens after the WAL was looked for and before the server asks for it."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens = happens
        self._calls = 0

    async def within(self, seconds: float, work: Callable[[], Result]) -> Result:
        done = await super().within(seconds, work)
        self._calls += 1
        if self._calls == 2:
            self._happens()
        return done


@dataclass
class Recovery:
    """A copy of the base to recover, and the server that starts from it afterwards."""

    shop: Shop
    cluster: Cluster
    wal: Path
    progress: list[Progress] = field(default_factory=list)

    def replaying(self, target: Target, choice: Choice | None = None, **more: Any) -> Replaying:
        choice = choice or choose_base(self.shop.kept, target)
        work = self.cluster.folder / "recovery"
        return Replaying(self.cluster.data, self.wal, work, choice, target, OWNER, self.shop.lab.user, **more)

    async def run(
        self, target: Target, choice: Choice | None = None, host: Host | None = None, **more: Any
    ) -> Replayed:
        replay = Replay(self.shop.tools, host or MachineHost(), SystemClock())
        return await replay.replay(self.replaying(target, choice, **more), self.progress.append)

    def rows(self) -> set[int]:
        self.cluster.start()
        found = {number for (number,) in self.cluster.rows("SELECT number FROM orders")}
        self.cluster.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
        self.cluster.execute("SELECT bt_index_check(oid, true) FROM pg_class WHERE relname = 'orders_pkey'")
        assert self.cluster.value("SELECT count(*) FROM baskets") == 0
        self.cluster.stop()
        return found

    @property
    def runs(self) -> bool:
        return (self.cluster.data / "postmaster.pid").exists()


@pytest.fixture
async def recovery(past: Shop) -> AsyncIterator[Recovery]:
    lab = past.lab
    cluster = lab._place(f"r{len(lab._clusters)}", has_port=False)
    shutil.copytree(past.base, cluster.data, symlinks=True)
    spaces = {oid: cluster.folder / str(oid) for oid in past.spaces}
    for oid, place in past.spaces.items():
        shutil.copytree(place, spaces[oid], symlinks=True)
    restored.complete(cluster.data, spaces.values())
    restored.link_tablespaces(cluster.data, spaces)
    wal = cluster.folder / "wal"
    shutil.copytree(past.wal, wal)
    if os.geteuid() == 0 and lab.user:
        restored.give([cluster.data, *spaces.values(), wal], lab.user)
    yield Recovery(past, cluster, wal)
    cluster.kill()
    shutil.rmtree(cluster.folder, ignore_errors=True)


@pytest.mark.parametrize("seed", range(6))
async def test_a_moment_holds_all_that_was_acknowledged_before_it_and_nothing_begun_after_it(
    seed: int, past: Shop, recovery: Recovery
) -> None:
    first, last = past.kept.bases[0].ended_at, past.kept.marks[-1].moment
    chance = random.Random(seed)
    while True:
        moment = first + (last - first) * chance.random()
        with suppress(NotCovered):
            choose_base(past.kept, AtTime(moment))
            break
    await recovery.run(AtTime(moment))
    found = recovery.rows()
    assert found >= past.until(lambda row: row.acknowledged < moment)
    assert found <= past.until(lambda row: row.begun <= moment)


@pytest.mark.parametrize("seed", range(4))
async def test_a_position_holds_exactly_what_lies_before_it(seed: int, past: Shop, recovery: Recovery) -> None:
    chosen = random.Random(seed).choice([row for row in past.rows if row.lsn > past.kept.bases[0].end])
    replayed = await recovery.run(AtLsn(chosen.lsn))
    assert recovery.rows() == past.until(lambda row: row.number <= chosen.number)
    assert replayed.reached <= chosen.lsn


async def test_a_named_point_holds_exactly_what_lies_before_it(past: Shop, recovery: Recovery) -> None:
    replayed = await recovery.run(AtName("before it"))
    [point] = past.kept.points
    assert recovery.rows() == past.until(lambda row: row.timeline == 1 and row.lsn <= point.lsn)
    assert str(point.lsn) in replayed.reason
    assert replayed.reached == point.lsn


async def test_latest_goes_to_the_last_row_across_the_promotion(past: Shop, recovery: Recovery) -> None:
    replayed = await recovery.run(Latest())
    assert recovery.rows() == past.until(lambda row: True)
    assert (replayed.timeline, replayed.is_to_the_end) == (3, True)
    assert recovery.progress[-1].done_bytes == recovery.progress[-1].total_bytes > SIZE
    assert not recovery.runs


async def test_the_older_timeline_can_be_followed_to_its_end(past: Shop, recovery: Recovery) -> None:
    choice = choose_base(past.kept, Latest(), timeline=1)
    await recovery.run(Latest(), choice)
    assert recovery.rows() == past.until(lambda row: row.timeline == 1)


async def test_a_moment_behind_the_last_record_is_reached_at_the_end(past: Shop, recovery: Recovery) -> None:
    last = past.kept.marks[-1]
    kept = replace(past.kept, marks=(*past.kept.marks, replace(last, moment=last.moment + timedelta(seconds=60))))
    target = AtTime(last.moment + timedelta(seconds=30))
    replayed = await recovery.run(target, choose_base(kept, target))
    assert replayed.is_to_the_end
    assert recovery.rows() == past.until(lambda row: True)


def in_the_middle(past: Shop) -> Segment:
    """A whole segment that lies between the base and the end."""
    segments = choose_base(past.kept, Latest()).segments
    return segments[len(segments) // 2]


async def test_a_missing_segment_is_named_before_anything_is_begun(past: Shop, recovery: Recovery) -> None:
    lost = in_the_middle(past)
    (recovery.wal / lost.name).unlink()
    with pytest.raises(PermanentError, match=f"the WAL {lost.name} is missing"):
        await recovery.run(Latest(), choose_base(past.kept, Latest()))
    assert not (recovery.cluster.data / "recovery.signal").exists()
    with pytest.raises(NotCovered, match=lost.name):
        choose_base(replace(past.kept, archive=archive_in(recovery.wal)), Latest())


async def test_a_damaged_segment_is_no_end_of_the_wal(past: Shop, recovery: Recovery) -> None:
    segments = choose_base(past.kept, Latest()).segments[1:-1]
    written = [
        recovery.wal / each.name for each in segments if (recovery.wal / each.name).read_bytes()[-1000:].strip(b"\0")
    ]
    with written[len(written) // 2].open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(bytes(20_000))
    with pytest.raises(PermanentError, match="the WAL is damaged behind"):
        await recovery.run(Latest(), choose_base(past.kept, Latest()))
    assert not recovery.runs


async def test_wal_that_cannot_be_read_stops_recovery_and_never_ends_it_early(past: Shop, recovery: Recovery) -> None:
    away, hidden = recovery.wal / in_the_middle(past).name, recovery.cluster.folder / "hidden"
    with pytest.raises(TransientError, match="did not end early"):
        await recovery.run(Latest(), host=LaterHost(lambda: away.rename(hidden)))
    assert (recovery.cluster.data / "recovery.signal").exists()
    assert not recovery.runs
    hidden.rename(away)
    await recovery.run(Latest())
    assert recovery.rows() == past.until(lambda row: True)


async def test_a_cluster_that_is_half_recovered_does_not_start_by_itself(past: Shop, recovery: Recovery) -> None:
    (recovery.cluster.data / "recovery.signal").touch()
    with pytest.raises(AssertionError, match="restore_command"):
        recovery.cluster.start()
    recovery.cluster.stop()


async def test_recovery_that_does_not_move_is_stopped(past: Shop, recovery: Recovery) -> None:
    stuck = recovery.wal / in_the_middle(past).name

    def hang() -> None:
        stuck.unlink()
        os.mkfifo(stuck)

    with pytest.raises(PermanentError, match="has not moved for 2s"):
        await recovery.run(Latest(), host=LaterHost(hang), stall=timedelta(seconds=2))
    assert not recovery.runs


async def test_a_cancelled_recovery_leaves_no_server(past: Shop, recovery: Recovery) -> None:
    task = asyncio.create_task(recovery.run(Latest()))
    await until(lambda: recovery.runs or task.done(), "it runs")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert not recovery.runs
