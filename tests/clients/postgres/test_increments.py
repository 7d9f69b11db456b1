"""Incremental base backups of a real server: what they take, what they make together, and when there is none."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from drd.clients.postgres_tools import ProgramsOfPostgres, find_programs
from drd.clients.process import ChildRunner
from drd.core.errors import PermanentError
from drd.core.postgres.errors import NoIncrement
from drd.ports.postgres import Tablespace
from drd.ports.postgres_tools import Base, BaseRequest, CombineRequest, WalWith
from tests.postgres_lab import Cluster, Lab

pytestmark = pytest.mark.slow

Take = Callable[..., Base]


@pytest.fixture(scope="module")
def shop(newer_postgres_lab: Lab) -> Cluster:
    cluster = newer_postgres_lab.new("shop", segment_mib=1, settings={"summarize_wal": "on"})
    cluster.execute(f"CREATE TABLESPACE fast LOCATION '{cluster.make_folder('fast=er')}'")
    cluster.execute("CREATE TABLE orders (number int, filler text) TABLESPACE fast")
    cluster.execute("INSERT INTO orders SELECT i, repeat('y', 900) FROM generate_series(1, 20000) i")
    cluster.execute("VACUUM orders")
    cluster.execute("CREATE EXTENSION amcheck")
    return cluster


@pytest.fixture(scope="module")
def tools(newer_postgres_lab: Lab) -> ProgramsOfPostgres:
    lab = newer_postgres_lab
    return ProgramsOfPostgres(asyncio.run(find_programs(lab.major, ChildRunner(), [lab.programs])), ChildRunner())


def wanted(cluster: Cluster, folder: Path, since: Base | None = None) -> BaseRequest:
    oid, location = cluster.rows("SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'")[0]
    spaces = (Tablespace("fast", oid, location),)
    manifest = None if since is None else since.manifest
    return BaseRequest(cluster.dsn(), folder, WalWith.STREAM, "drd", spaces, since=manifest, is_synced=False)


def size(*folders: Path) -> int:
    return sum(path.lstat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


async def test_a_full_and_what_follows_make_a_cluster_of_the_last_moment(
    shop: Cluster, newer_postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    bases: list[Base] = []
    for name in ("full", "first", "second"):
        request = wanted(shop, tmp_path / name, bases[-1] if bases else None)
        bases.append(await tools.base_backup(request, lambda _: None))
        shop.execute("UPDATE orders SET filler = 'changed' WHERE number %% 1000 = %s", len(bases))
    sizes = [size(base.folder / "base", *base.tablespaces.values()) for base in bases]
    assert max(sizes[1:]) < sizes[0] / 2, sizes

    restored = newer_postgres_lab._place("restored", has_port=False)
    space = restored.folder / "space"
    [lies] = bases[-1].tablespaces.values()
    request = CombineRequest(tuple(base.folder for base in bases), tmp_path / "combined", {lies: space})
    await tools.combine(request)

    assert (await tools.verify(tmp_path / "combined", tmp_path / "combined" / "pg_wal")).is_sound
    (tmp_path / "combined").rename(restored.data)
    owner = restored.folder.stat()
    for path in (restored.data, *restored.data.rglob("*"), space, *space.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    restored.start()
    assert restored.value("SELECT count(*) FROM orders") == 20000
    assert restored.value("SELECT count(*) FROM orders WHERE filler = 'changed'") == 40
    assert restored.rows("SELECT * FROM verify_heapam('orders')") == []
    restored.stop()


async def test_those_that_do_not_follow_one_another_are_not_combined(
    shop: Cluster, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    full = await tools.base_backup(wanted(shop, tmp_path / "full"), lambda _: None)
    shop.execute("UPDATE orders SET filler = 'more' WHERE number = 3")
    first = await tools.base_backup(wanted(shop, tmp_path / "first", full), lambda _: None)
    second = await tools.base_backup(wanted(shop, tmp_path / "second", first), lambda _: None)
    spaces = {second.tablespaces[oid]: tmp_path / "space" for oid in second.tablespaces}

    with pytest.raises(PermanentError, match="pg_combinebackup failed"):
        await tools.combine(CombineRequest((full.folder, second.folder), tmp_path / "made", spaces))

    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "space").exists()


async def test_without_summaries_there_is_none(
    newer_postgres_lab: Lab, shop: Cluster, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    full = await tools.base_backup(wanted(shop, tmp_path / "full"), lambda _: None)
    shop.configure({"summarize_wal": "off"})
    shop.reload()
    try:
        with pytest.raises(NoIncrement, match="gives no incremental base backup"):
            await tools.base_backup(wanted(shop, tmp_path / "off", full), lambda _: None)
        for path in (shop.data / "pg_wal" / "summaries").iterdir():
            path.unlink()
        # Without the WAL that they were made from the server cannot make them again.
        for _ in range(3):
            shop.execute("INSERT INTO orders SELECT 0, repeat('z', 900) FROM generate_series(1, 2000)")
            shop.execute("CHECKPOINT")
    finally:
        shop.configure({"summarize_wal": "on"})
        shop.reload()
    with pytest.raises(NoIncrement):
        await tools.base_backup(wanted(shop, tmp_path / "expired", full), lambda _: None)
    other = newer_postgres_lab.new("other", segment_mib=1, settings={"summarize_wal": "on"})
    with pytest.raises(NoIncrement):
        await tools.base_backup(
            BaseRequest(other.dsn(), tmp_path / "other", WalWith.STREAM, "drd", since=full.manifest), lambda _: None
        )
    assert not [path for name in ("off", "expired", "other") for path in tmp_path.glob(f"{name}*")]
