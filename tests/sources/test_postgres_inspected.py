"""What `drd validate --reach` and `drd grants` say about a real server."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drd.core.findings import Severity
from drd.core.postgres.verdicts import Verdict
from drd.core.secrets import SecretReference
from drd.ports.servers import Node
from drd.ports.world import World
from drd.sources.postgres import PostgresSource
from tests.postgres_lab import Cluster, Lab
from tests.waiting import until

pytestmark = pytest.mark.slow
LIMITED = {"max_slot_wal_keep_size": "1GB", "fsync": "on"}


@pytest.fixture(scope="module")
def shop(postgres_lab: Lab) -> Iterator[Cluster]:
    cluster = postgres_lab.new("inspected", segment_mib=1, is_durable=True, settings=LIMITED)
    cluster.make_role("clerk", "secret")
    cluster.make_role("mighty", "secret", "REPLICATION CREATEROLE CREATEDB")
    cluster.admit("mighty", "drd")
    cluster.reload()
    yield cluster
    cluster.kill()


def source(folder: Path, dsn: bytes, **options: Any) -> PostgresSource:
    return PostgresSource.model_validate({"dsn": {"file": str(kept(folder, "dsn", dsn))}, **options})


def kept(folder: Path, name: str, dsn: bytes) -> Path:
    place = folder / name
    place.touch(mode=0o600)
    place.write_bytes(dsn)
    return place


def about(verdicts: tuple[Verdict, ...]) -> dict[str, Verdict]:
    assert all(each.hint for each in verdicts)
    return {each.about: each for each in verdicts}


async def test_what_grants_prints_is_all_that_is_needed(shop: Cluster, world: World, tmp_path: Path) -> None:
    written = source(tmp_path, shop.dsn("drd", "secret"), wal="continuous")
    [needed] = await written.grants(world, None)
    assert needed.database == "postgres"
    assert needed.hba[0] == "local replication drd scram-sha-256"
    for statement in needed.sql:
        shop.execute(statement.replace("'…'", "'secret'"))
    assert await written.verdicts(world, "orders") == ()


async def test_each_right_that_lacks_is_one_finding_with_its_statement(
    shop: Cluster, world: World, tmp_path: Path
) -> None:
    found = about(await source(tmp_path, shop.dsn("clerk", "secret")).verdicts(world, "orders"))
    assert sorted(found) == ["heartbeat", "replication", "role"]
    assert found["role"].hint == "ALTER ROLE clerk REPLICATION;"
    assert found["role"].severity is Severity.BROKEN
    assert re.search(r"replication clerk", found["replication"].hint)
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON drd.heartbeat TO clerk;" in found["heartbeat"].hint
    for statement in found["heartbeat"].hint.split(";\n"):
        shop.execute(statement)
    again = about(await source(tmp_path, shop.dsn("clerk", "secret")).verdicts(world, "orders"))
    assert "heartbeat" not in again


async def test_a_role_that_may_too_much_is_a_warning(shop: Cluster, world: World, tmp_path: Path) -> None:
    mighty = source(tmp_path, shop.dsn("mighty", "secret"), heartbeat=False)
    found = about(await mighty.verdicts(world, "orders"))
    assert sorted(found) == ["role-attributes"]
    assert found["role-attributes"].hint == "ALTER ROLE mighty NOCREATEROLE NOCREATEDB;"
    owner = about(await source(tmp_path, shop.dsn(), heartbeat=False).verdicts(world, "orders"))
    assert (owner["role"].severity, "superuser" in owner["role"].message) == (Severity.WARNING, True)


async def test_a_server_set_badly_is_told(postgres_lab: Lab, world: World, tmp_path: Path) -> None:
    settings = {
        "password_encryption": "md5",
        "archive_mode": "on",
        "max_replication_slots": 1,
        "max_wal_senders": 2,
        "full_page_writes": "off",
    }
    poor = postgres_lab.new("poor", segment_mib=1, has_checksums=False, settings=settings)
    poor.execute("SELECT pg_create_physical_replication_slot('taken')")
    found = about(await source(tmp_path, poor.dsn(), wal="continuous", heartbeat=False).verdicts(world, "orders"))
    assert sorted(found) == [
        "archive-mode",
        "checksums",
        "fsync",
        "full_page_writes",
        "passwords",
        "role",
        "senders",
        "slot-limit",
        "slots",
    ]
    poor.kill()


async def test_of_a_pair_each_says_its_own_and_what_they_share_is_said_once(
    postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    first = postgres_lab.new("first", segment_mib=1, is_durable=True, has_checksums=False, settings=LIMITED)
    first.make_role("drd", "secret", "REPLICATION")
    first.admit("drd")
    first.reload()
    second = postgres_lab.standby(first, "second")
    second.configure({"restore_command": "cp /archive/%f %p"})
    second.reload()
    await until(lambda: bool(second.value("SHOW restore_command")), "its setting is in force")
    nodes = tuple(
        Node(name, {"postgres": SecretReference(file=kept(tmp_path, name, dsn))})
        for name, dsn in (
            ("orders-1", first.dsn("drd", "secret")),
            ("orders-2", second.dsn("drd", "secret")),
            ("orders-3", b"host=/nowhere user=drd"),
        )
    )
    written = PostgresSource.model_validate({"from": "standby", "fallback": "primary", "wal": "continuous"})
    verdicts = await written.among(nodes).verdicts(world, "orders")
    assert sorted(each.about for each in verdicts) == [
        "checksums",
        "heartbeat",
        "node-orders-3",
        "receiver-timeout",
        "restore-command",
        "retry-interval",
        "rewind",
        "statistics",
        "statistics",
    ]
    assert about(verdicts)["restore-command"].message.startswith("orders-2: the standby's restore_command")
    [needed] = await written.among(nodes[:2]).grants(world, "10.0.0.7")
    assert "GRANT pg_read_all_stats TO drd;" in needed.sql
    assert needed.hba[0] == "hostssl replication drd 10.0.0.7/32 scram-sha-256"
    for statement in needed.sql[1:]:
        first.execute(statement)
    first.kill()
    second.kill()
