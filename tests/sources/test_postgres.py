"""Base backups as a source: what is saved can be restored by itself, and nothing is left lying about."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drd.clients.postgres_tools import ProgramsOfPostgres, find_programs
from drd.core.errors import DrdError, SourceRefused, TransientError
from drd.core.postgres.base import BaseFacts
from drd.ports.repository import FilesToSave
from drd.ports.source import Prepared
from drd.ports.world import World
from drd.sources.postgres import PostgresSource
from tests.postgres_lab import Cluster, Lab
from tests.system.disks import small_disk
from tests.waiting import until

PASSWORD = "a'b c%$"


def source(folder: Path, dsn: bytes, lab: Lab, **options: Any) -> PostgresSource:
    place = folder / "dsn"
    place.touch(mode=0o600)
    place.write_bytes(dsn)
    return PostgresSource.model_validate({"dsn": {"file": str(place)}, "programs": str(lab.programs), **options})


@asynccontextmanager
async def opened(source: PostgresSource, world: World) -> AsyncIterator[tuple[Path, Prepared]]:
    async with source.opened(world) as prepared:
        assert isinstance(prepared.content, FilesToSave)
        [folder] = prepared.content.paths
        yield folder, prepared


def left(world: World) -> list[str]:
    assert world.staging is not None
    return sorted(path.name for path in world.staging.iterdir()) if world.staging.exists() else []


@pytest.fixture(scope="module")
def shop(postgres_lab: Lab) -> Cluster:
    cluster = postgres_lab.new("shop", segment_mib=1)
    cluster.make_role("drd", PASSWORD, "REPLICATION")
    cluster.make_role("clerk", PASSWORD)
    cluster.make_role("stranger", PASSWORD, "REPLICATION")
    cluster.admit("drd")
    cluster.reload()
    cluster.execute(f"CREATE TABLESPACE fast LOCATION '{cluster.make_folder('fast')}'")
    cluster.execute("CREATE TABLE orders (number int) TABLESPACE fast")
    cluster.execute("INSERT INTO orders SELECT generate_series(1, 1000)")
    return cluster


# --- what can be written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["staging", "programs"])
def test_a_folder_is_written_whole(key: str) -> None:
    with pytest.raises(ValidationError, match="write the whole path, as /srv/here"):
        PostgresSource.model_validate({"dsn": {"credential": "orders"}, key: "here"})


# --- what is saved ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_what_is_saved_is_whole_and_starts_by_itself(
    shop: Cluster, postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    restored = postgres_lab._place("restored", has_port=False)
    async with opened(source(tmp_path, shop.dsn("drd", PASSWORD), postgres_lab), world) as (folder, prepared):
        assert sorted(path.name for path in folder.iterdir()) == ["base", "base.json", "base.tablespaces"]
        tools = ProgramsOfPostgres(await find_programs(15, world.runner, [postgres_lab.programs]), world.runner)
        assert (await tools.verify(folder / "base", folder / "base" / "pg_wal")).is_sound
        facts = BaseFacts.read((folder / "base.json").read_text())
        assert facts.system_identifier == shop.value("SELECT system_identifier::text FROM pg_control_system()")
        assert (facts.timeline, facts.segment_bytes, facts.has_checksums) == (1, 2**20, True)
        assert facts.start < facts.end
        assert shop.value("SELECT %s < clock_timestamp()", facts.ended_at)
        assert prepared.note == ""
        log = [path for path in (folder / "base" / "pg_wal").iterdir() if path.is_file()]
        assert prepared.accompanying_bytes == sum(path.stat().st_size for path in log) >= 2**20
        shutil.copytree(folder, restored.folder / "copy", symlinks=True)
    assert left(world) == []
    arrange(restored, facts)
    restored.start()
    assert restored.value("SELECT count(*) FROM orders") == 1000
    restored.stop()


def arrange(restored: Cluster, facts: BaseFacts) -> None:
    """Put the copy of a base where the cluster expects its data, with its tablespace beside it."""
    copy = restored.folder / "copy"
    [space] = facts.tablespaces
    link = copy / "base" / "pg_tblspc" / str(space.oid)
    link.unlink()
    link.symlink_to(restored.folder / "copy" / "base.tablespaces" / str(space.oid))
    shutil.move(copy / "base", restored.data)
    owner = restored.folder.stat()
    for path in (copy, *copy.rglob("*"), restored.data, *restored.data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@pytest.mark.slow
async def test_a_cluster_without_checksums_and_a_standby_are_told(
    postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    primary = postgres_lab.new("bare", segment_mib=1, has_checksums=False)
    standby = postgres_lab.standby(primary, "second")
    with pytest.raises(SourceRefused, match="is a standby, and the policy wants the primary") as caught:
        await source(tmp_path, standby.dsn(), postgres_lab).look(world)
    assert "from: standby" in caught.value.hint
    async with opened(source(tmp_path, standby.dsn(), postgres_lab, **{"from": "standby"}), world) as (
        folder,
        prepared,
    ):
        assert "no page checksums" in prepared.note
        assert BaseFacts.read((folder / "base.json").read_text()).is_of_standby


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "sentence", "hint"),
    [
        ("clerk", "does not let clerk replicate", "ALTER ROLE clerk REPLICATION"),
        ("stranger", "stranger", "pg_hba.conf"),
        ("nobody", "nobody", ""),
    ],
)
async def test_a_role_without_the_right_is_refused_and_told_what_lacks(
    role: str, sentence: str, hint: str, shop: Cluster, postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    with pytest.raises(SourceRefused, match=sentence) as caught:
        async with opened(source(tmp_path, shop.dsn(role, PASSWORD), postgres_lab), world):
            pytest.fail("it was opened")
    assert hint in caught.value.hint
    assert PASSWORD not in str(caught.value)
    assert left(world) == []


@pytest.mark.slow
async def test_programs_of_another_version_are_refused(
    shop: Cluster, postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    refused = source(tmp_path, shop.dsn(), postgres_lab, programs=str(tmp_path))
    with pytest.raises(SourceRefused, match=f"programs of PostgreSQL {postgres_lab.major} are not there"):
        await refused.look(world)


@pytest.mark.slow
async def test_a_staging_folder_without_room_is_refused_before_anything_is_read(
    shop: Cluster, postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 8) as small:
        refused = source(tmp_path, shop.dsn(), postgres_lab, staging=str(small))
        for attempt in (refused.look(world), opened(refused, world).__aenter__()):
            with pytest.raises(SourceRefused, match=r"needs about .* free"):
                await attempt
        assert list(small.iterdir()) == []


@pytest.mark.slow
async def test_a_staging_folder_that_fills_meanwhile_is_no_full_state_folder(
    shop: Cluster, postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    size = shop.value("SELECT sum(pg_database_size(oid)) FROM pg_database")
    with small_disk(tmp_path / "small", int(size) * 105 // 100 // 2**20 + 6) as small:
        slow = source(tmp_path, shop.dsn(), postgres_lab, staging=str(small), rate="8 MiB/s")
        task = asyncio.create_task(opened(slow, world).__aenter__())
        await until(lambda: task.done() or bool(list(small.glob("*/base.unfinished/base"))), "the backup is under way")
        with pytest.raises(OSError, match="No space"), (small / "other").open("wb") as file:
            file.write(bytes(64 * 2**20))
        with pytest.raises(TransientError, match="finds no room") as caught:
            await task
        assert type(caught.value) is TransientError
        assert [path.name for path in small.iterdir()] == ["other"]


@pytest.mark.slow
async def test_without_a_folder_to_lay_it_down_it_is_refused(
    shop: Cluster, postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    with pytest.raises(SourceRefused, match="no folder") as caught:
        await source(tmp_path, shop.dsn(), postgres_lab).look(replace(world, staging=None))
    assert "staging:" in caught.value.hint


# --- what goes wrong meanwhile ---------------------------------------------------------------------------------------


def grown(cluster: Cluster) -> Cluster:
    """So large that a backup at 1 MiB/s takes long enough to be disturbed."""
    cluster.execute("CREATE TABLE ballast AS SELECT repeat('y', 900) FROM generate_series(1, 9000)")
    return cluster


@pytest.mark.slow
async def test_a_standby_that_is_promoted_meanwhile_is_tried_again(
    postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    standby = postgres_lab.standby(grown(postgres_lab.new("leader", segment_mib=1)), "follower")
    slow = source(tmp_path, standby.dsn(), postgres_lab, **{"from": "standby", "rate": "1 MiB/s"})
    task = asyncio.create_task(opened(slow, world).__aenter__())
    assert world.staging is not None
    begun = world.staging
    await until(lambda: task.done() or bool(list(begun.glob("*/base.unfinished/base"))), "the backup is under way")
    await asyncio.to_thread(standby.promote)
    with pytest.raises(TransientError) as caught:
        await task
    assert not isinstance(caught.value, SourceRefused)
    assert left(world) == []


KILLED = """
import asyncio, sys
from pathlib import Path
from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.clients.secrets import SystemSecrets
from drd.ports.world import World
from drd.sources.postgres import PostgresSource
async def main():
    dsn, programs, staging = sys.argv[1:]
    runner = ChildRunner()
    world = World(SystemClock(), runner, SystemSecrets(runner, {}), staging=Path(staging))
    written = {"dsn": {"file": dsn}, "programs": programs, "rate": "1 MiB/s"}
    async with PostgresSource.model_validate(written).opened(world):
        pass
asyncio.run(main())
"""


@pytest.mark.slow
async def test_what_a_killed_daemon_left_is_swept_by_the_next_one(
    postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    cluster = grown(postgres_lab.new("killed", segment_mib=1))
    again = source(tmp_path, cluster.dsn(), postgres_lab)
    staging = world.staging
    assert staging is not None
    words = [sys.executable, "-c", KILLED, str(tmp_path / "dsn"), str(postgres_lab.programs), str(staging)]
    with subprocess.Popen(words) as other:
        await until(lambda: bool(list(staging.glob("*/base.unfinished/base"))), "the backup is under way")
        other.send_signal(signal.SIGKILL)
    assert left(world) != []
    async with opened(again, world) as (folder, _):
        assert left(world) == [folder.name]
        assert sorted(path.name for path in folder.iterdir()) == ["base", "base.json"]
    assert left(world) == []


@pytest.mark.slow
async def test_a_server_that_is_away_is_tried_again(postgres_lab: Lab, world: World, tmp_path: Path) -> None:
    away = source(tmp_path, b"host=/nowhere user=drd", postgres_lab)
    with pytest.raises(DrdError) as caught:
        await away.look(world)
    assert isinstance(caught.value, TransientError)
