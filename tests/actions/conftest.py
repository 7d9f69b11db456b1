"""Where actions are carried out in tests: the real outside, and services that remember what they were asked."""

import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.clients.secrets import SystemSecrets
from drd.core.errors import PermanentError
from drd.core.fencing import Clients
from drd.core.health import ClusterView
from drd.ports.action import Situation
from drd.ports.world import World
from tests.database_nodes import DatabaseNodes
from tests.postgres_lab import Lab


@dataclass
class FakeServices:
    """Services that do nothing."""

    asked: list[tuple[object, ...]] = field(default_factory=list)
    failures: tuple[str, ...] = ()
    is_there: bool = False
    seen: ClusterView | None = None
    is_well: bool = False
    reached_by: Clients = Clients.LIBPQ
    keeps_in: str = ""
    """The store that takes a folder."""
    deciding: list[str] = field(default_factory=list)
    """Policies on whose standbys somebody decides now."""

    async def backup(self, policy: str, full: bool) -> str:
        self.asked.append(("backup", policy, full))
        return "01RUN"

    async def is_backed_up(self, policy: str, full: bool, since: datetime) -> bool:
        return self.is_there

    async def restore(self, policy: str, at: str, to: str, store: str | None, by: str) -> str:
        self.asked.append(("restore", policy, at, to, store, by))
        return to

    async def is_restored(self, policy: str, since: datetime) -> bool:
        return self.is_there

    async def use(self, policy: str) -> str:
        self.asked.append(("use", policy))
        return "orders-2"

    async def confirm_lost(self, policy: str, node: str, by_probes: bool, by_standbys: bool) -> str:
        self.asked.append(("confirm", policy, node, by_probes, by_standbys))
        if self.failures:
            raise PermanentError(self.failures[0], "")
        return "it is gone"

    def is_well_primary(self, policy: str, node: str) -> bool:
        return self.is_well

    def view(self, policy: str) -> ClusterView | None:
        return self.seen

    def clients(self, policy: str) -> Clients:
        return self.reached_by

    @asynccontextmanager
    async def deciding_on_standbys(self, policy: str) -> AsyncIterator[None]:
        self.deciding.append(policy)
        yield
        self.deciding.remove(policy)

    async def keep(self, policy: str, folder: Path, name: str) -> str:
        self.asked.append(("keep", policy, name))
        return self.keeps_in

    async def tell(self, people: Iterable[str], text: str) -> tuple[str, ...]:
        self.asked.append(("tell", *people, text))
        return self.failures


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def at(services: FakeServices) -> Situation:
    """A step of a run, with the real outside and without machines."""
    runner = ChildRunner()
    world = World(SystemClock(), runner, SystemSecrets(runner, {}))
    return Situation(
        world=world,
        services=services,
        machines={},
        run="01INCIDENT",
        runbook="orders-loss",
        policy="orders",
        stage="recover",
        step="Do it",
        since=world.clock.now() - timedelta(minutes=1),
        timeout=timedelta(seconds=60),
        by="anna",
    )


@pytest.fixture
def nodes(postgres_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseNodes]:
    """Nodes whose shells are reached; the clusters' user has to get there, so it is no folder of pytest's."""
    made = DatabaseNodes(postgres_lab, Path(tempfile.mkdtemp(prefix="nodes-", dir=postgres_lab.folder)))
    monkeypatch.setenv("PATH", made.path)
    yield made
    made.close()
