"""Base backups of real servers: whole, or not there at all."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.postgres import Dsn, PostgresServer
from drd.clients.postgres_tools import ProgramsOfPostgres
from drd.core.errors import DrdError, PermanentError, StateFull, TransientError
from drd.core.postgres.errors import LoginRefused, RightMissing, ServerAway
from drd.ports.postgres_tools import Base, BaseProgress, BaseRequest, ReceiveRequest, WalWith
from tests.clients.postgres.conftest import AWKWARD
from tests.postgres_lab import Cluster, Lab, children
from tests.system.disks import small_disk
from tests.waiting import until

pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)


@pytest.fixture
def request_of_base(shop: Cluster, tmp_path: Path) -> BaseRequest:
    dsn = shop.dsn("drd", AWKWARD)
    return BaseRequest(dsn, tmp_path / "base", WalWith.STREAM, "drd orders", is_synced=False, deadline=MINUTE)


def large(lab: Lab, name: str, **options: object) -> Cluster:
    """A cluster of which a backup at 1 MiB/s takes long enough to be disturbed."""
    cluster = lab.new(name, segment_mib=1, **options)
    cluster.execute(
        "CREATE TABLE orders AS SELECT i AS number, repeat('y', 900) AS filler FROM generate_series(1, 9000) i"
    )
    return cluster


def slowly(cluster: Cluster, folder: Path) -> BaseRequest:
    return BaseRequest(
        cluster.dsn(), folder / "base", WalWith.STREAM, "drd", bytes_a_second=2**20, is_synced=False, deadline=MINUTE
    )


class InTheMiddle:
    """A backup that is under way; `reached` is when its first bytes have come."""

    def __init__(self, tools: ProgramsOfPostgres, request: BaseRequest) -> None:
        self.samples: list[BaseProgress] = []
        self.task = asyncio.create_task(tools.base_backup(request, self.samples.append))
        self._request = request

    async def reached(self) -> None:
        unfinished = self._request.folder.with_name("base.unfinished")
        await until(lambda: (unfinished / "base").is_dir() or self.task.done(), "the backup is under way")
        assert not self.task.done()

    def children(self) -> list[int]:
        return [pid for pid in children(os.getpid()) if b"pg_basebackup" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_base_backup_of_a_busy_server_verifies_and_tells_what_it_is(
    shop: Cluster, tools: ProgramsOfPostgres, request_of_base: BaseRequest
) -> None:
    samples: list[BaseProgress] = []
    writing = asyncio.to_thread(lambda: [shop.execute("INSERT INTO orders SELECT 1, 'x'") for _ in range(100)])
    base, _ = await asyncio.gather(tools.base_backup(request_of_base, samples.append), writing)
    server = PostgresServer(Dsn.parse(shop.dsn()))
    facts, positions = await server.facts(), await server.positions()
    await server.close()
    assert (base.system_identifier, base.timeline) == (facts.system_identifier, facts.timeline)
    assert base.start < base.end <= positions.newest
    assert base.total_bytes == samples[-1].done_bytes > 2**20
    assert base.manifest.is_file()
    assert (await tools.verify(base.folder)).is_sound
    assert (await tools.verify(base.folder, base.folder / "pg_wal")).is_sound
    assert left_in(base.folder.parent) == ["base"]


async def test_a_file_that_changed_or_lacks_is_named(tools: ProgramsOfPostgres, request_of_base: BaseRequest) -> None:
    base = await tools.base_backup(request_of_base, lambda _: None)
    (base.folder / "PG_VERSION").write_text("16\n")
    (base.folder / "global" / "1213").unlink()
    found = await tools.verify(base.folder)
    assert not found.is_sound
    assert any("PG_VERSION" in problem for problem in found.problems)
    assert any("global/1213" in problem for problem in found.problems)


async def test_control_data_tell_the_cluster(shop: Cluster, tools: ProgramsOfPostgres, tmp_path: Path) -> None:
    control = await tools.control_data(shop.data)
    assert (control.state, control.timeline, control.segment_bytes) == ("in production", 1, 2**20)
    assert control.has_checksums
    with pytest.raises(PermanentError):
        await tools.control_data(tmp_path)


async def test_tablespaces_come_beside_the_data(postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path) -> None:
    cluster = postgres_lab.new("spaced", segment_mib=1)
    place = cluster.make_folder("fast=quick")
    cluster.execute(f"CREATE TABLESPACE fast LOCATION '{place}'")
    cluster.execute("CREATE TABLE orders TABLESPACE fast AS SELECT 1 AS number")
    server = PostgresServer(Dsn.parse(cluster.dsn()))
    spaces = (await server.facts()).tablespaces
    await server.close()
    request = replace(slowly(cluster, tmp_path), tablespaces=spaces, bytes_a_second=None)
    base = await tools.base_backup(request, lambda _: None)
    [(oid, copied)] = base.tablespaces.items()
    assert (base.folder / "pg_tblspc" / str(oid)).readlink() == copied
    assert list(copied.iterdir())
    assert (await tools.verify(base.folder)).is_sound


async def test_a_base_backup_of_a_standby_has_no_more_than_the_standby(
    postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    primary = large(postgres_lab, "leader")
    standby = postgres_lab.standby(primary, "follower")
    base = await tools.base_backup(replace(slowly(standby, tmp_path), bytes_a_second=None), lambda _: None)
    assert (await tools.verify(base.folder, base.folder / "pg_wal")).is_sound
    server = PostgresServer(Dsn.parse(standby.dsn()))
    assert base.end <= (await server.positions()).newest
    await server.close()


async def test_a_place_that_is_taken_is_left_alone(tools: ProgramsOfPostgres, request_of_base: BaseRequest) -> None:
    request_of_base.folder.mkdir()
    (request_of_base.folder / "precious").touch()
    with pytest.raises(PermanentError, match="is there already"):
        await tools.base_backup(request_of_base, lambda _: None)
    assert left_in(request_of_base.folder) == ["precious"]


async def test_what_a_killed_daemon_left_is_replaced(tools: ProgramsOfPostgres, request_of_base: BaseRequest) -> None:
    left = request_of_base.folder.with_name("base.unfinished")
    (left / "global").mkdir(parents=True)
    base = await tools.base_backup(request_of_base, lambda _: None)
    assert (await tools.verify(base.folder)).is_sound
    assert left_in(base.folder.parent) == ["base"]


@pytest.mark.parametrize("disturbed", ["server killed", "program killed", "cancelled", "too slow", "stalled"])
async def test_a_base_backup_that_is_disturbed_is_one_error_and_leaves_nothing(
    disturbed: str, postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    cluster = large(postgres_lab, disturbed.replace(" ", "-"))
    request = slowly(cluster, tmp_path)
    if disturbed == "too slow":
        request = replace(request, deadline=timedelta(seconds=1))
    if disturbed == "stalled":
        request = replace(request, stall=timedelta(seconds=2))
    backup = InTheMiddle(tools, request)
    await backup.reached()
    if disturbed == "cancelled":
        backup.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await backup.task
    else:
        if disturbed == "server killed":
            cluster.kill()
        if disturbed == "stalled":
            halted = [cluster.pid, *children(cluster.pid)]
            for pid in halted:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
        if disturbed == "program killed":
            for pid in backup.children():
                os.kill(pid, signal.SIGKILL)
        with pytest.raises(TransientError if disturbed == "program killed" else ServerAway) as caught:
            await backup.task
        assert caught.value.hint
        assert len(str(caught.value).splitlines()) == 1
    assert left_in(tmp_path) == []


async def test_a_server_that_is_not_there_is_away(tools: ProgramsOfPostgres, request_of_base: BaseRequest) -> None:
    with pytest.raises(ServerAway):
        await tools.base_backup(replace(request_of_base, dsn=b"host=/nowhere user=drd"), lambda _: None)
    assert left_in(request_of_base.folder.parent) == []


async def refusal(shop: Cluster, tools: ProgramsOfPostgres, request: BaseRequest, user: str, password: str) -> DrdError:
    """How a role is refused, and nothing left behind."""
    with pytest.raises(PermanentError) as caught:
        await tools.base_backup(replace(request, dsn=shop.dsn(user, password)), lambda _: None)
    assert password not in repr(caught.value) + str(caught.value)
    assert left_in(request.folder.parent) == []
    return caught.value


async def test_a_wrong_password_is_told(shop: Cluster, tools: ProgramsOfPostgres, request_of_base: BaseRequest) -> None:
    error = await refusal(shop, tools, request_of_base, "drd", "guessed-wrongly")
    assert isinstance(error, LoginRefused)
    assert "refuses the password" in error.message


async def test_a_role_that_may_not_replicate_is_told_the_statement(
    shop: Cluster, tools: ProgramsOfPostgres, request_of_base: BaseRequest
) -> None:
    error = await refusal(shop, tools, request_of_base, "clerk", "clerk's own")
    assert isinstance(error, RightMissing)
    assert "ALTER ROLE clerk REPLICATION;" in error.hint
    assert "replication clerk" in error.hint


async def test_a_role_without_a_line_in_pg_hba_is_told_the_line(
    shop: Cluster, tools: ProgramsOfPostgres, request_of_base: BaseRequest
) -> None:
    error = await refusal(shop, tools, request_of_base, "stranger", "stranger's own")
    assert isinstance(error, LoginRefused)
    assert "local replication stranger scram-sha-256" in error.hint


async def test_damaged_pages_are_told_and_the_backup_is_not_kept(
    postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    cluster = large(postgres_lab, "damaged")
    table = cluster.data / cluster.value("SELECT pg_relation_filepath('orders')")
    cluster.execute("CHECKPOINT")
    with table.open("r+b") as file:
        file.seek(3 * 8192 + 4000)
        file.write(b"damage")
    with pytest.raises(PermanentError, match=f"are damaged: .*{table.name}"):
        await tools.base_backup(replace(slowly(cluster, tmp_path), bytes_a_second=None), lambda _: None)
    assert left_in(tmp_path) == []


async def test_a_full_disk_here_is_told_as_ours(shop: Cluster, tools: ProgramsOfPostgres, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 8) as small:
        request = BaseRequest(shop.dsn(), small / "base", WalWith.NONE, "drd", deadline=MINUTE)
        with pytest.raises(StateFull, match="finds no room"):
            await tools.base_backup(request, lambda _: None)
        assert left_in(small) == []


async def test_no_password_stands_in_a_process_list(
    postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    cluster = large(postgres_lab, "watched")
    cluster.make_role("drd", "open-sesame", "REPLICATION")
    request = replace(slowly(cluster, tmp_path), dsn=cluster.dsn("drd", "open-sesame"))
    backup = InTheMiddle(tools, request)
    await backup.reached()
    family = [pid for child in backup.children() for pid in (child, *children(child))]
    assert len(family) == 2  # the one that streams WAL is a process of its own
    for pid in family:
        seen = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert b"open-sesame" not in seen
        variables = {word.partition(b"=")[0]: word.partition(b"=")[2] for word in seen.split(b"\0")}
        assert variables[b"PGSERVICEFILE"].startswith(b"/dev/fd/")
        assert [name for name in variables if name.startswith(b"PG")] == [b"PGSERVICEFILE"]
    backup.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await backup.task


def test_requests_do_not_show_their_password() -> None:
    base = BaseRequest(b"password=open-sesame", Path("/x"), WalWith.NONE, "drd")
    receive = ReceiveRequest(b"password=open-sesame", Path("/x"), "drd")
    assert "sesame" not in repr(base) + repr(receive) + repr(Base)
