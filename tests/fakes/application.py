"""What the commands ask of the application, answered by fakes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from drd.cli.session import Session
from drd.config.whereabouts import Whereabouts
from drd.core.errors import DrdError
from drd.core.events import Event
from drd.core.findings import Finding
from drd.core.node_grants import NodeGrants
from drd.core.policy import Policy
from drd.core.postgres.grants import Grants, Use, grants
from drd.core.secrets import SecretReference
from drd.ports.configuration import Configuration, Protected
from drd.ports.control import Anchors, Questions
from drd.ports.journal import Verdict
from drd.ports.look import Look
from drd.ports.store import Backend, ConfiguredStore, Limits, Location, Store
from drd.ports.world import World
from tests.fakes.control import NOW, FakeControl

Answer = TypeVar("Answer")


class Shelter(Store):
    """A store that holds nothing."""

    kind = "shelter"

    def summary(self) -> str:
        return "a place that holds nothing"

    async def location(self, world: World) -> Location:
        return Location("nowhere")

    async def backend(self, world: World) -> Backend:
        return Backend("local", {})

    async def look(self, world: World) -> Look:
        return Look(True)

    def beside(self, word: str) -> Store:
        return self


def a_store(name: str, site: str = "hangzhou", distance_metres: float = 0.0) -> ConfiguredStore:
    return ConfiguredStore(
        name=name,
        place=Shelter(),
        site=site,
        distance_metres=distance_metres,
        password=SecretReference(credential=name),
        immutable_days=None,
        limits=Limits(),
        independent=False,
        cache=Path("/nowhere"),
    )


def a_policy(name: str, to: tuple[str, ...] = ("local", "offsite"), **more: Any) -> Protected:
    backup = {"full": {"every": "1d"}, "incremental": {"every": "15m"}, "to": to, "keep": {"last": 3}}
    return Protected(Policy.model_validate({"policy": name, "backup": backup, **more}), {}, "0" * 64, Path("x.yaml"))


def a_configuration(
    policies: tuple[Protected, ...] = (), zone: str = "Asia/Shanghai", runbooks: Mapping[str, Any] | None = None
) -> Configuration:
    stores = (a_store("local"), a_store("offsite", "xian", 1_134_400.0))
    return Configuration(
        site="hangzhou",
        zone=ZoneInfo(zone),
        state=Path("/nowhere"),
        data=None,
        restic="restic",
        listen=None,
        stores={store.name: store for store in stores},
        policies={protected.policy.name: protected for protected in policies},
        runbooks=runbooks or {},
        people={},
        digest="1" * 64,
        warnings=("policy settings: only one copy",),
    )


@dataclass
class FakeReader:
    """A journal with these events."""

    written: tuple[Event, ...] = ()
    verdict: Verdict = field(default_factory=lambda: Verdict(True, 0))
    held_against: list[dict[int, str]] = field(default_factory=list)

    def events(
        self, after: int = 0, newest: int | None = None, run: str | None = None, kind: str | None = None
    ) -> Iterator[Event]:
        fitting = [
            event
            for event in self.written
            if event.sequence > after and run in (None, event.run) and kind in (None, event.body.KIND)
        ]
        return iter(fitting if newest is None else fitting[-newest:])

    def verify(self, anchors: Mapping[int, str] | None = None) -> Verdict:
        self.held_against.append(dict(anchors or {}))
        return self.verdict


@dataclass
class FakeApplication:
    """`drd.app` without anything behind it."""

    fake_control: FakeControl = field(default_factory=FakeControl)
    configuration: Configuration = field(default_factory=a_configuration)
    wrong: DrdError | None = None
    """What reading the configuration raises."""
    reader: FakeReader = field(default_factory=FakeReader)
    findings: tuple[Finding, ...] = ()
    anchored: tuple[Anchors, ...] = ()
    read: list[Path | None] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)

    def read_configuration(self, path: Path | None, environment: Mapping[str, str]) -> Configuration:
        self.read.append(path)
        if self.wrong is not None:
            raise self.wrong
        return self.configuration

    def find(self, path: Path | None, environment: Mapping[str, str]) -> Whereabouts:
        configuration = self.read_configuration(path, environment)
        return Whereabouts(configuration.state, configuration.zone)

    @asynccontextmanager
    async def control(
        self, place: Whereabouts, read: Callable[[], Configuration], *, alone: bool
    ) -> AsyncIterator[FakeControl]:
        self.alone.append(alone)
        yield self.fake_control

    async def consult(
        self,
        place: Whereabouts,
        read: Callable[[], Configuration],
        question: Callable[[Questions], Awaitable[Answer]],
        say: Callable[[str], None],
    ) -> Answer:
        return await question(self.fake_control)

    @contextmanager
    def journal_reader(self, place: Whereabouts) -> Iterator[FakeReader]:
        yield self.reader

    async def run(
        self,
        path: Path | None,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        is_watched: bool = False,
    ) -> int:
        say("ready")
        return 0

    def json_schema(self, what: str) -> dict[str, Any]:
        return {"title": what}

    async def anchors(self, configuration: Configuration) -> tuple[Anchors, ...]:
        return self.anchored

    async def validate(self, path: Path | None, environment: Mapping[str, str]) -> tuple[Finding, ...]:
        return self.findings

    async def grants(
        self, configuration: Configuration, policy: str, address: str | None
    ) -> tuple[tuple[Grants, ...], tuple[NodeGrants, ...]]:
        return (grants(Use("drd", "shop", address or "ADDRESS", beats=True)),), ()

    def session(self) -> Session:
        """A session of user eva on host db1, at the fakes' hour."""
        return Session({"NO_COLOR": "1"}, lambda: self, lambda: NOW, "eva", "db1")
