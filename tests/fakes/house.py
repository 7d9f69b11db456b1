"""A whole house of real engines over fakes: what most tests of engines and of the daemon begin with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from drd.core.policy import Cause, Mode, Outcome, Policy
from drd.core.runbook import Runbook
from drd.core.secrets import SecretReference
from drd.core.tags import Origin
from drd.daemon.house import House, InForce
from drd.engines.acting import Acting
from drd.engines.alarming import Alarming
from drd.engines.anchor import Anchor
from drd.engines.archive import Archive
from drd.engines.backup import Backup
from drd.engines.copy import Copy
from drd.engines.dispatch import Dispatch
from drd.engines.giving_back import GivingBack
from drd.engines.healing import Healing
from drd.engines.heartbeat import Heartbeats
from drd.engines.losing import Losing
from drd.engines.observing import Observing
from drd.engines.progress import ProgressBoard
from drd.engines.proof import Proof
from drd.engines.protecting import Protecting
from drd.engines.receiving import Receiving
from drd.engines.reconcile import Reconcile
from drd.engines.renewing import Renewing
from drd.engines.restore import Restore
from drd.engines.retain import Retain
from drd.engines.run_result import Request, RunResult
from drd.engines.runbook_run import Tools
from drd.engines.runbook_services import EngineServices
from drd.engines.runbooks import Runbooks
from drd.engines.salvage import Salvage
from drd.engines.scheduler import Scheduler
from drd.engines.sending_ahead import SendingAhead
from drd.engines.serving import Serving
from drd.engines.standby_slots import StandbySlots
from drd.engines.stores import Stores
from drd.engines.triggering import Triggering
from drd.engines.upkeep import Upkeep
from drd.engines.wal_retention import WalRetention
from drd.engines.wal_standing import WalStanding
from drd.engines.watching import Watching
from drd.engines.work_queues import WorkQueues
from drd.ports.configuration import Configuration, Protected
from drd.ports.machines import Machine
from drd.ports.repository import Snapshot
from drd.ports.source import Source
from drd.ports.store import ConfiguredStore, Limits
from drd.ports.world import World
from tests.fakes.carrier import FakeCarrier
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost
from tests.fakes.journal import FakeJournal
from tests.fakes.messenger import FakeMessenger
from tests.fakes.repository import FakeDisk, FakePlace, FakeRepository
from tests.fakes.runner import NoRunner
from tests.fakes.secrets import FakeSecrets
from tests.fakes.source import FakeSource
from tests.fakes.spool import DirectSpools
from tests.fakes.store import FakeRepositories, FakeStore
from tests.fakes.timer import FakeTimer

FILES = {"orders.csv": b"1,2,3\n" * 100, "readme": b"hello"}
DAEMON = "01DAEMON"


def a_policy(name: str = "orders", to: tuple[str, ...] = ("local", "offsite"), **backup: Any) -> Policy:
    """A policy; what a test does not name is quiet."""
    own = {key: backup.pop(key, {}) for key in ("objectives", "disasters")}
    plan = {"to": to, "keep": {"last": 3}, **backup}
    return Policy.model_validate({"policy": name, **own, "backup": plan})


def protected(policy: Policy, digest: str = "1", **sources: FakeSource) -> Protected:
    """The policy with its sources; the one source is `main` below /srv."""
    return Protected(policy, sources or {"main": FakeSource()}, digest, Path(f"/etc/drd/policies/{policy.name}.yaml"))


def a_store(place: FakePlace, site: str = "here", metres: float = 0.0, **more: Any) -> ConfiguredStore:
    """A store over a place in memory."""
    at_once = more.pop("at_once", 2)
    defaults: dict[str, Any] = {
        "name": place.name,
        "place": FakeStore(place=place),
        "site": site,
        "distance_metres": metres,
        "password": SecretReference(credential=f"{place.name}-password"),
        "immutable_days": None,
        "limits": Limits(at_once=at_once),
        "independent": False,
        "cache": Path("/var/cache/drd") / place.name,
    }
    return ConfiguredStore(**{**defaults, **more})


def a_configuration(stores: tuple[ConfiguredStore, ...], *policies: Protected, digest: str = "1") -> Configuration:
    """The configuration of a daemon at the site `here`."""
    return Configuration(
        site="here",
        zone=ZoneInfo("UTC"),
        state=Path("/var/lib/drd"),
        data=None,
        restic="restic",
        listen=None,
        stores={store.name: store for store in stores},
        policies={each.policy.name: each for each in policies},
        runbooks={},
        people={},
        digest=digest,
    )


@dataclass
class Tick:
    """What the scheduler calls at each tick; a daemon puts its own in."""

    count: int = 0
    call: Callable[[], Awaitable[None]] | None = None

    async def __call__(self) -> None:
        self.count += 1
        if self.call is not None:
            await self.call()


@dataclass
class FakeRunListener:
    """Passes on that runs begin and end, as the composition root does, and remembers it."""

    ended: list[tuple[str, RunResult]] = field(default_factory=list)
    listeners: list[Any] = field(default_factory=list)
    copy: Copy | None = None

    def run_started(self, request: Request, at: datetime) -> None:
        for listener in self.listeners:
            listener.run_started(request, at)

    def run_ended(self, request: Request, result: RunResult, at: datetime) -> None:
        self.ended.append((request.policy, result))
        for listener in self.listeners:
            listener.run_ended(request, result, at)
        if self.copy is not None:
            self.copy.want_behind(request.policy)


class FakeHouse:
    """Everything that a test touches. Make it inside the test: it looks at the running loop's time."""

    def __init__(
        self,
        *policies: Protected,
        stores: tuple[ConfiguredStore, ...] | None = None,
        after: "FakeHouse | None" = None,
        spool: Path | None = None,
    ) -> None:
        """`after` is the house of an earlier start, with the same journal, stores and clock."""
        self.clock = after.clock if after else FakeClock()
        self.clock.monotonic()
        self.local = after.local if after else FakePlace("local")
        self.offsite = after.offsite if after else FakePlace("offsite")
        stores = stores or (tuple(after.in_force().stores.values()) if after else None)
        policies = policies or (tuple(after.in_force().policies.values()) if after else ())
        stores = stores or (a_store(self.local), a_store(self.offsite, site="far", metres=1.2e6))
        self.disk = after.disk if after else FakeDisk({"/srv": dict(FILES)})
        self.journal = after.journal if after else FakeJournal(self.clock, DAEMON)
        self.world = World(self.clock, NoRunner(), FakeSecrets())
        self.carrier = FakeCarrier(self.clock)
        for store in stores:
            self.know(store)
        self.repositories = FakeRepositories(self.world, self.disk)
        self.in_force = InForce(a_configuration(stores, *(policies or (protected(a_policy()),))))
        self.host, self.timer, self.tick, self.told = (
            FakeHost(self.clock),
            FakeTimer(self.clock),
            Tick(),
            FakeRunListener(),
        )
        self.queues, self.board = WorkQueues(self.clock), ProgressBoard()
        force, journal, world, queues = self.in_force, self.journal, self.world, self.queues
        self.stores = Stores(force, self.repositories, self.carrier, journal, journal, world)
        self.spools = DirectSpools(spool or Path("/nonexistent"))
        self.scheduler = Scheduler(force, journal, journal, self.timer, self.host, self.clock, self.tick)
        self.renewing = Renewing(
            force, journal, journal, self.clock, self.scheduler.want_full, self.scheduler.is_running
        )
        self.receiving = Receiving(force, self.spools, journal, world, self.renewing.look)
        self.standing = WalStanding(self.receiving, journal, self.clock)
        self.ahead = SendingAhead(self.stores, self.carrier, queues, world, self.board)
        self.backup = Backup(
            self.stores, queues, journal, journal, world, self.board, DAEMON, self.standing, self.ahead.beside
        )
        self.copy = Copy(force, self.stores, self.carrier, queues, journal, journal, world, self.board, self.ahead)
        self.retain = Retain(force, self.stores, queues, journal, journal, self.clock)
        self.log: list[str] = []
        self.proof = Proof(self.stores, queues, journal, self.log.append)
        self.reconcile = Reconcile(force, self.stores, queues, journal, journal, self.clock, DAEMON)
        self.kinds: dict[str, type[Source]] = {"fake": FakeSource}
        self.restore = Restore(force, self.stores, queues, journal, journal, world, self.host, self.board, self.kinds)
        self.told.listeners.append(self.scheduler)
        self.told.copy = self.copy
        self.dispatch = Dispatch(force, self.backup, journal, journal, self.clock, self.told)
        self.archive = Archive(
            force,
            self.receiving,
            self.spools,
            self.stores,
            queues,
            self.copy,
            journal,
            journal,
            world,
            group_bytes=8 * 2**20,
        )
        self.salvage = Salvage(force, self.stores, self.carrier, journal, journal, world, self.dispatch, self.archive)
        self.healing = Healing(
            force, self.stores, self.carrier, queues, self.proof, self.salvage, journal, journal, world, self.board
        )
        self.wal_retention = WalRetention(force, self.spools, self.stores, queues, journal, journal, self.clock)
        self.protecting = Protecting(self.stores, self.carrier, journal, journal, world)
        self.upkeep = Upkeep(
            force,
            self.stores,
            self.copy,
            self.reconcile,
            self.proof,
            self.healing,
            self.retain,
            self.wal_retention,
            self.protecting,
            journal,
            journal,
            self.clock,
        )
        self.anchor = Anchor(force, self.stores, queues, journal, journal, journal, self.clock, DAEMON, journal)
        self.heartbeats = Heartbeats(force, journal, world, DAEMON)
        self.standby_slots = StandbySlots(force, self.receiving, journal, world)
        observing = Observing(self.clock)
        self.watching = Watching(force, observing, journal, journal, world, DAEMON)
        self.serving = Serving(force, observing, journal, journal, world, DAEMON)
        self.messenger = after.messenger if after else FakeMessenger()
        services = EngineServices(
            force,
            self.dispatch,
            self.restore,
            self.watching,
            journal,
            self.messenger,
            world,
            DAEMON,
            self.stores,
            queues,
        )
        self.read_runbook: Callable[[str], Runbook] = lambda document: force().runbooks[document]
        self.runbooks = Runbooks(
            Tools(force, services, journal, world, self.log.append),
            journal,
            lambda document: self.read_runbook(document),  # noqa: PLW0108 - a test puts another one in
            self.dispatch.new_id,
            self.watching.known,
        )
        self.acting = Acting(force, self.watching, self.runbooks, journal, journal, self.clock)
        self.alarming = Alarming(force, self.watching, self.acting, services.tell, journal, self.clock)
        self.losing = Losing(self.watching, self.heartbeats, journal, journal, self.clock)
        self.given_back: list[str] = []
        """Nodes whose standbys were let receive again."""
        self.mistake_in_giving_back: Exception | None = None
        self.giving_back = GivingBack(
            force, self.watching, journal, journal, self.clock, self._give_back, services.deciding_on_standbys
        )
        self.services = services
        self.triggering = Triggering(force, self.acting, self.runbooks, journal, journal, self.clock)

    def know(self, store: ConfiguredStore) -> None:
        """Let the carrier reach a store's place."""
        assert isinstance(store.place, FakeStore)
        self.carrier.places[store.name] = store.place.place

    @property
    def house(self) -> House:
        """What the daemon and the control get."""
        return House(
            daemon=DAEMON,
            restic="0.19.1",
            in_force=self.in_force,
            clock=self.clock,
            journal=self.journal,
            catalogue=self.journal,
            board=self.board,
            queues=self.queues,
            stores=self.stores,
            backup=self.backup,
            copy=self.copy,
            retain=self.retain,
            proof=self.proof,
            healing=self.healing,
            reconcile=self.reconcile,
            restore=self.restore,
            dispatch=self.dispatch,
            scheduler=self.scheduler,
            wal_retention=self.wal_retention,
            upkeep=self.upkeep,
            anchor=self.anchor,
            archive=self.archive,
            heartbeats=self.heartbeats,
            standby_slots=self.standby_slots,
            watching=self.watching,
            serving=self.serving,
            runbooks=self.runbooks,
            acting=self.acting,
            alarming=self.alarming,
            triggering=self.triggering,
            losing=self.losing,
            giving_back=self.giving_back,
        )

    async def _give_back(self, machine: Machine) -> bool:
        if self.mistake_in_giving_back is not None:
            raise self.mistake_in_giving_back
        self.given_back.append(machine.name)
        return True

    def repository(self, store: str) -> FakeRepository:
        """The object that the engines work with."""
        configured = self.in_force().stores[store]
        return self.repositories.of(configured, configured.password.summary().encode())

    def policy(self, name: str = "orders") -> Protected:
        return self.in_force().policies[name]

    async def run(
        self,
        name: str = "orders",
        mode: Mode = Mode.FULL,
        run: str | None = None,
        cause: Cause = Cause.SCHEDULE,
    ) -> RunResult:
        """One run of a policy, without the dispatch."""
        return await self.backup.run(run or self.dispatch.new_id(), self.policy(name), Request(name, mode, cause))

    def put_in_force(self, *policies: Protected, stores: tuple[ConfiguredStore, ...] | None = None) -> None:
        """Replace the configuration, as a reload does."""
        here = stores or tuple(self.in_force().stores.values())
        for store in here:
            self.know(store)
        self.in_force.replace(a_configuration(here, *policies, digest="2"))

    def foreign(self, *, run: str = "01OTHERRUN", daemon: str = "01OTHER", part: str = "main", **more: Any) -> Snapshot:
        """A snapshot as another daemon with the same policies would have made it now."""
        origin = Origin("orders", run, part, Mode.FULL, Outcome.SUCCEEDED, self.clock.now(), daemon)
        origin = replace(origin, **{key: more.pop(key) for key in ("parts", "moment", "policy") if key in more})
        snapshot = Snapshot(f"{run}-{part}".lower(), self.clock.now(), ("/srv",), "drd", origin.tags())
        return replace(snapshot, **more)


def minutes(count: float) -> timedelta:
    """So many minutes."""
    return timedelta(minutes=count)
