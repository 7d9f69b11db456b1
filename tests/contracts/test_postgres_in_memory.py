"""The PostgreSQL server in memory keeps the contract."""

import pytest

from tests.contracts.postgres import Pair, PostgresContract
from tests.fakes.clock import FakeClock
from tests.fakes.postgres import FakeCluster, FakePostgres


class TestInMemory(PostgresContract):
    @pytest.fixture
    def pair(self) -> Pair:
        cluster = FakeCluster(FakeClock())
        return Pair(
            FakePostgres(cluster),
            FakePostgres(cluster, is_standby=True),
            write=lambda: cluster.write(1000),
            replay=cluster.replay,
            away=lambda: FakePostgres(FakeCluster(FakeClock(), away="Connection refused")),
        )
