"""Base backups that were restored and are asked before they take their place; one database brought out of them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from drd.core.errors import DrdError, PermanentError, UsageError
from drd.core.postgres.heartbeat import CREATE
from drd.ports.world import World
from tests.postgres_lab import Cluster, Lab
from tests.sources.test_postgres import opened, source
from tests.sources.test_postgres_restored import Copy

pytestmark = pytest.mark.slow
PASSWORD = "a'b c%$"


@pytest.fixture(scope="module")
def market(postgres_lab: Lab) -> Cluster:
    """A cluster with two databases, one of which has all that makes a dump hard."""
    cluster = postgres_lab.new("market", segment_mib=1)
    cluster.make_role("drd", PASSWORD, "REPLICATION")
    cluster.make_role("clerk", PASSWORD)
    cluster.execute("GRANT pg_read_all_settings TO drd")
    cluster.admit("drd")
    outside = cluster.make_folder("etc") / "pg_hba.conf"
    shutil.move(cluster.data / "pg_hba.conf", outside)
    outside.chmod(0o644)
    cluster.configure({"hba_file": outside})
    cluster.stop()
    cluster.start()
    cluster.execute(f"CREATE TABLESPACE fast LOCATION '{cluster.make_folder('fast')}'")
    cluster.execute('CREATE DATABASE "a shop"')
    for statement in (
        "CREATE TABLE orders (number int PRIMARY KEY, note text) TABLESPACE fast",
        "INSERT INTO orders SELECT n, repeat('x', n % 50) FROM generate_series(1, 1000) AS n",
        "GRANT SELECT ON orders TO clerk",
        "SELECT lo_from_bytea(4711, decode(repeat('c0ffee', 5000), 'hex'))",
        *CREATE,
        "INSERT INTO drd.heartbeat VALUES ('orders', 'd1', 0, 7, '2026-11-22 10:15:00.25+08', '0/5')",
    ):
        cluster.rows(statement, database="a shop")
    return cluster


@pytest.fixture
async def copy(market: Cluster, postgres_lab: Lab, world: World, tmp_path: Path) -> Any:
    """What restic would bring back of it."""
    place = postgres_lab._place(f"m{len(postgres_lab._clusters)}", has_port=False)
    dsn = market.dsn("drd", PASSWORD)
    async with opened(source(tmp_path, dsn, postgres_lab), world) as (folder, prepared):
        shutil.copytree(folder, place.folder / "work", symlinks=True)
    yield Copy(postgres_lab, place, prepared.facts, world)
    place.kill()


@pytest.mark.parametrize("dump_format", ["directory", "custom", "plain"])
async def test_one_database_comes_out_as_a_dump_that_can_be_loaded(
    copy: Copy, postgres_lab: Lab, dump_format: str
) -> None:
    settled = await copy.settle(database="a shop", format=dump_format)
    name = "a_shop.sql" if dump_format == "plain" else "a_shop.dump"
    assert sorted(path.name for path in copy.place.iterdir()) == [name, "roles.sql"]
    roles = (copy.place / "roles.sql").read_text()
    assert "CREATE ROLE clerk" in roles
    assert "SCRAM-SHA-256" not in roles
    [line] = settled.following
    assert line.startswith("createdb 'a shop_restored' && ")
    other = postgres_lab.new(f"other{dump_format}", segment_mib=1)
    try:
        other.execute("CREATE DATABASE back")
        other.execute("CREATE ROLE clerk")
        other.execute(f"CREATE TABLESPACE fast LOCATION '{other.make_folder('fast')}'")
        shutil.copytree(copy.place, other.folder / "dumped")
        for path in (other.folder / "dumped", *(other.folder / "dumped").rglob("*")):
            path.chmod(0o755)
        dump = str(other.folder / "dumped" / name)
        reach = other.dsn(database="back").decode()
        if dump_format == "plain":
            postgres_lab.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", reach, "-f", dump)
        else:
            postgres_lab.run("pg_restore", "-e", "-d", reach, dump)
        assert other.rows("SELECT count(*) FROM orders", database="back") == [(1000,)]
        assert other.rows("SELECT length(lo_get(4711))", database="back") == [(15000,)]
        assert other.rows("SELECT has_table_privilege('clerk', 'orders', 'SELECT')", database="back") == [(True,)]
    finally:
        other.kill()


async def test_one_database_is_loaded_into_another_that_is_empty(copy: Copy, postgres_lab: Lab, tmp_path: Path) -> None:
    other = postgres_lab.new("loaded", segment_mib=1)
    try:
        other.make_role("owner2", PASSWORD)
        other.execute("CREATE DATABASE back OWNER owner2")
        place = tmp_path / "into"
        place.touch(mode=0o600)
        place.write_bytes(other.dsn("owner2", PASSWORD, "back"))
        other.execute(f"CREATE TABLESPACE fast LOCATION '{other.make_folder('fast')}'")
        other.execute("GRANT CREATE ON TABLESPACE fast TO owner2")
        settled = await copy.settle(database="a shop", into=f"file:{place}")
        assert any(note.startswith("loaded into ") for note in settled.notes)
        assert PASSWORD not in " ".join(settled.notes)
        assert other.rows("SELECT count(*) FROM orders", database="back") == [(1000,)]
        shutil.rmtree(copy.place)
        with pytest.raises(UsageError, match="tables already, and nothing is ever overwritten"):
            await copy.settle(database="a shop", into=f"file:{place}")
    finally:
        other.kill()


async def test_what_cannot_be_loaded_whole_is_not_loaded_at_all(copy: Copy, postgres_lab: Lab, tmp_path: Path) -> None:
    other = postgres_lab.new("refusing", segment_mib=1)
    try:
        other.execute("CREATE DATABASE back")  # and no tablespace `fast`
        place = tmp_path / "into"
        place.touch(mode=0o600)
        place.write_bytes(other.dsn(database="back"))
        with pytest.raises(PermanentError, match="tablespace"):
            await copy.settle(database="a shop", into=f"file:{place}")
        assert other.rows("SELECT count(*) FROM pg_class WHERE relname = 'orders'", database="back") == [(0,)]
        assert not copy.place.exists()
    finally:
        other.kill()


async def test_an_unknown_database_is_told_with_those_that_there_are(copy: Copy) -> None:
    with pytest.raises(UsageError, match="no database shop") as caught:
        await copy.settle(database="shop")
    assert caught.value.hint == "those that it has: a shop, postgres"
    assert not copy.place.exists()


async def test_a_copy_tells_its_moment_and_answers_what_is_asked(copy: Copy) -> None:
    queries = {
        "verify.000": "a shop: SELECT count(*) = 1000 FROM orders",
        "verify.001": "a shop: SELECT count(*) = 1001 FROM orders",
        "verify.002": "a shop: SELECT 1 FROM orders WHERE number > 5000",
        "verify.003": "SELECT count(*) FROM orders",
        "verify.004": "a shop: DELETE FROM orders RETURNING true",
    }
    settled = await copy.settle(**queries)
    assert settled.heartbeat is not None
    assert settled.heartbeat.isoformat() == "2026-11-22T02:15:00.250000+00:00"
    assert [check.is_passed for check in settled.checks] == [True, False, False, False, False]
    assert [check.said for check in settled.checks[:3]] == ["True", "False", "no row"]
    assert "does not exist" in settled.checks[3].said
    assert "only reads" in settled.checks[4].said
    assert str(settled.checks[1]).startswith("check FAILED: a shop: SELECT count(*) = 1001 FROM orders → False")
    copy.cluster.start()
    assert copy.cluster.rows("SELECT count(*) FROM orders", database="a shop") == [(1000,)]


async def test_programs_of_another_version_are_one_clear_error(copy: Copy, tmp_path: Path, postgres_lab: Lab) -> None:
    other = tmp_path / "bin"
    other.mkdir()
    for name in ("pg_basebackup", "pg_receivewal", "pg_verifybackup", "pg_controldata"):
        (other / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 14.9'\n")
        (other / name).chmod(0o755)
    with pytest.raises(UsageError, match=r"are of PostgreSQL 14\.9, and the backup is of 15"):
        await copy.settle(programs=str(other))
    (other / "pg_verifybackup").unlink()
    with pytest.raises(UsageError, match="lacks pg_verifybackup"):
        await copy.settle(programs=str(other))
    settled = await copy.settle(programs=str(postgres_lab.programs))
    assert settled.notes[0] == "pg_verifybackup found it whole"


async def test_what_does_not_fit_together_is_refused(copy: Copy) -> None:
    for options, sentence in [
        ({"database": "a shop", "port": "5440"}, "no server to be set up"),
        ({"into": "file:/etc/drd/dsn"}, "which database"),
        ({"database": "a shop", "into": "postgresql://drd:secret@db1/shop"}, "never typed"),
        ({"database": "a shop", "into": "file:dsn"}, "never typed"),
        ({"database": "a shop", "into": "file:/etc/drd/dsn", "format": "plain"}, "loaded by psql"),
        ({"database": "a shop", "format": "tar"}, "is no format"),
        ({"programs": "bin"}, "not an absolute path"),
    ]:
        with pytest.raises(DrdError, match=sentence) as caught:
            await copy.settle(**options)
        assert "secret" not in str(caught.value)


async def test_configuration_outside_of_the_data_directory_comes_back_beside_it(copy: Copy, market: Cluster) -> None:
    settled = await copy.settle()
    beside = copy.place.with_name("data.configuration")
    assert f"what its server was configured with is in {beside}" in settled.notes
    assert [path.name for path in beside.iterdir()] == ["pg_hba.conf"]
    assert (beside / "pg_hba.conf").read_text() == (market.folder / "etc" / "pg_hba.conf").read_text()
