"""The lab's clusters are what tests take them for: replicated, killed without a trace, promoted."""

import subprocess
from pathlib import Path

import pytest

from tests.postgres_lab import Cluster, Lab, children
from tests.system.programs import wait_for
from tests.waiting import until

pytestmark = pytest.mark.slow


def test_a_cluster_has_checksums_and_the_segments_that_were_asked_for(postgres: Cluster) -> None:
    assert postgres.value("SHOW data_checksums") == "on"
    assert postgres.value("SELECT pg_size_bytes(current_setting('wal_segment_size'))") == 2**20


def test_a_server_does_not_run_as_root(postgres: Cluster) -> None:
    assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0


async def test_a_standby_follows_and_is_promoted_to_a_new_timeline(postgres_lab: Lab) -> None:
    primary = postgres_lab.new("primary", segment_mib=1)
    standby = postgres_lab.standby(primary, "second")
    primary.rows("CREATE TABLE orders AS SELECT 1 AS number")
    await until(
        lambda: bool(standby.rows("SELECT to_regclass('orders') WHERE to_regclass('orders') IS NOT NULL")), "it"
    )
    primary.kill()
    standby.promote()

    assert standby.value("SELECT pg_walfile_name(pg_current_wal_lsn())")[:8] == "00000002"


def test_a_killed_cluster_leaves_nothing_and_starts_again_with_what_was_committed(postgres_lab: Lab) -> None:
    cluster = postgres_lab.new("killed", is_durable=True, has_port=True)
    cluster.rows("CREATE TABLE orders AS SELECT 7 AS number")
    assert cluster.shared_memory in segments_in_memory()
    family = [cluster.pid, *children(cluster.pid)]
    held = cluster.shared_memory
    cluster.kill()
    wait_for(lambda: held not in segments_in_memory(), "the memory is given back")
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in family)
    cluster.start()

    assert cluster.value("SELECT number FROM orders") == 7


def segments_in_memory() -> set[str]:
    lines = subprocess.run(["ipcs", "-m"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {words[1] for line in lines if len(words := line.split()) > 2}
