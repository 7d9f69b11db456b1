"""The PostgreSQL server and programs in memory keep their contracts."""

import pytest

from tests.contracts.postgres import Pair, PostgresContract
from tests.contracts.postgres_tools import Bench, PostgresToolsContract
from tests.fakes.clock import FakeClock
from tests.fakes.postgres import FakeCluster, FakePostgres
from tests.fakes.postgres_tools import FakeTools


class TestInMemory(PostgresContract):
    @pytest.fixture
    def pair(self) -> Pair:
        cluster = FakeCluster(FakeClock())
        return Pair(
            FakePostgres(cluster),
            FakePostgres(cluster, is_standby=True),
            write=lambda: cluster.write(1000),
            replay=cluster.replay,
            allow_beating=lambda: setattr(cluster, "may_beat", True),
            forbid_beating=lambda: setattr(cluster, "may_beat", False),
            away=lambda: FakePostgres(FakeCluster(FakeClock(), away="Connection refused")),
        )


class TestToolsInMemory(PostgresToolsContract):
    @pytest.fixture
    def bench(self) -> Bench:
        cluster = FakeCluster(FakeClock())
        nowhere = FakeTools(FakeCluster(FakeClock(), away="Connection refused"))
        return Bench(
            FakeTools(cluster),
            FakePostgres(cluster),
            b"user=drd",
            write=lambda: cluster.write(1000),
            away=lambda: (nowhere, b"user=drd"),
        )
