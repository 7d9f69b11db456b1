"""Real PostgreSQL servers and programs keep the contracts."""

from collections.abc import AsyncIterator

import pytest

from drd.clients.postgres import Dsn, PostgresServer
from drd.clients.postgres_tools import ProgramsOfPostgres, find_programs
from drd.clients.process import ChildRunner
from drd.core.postgres.heartbeat import CREATE
from tests.contracts.postgres import Pair, PostgresContract
from tests.contracts.postgres_tools import Bench, PostgresToolsContract
from tests.postgres_lab import Cluster, Lab

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def standby(postgres_lab: Lab, postgres: Cluster) -> Cluster:
    postgres.rows("CREATE TABLE orders (number int)")
    return postgres_lab.standby(postgres, "second")


class TestServers(PostgresContract):
    @pytest.fixture
    async def pair(self, postgres: Cluster, standby: Cluster) -> AsyncIterator[Pair]:
        here, there = (PostgresServer(Dsn.parse(cluster.dsn())) for cluster in (postgres, standby))
        yield Pair(
            here,
            there,
            write=lambda: postgres.execute("INSERT INTO orders VALUES (1)"),
            replay=lambda: None,
            allow_beating=lambda: [postgres.execute(statement) for statement in CREATE],  # type: ignore[arg-type]
            forbid_beating=lambda: postgres.execute("DROP TABLE IF EXISTS drd.heartbeat"),
            away=lambda: PostgresServer(Dsn.parse(b"host=/nowhere user=drd")),
        )
        await here.close()
        await there.close()


class TestPrograms(PostgresToolsContract):
    @pytest.fixture
    async def bench(self, postgres: Cluster, standby: Cluster, postgres_lab: Lab) -> AsyncIterator[Bench]:
        found = await find_programs(postgres_lab.major, ChildRunner(), [postgres_lab.programs])
        tools, server = ProgramsOfPostgres(found, ChildRunner()), PostgresServer(Dsn.parse(postgres.dsn()))
        yield Bench(
            tools,
            server,
            postgres.dsn(),
            write=lambda: postgres.execute("INSERT INTO orders VALUES (1)"),
            away=lambda: (tools, b"host=/nowhere user=drd"),
        )
        await server.close()
