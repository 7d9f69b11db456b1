"""The composition root: every part is made here, once, and handed what it needs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from drd.app.kinds import find_kinds
from drd.app.ownership import demand_own_state
from drd.app.repositories import ResticRepositories
from drd.clients.carrier import ProcessCarrier
from drd.clients.carrier.scratch import sweep
from drd.clients.clock import SystemClock
from drd.clients.host import MachineHost
from drd.clients.journal import SqliteJournal, StateLock
from drd.clients.messages import WebMessenger
from drd.clients.postgres.revoking import give_machine_back
from drd.clients.process import ChildRunner
from drd.clients.restic import Restic, find_restic
from drd.clients.secrets import SystemSecrets
from drd.clients.spool import FolderSpools
from drd.clients.timer import SchedulerTimer
from drd.config.runbooks import read_document
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
from drd.ports.configuration import Configuration
from drd.ports.world import World

SPOOL = "spool"
"""In the state folder: where received WAL lies until every store has it."""
STAGING = "staging"
"""In the state folder: where base backups lie until they are saved."""
KEPT = "kept"
"""In the state folder: where sources keep what makes their next run easier."""
STRANDED = "stranded"
"""In the state folder: log of old primaries that no other server has; removed by people only."""
SCRATCH = "scratch"
"""In the state folder: where keys lie for a moment, on their way to a mirror."""


@dataclass(slots=True)
class TickHook:
    """What the scheduler's loop calls at each tick; the daemon that it belongs to is built later."""

    call: Callable[[], Awaitable[None]] | None = None

    async def __call__(self) -> None:
        """One tick."""
        if self.call is not None:
            await self.call()


@dataclass(slots=True)
class LogHook:
    """Takes lines for the daemon's log that are no facts for the journal; in a command without a daemon nobody does."""

    say: Callable[[str], None] | None = None

    def __call__(self, line: str) -> None:
        """One line."""
        if self.say is not None:
            self.say(line)


@dataclass(frozen=True, slots=True)
class Built:
    """A house and the parts of it that only the root may touch by their own names."""

    house: House
    journal: SqliteJournal
    world: World
    tick: TickHook
    log: LogHook


def make_world(configuration: Configuration) -> World:
    """The outside, for kinds that are used without a house, as `validate` does."""
    runner = ChildRunner()
    secrets = SystemSecrets(runner, dict(os.environ))
    state = configuration.state
    return World(
        SystemClock(),
        runner,
        secrets,
        configuration.data,
        state / STAGING,
        state / KEPT,
        configuration.file,
        state / STRANDED,
    )


@asynccontextmanager
async def build(configuration: Configuration) -> AsyncIterator[Built]:
    """A house over the state folder, which it holds alone.

    Raises `Busy` when another process has the folder, and `UsageError` when it belongs to another user.
    """
    world = make_world(configuration)
    demand_own_state(configuration.state)
    with StateLock(configuration.state, world.clock):
        await asyncio.to_thread(sweep, configuration.state / SCRATCH)
        restic = await find_restic(configuration.restic, world.runner)
        async with await SqliteJournal.open(configuration.state, world.clock) as journal:
            yield furnish(configuration, world, journal, restic)


def furnish(configuration: Configuration, world: World, journal: SqliteJournal, restic: Restic) -> Built:
    """Every engine, over this journal; nothing of it has begun to work."""
    clock, host = world.clock, MachineHost()
    in_force = InForce(configuration)
    queues, board, tick, log = WorkQueues(clock), ProgressBoard(), TickHook(), LogHook()
    carrier = ProcessCarrier(world.runner, restic.path, configuration.state / SCRATCH)
    repositories = ResticRepositories(restic, world, host)
    stores = Stores(in_force, repositories, carrier, journal, journal, world)
    spools = FolderSpools(configuration.state / SPOOL)
    scheduler = Scheduler(in_force, journal, journal, SchedulerTimer(), host, clock, tick)
    renewing = Renewing(in_force, journal, journal, clock, scheduler.want_full, scheduler.is_running)
    receiving = Receiving(in_force, spools, journal, world, renewing.look)
    standing = WalStanding(receiving, journal, clock)
    ahead = SendingAhead(stores, carrier, queues, world, board)
    backup = Backup(stores, queues, journal, journal, world, board, journal.daemon, standing, ahead.beside)
    copy = Copy(in_force, stores, carrier, queues, journal, journal, world, board, ahead)
    retain = Retain(in_force, stores, queues, journal, journal, clock)
    proof = Proof(stores, queues, journal, log)
    dispatch = Dispatch(in_force, backup, journal, journal, clock, RunListener(scheduler, copy, log))
    archive = Archive(in_force, receiving, spools, stores, queues, copy, journal, journal, world)
    salvage = Salvage(in_force, stores, carrier, journal, journal, world, dispatch, archive)
    healing = Healing(in_force, stores, carrier, queues, proof, salvage, journal, journal, world, board)
    reconcile = Reconcile(in_force, stores, queues, journal, journal, clock, journal.daemon)
    wal_retention = WalRetention(in_force, spools, stores, queues, journal, journal, clock)
    protecting = Protecting(stores, carrier, journal, journal, world)
    restore = Restore(in_force, stores, queues, journal, journal, world, host, board, find_kinds().sources)
    observing = Observing(clock)
    watching = Watching(in_force, observing, journal, journal, world, journal.daemon)
    services = EngineServices(
        in_force, dispatch, restore, watching, journal, WebMessenger(), world, journal.daemon, stores, queues
    )
    tools = Tools(in_force, services, journal, world, log)
    runbooks = Runbooks(
        tools, journal, lambda document: read_document(find_kinds(), document), dispatch.new_id, watching.known
    )
    heartbeats = Heartbeats(in_force, journal, world, journal.daemon)
    acting = Acting(in_force, watching, runbooks, journal, journal, clock)
    alarming = Alarming(in_force, watching, acting, services.tell, journal, clock)
    house = House(
        daemon=journal.daemon,
        restic=restic.version_text,
        in_force=in_force,
        clock=clock,
        journal=journal,
        catalogue=journal,
        board=board,
        queues=queues,
        stores=stores,
        backup=backup,
        copy=copy,
        retain=retain,
        proof=proof,
        healing=healing,
        reconcile=reconcile,
        restore=restore,
        dispatch=dispatch,
        scheduler=scheduler,
        wal_retention=wal_retention,
        upkeep=Upkeep(
            in_force,
            stores,
            copy,
            reconcile,
            proof,
            healing,
            retain,
            wal_retention,
            protecting,
            journal,
            journal,
            clock,
        ),
        anchor=Anchor(in_force, stores, queues, journal, journal, journal, clock, journal.daemon, journal),
        archive=archive,
        heartbeats=heartbeats,
        standby_slots=StandbySlots(in_force, receiving, journal, world),
        watching=watching,
        serving=Serving(in_force, observing, journal, journal, world, journal.daemon),
        runbooks=runbooks,
        acting=acting,
        alarming=alarming,
        losing=Losing(watching, heartbeats, journal, journal, clock),
        triggering=Triggering(in_force, acting, runbooks, journal, journal, clock),
        giving_back=GivingBack(
            in_force,
            watching,
            journal,
            journal,
            clock,
            partial(give_machine_back, world),
            services.deciding_on_standbys,
        ),
    )
    return Built(house, journal, world, tick, log)


class RunListener:
    """Passes on that runs begin and end: to the scheduler, to what fills further stores, and details to the log."""

    def __init__(self, scheduler: Scheduler, copy: Copy, log: Callable[[str], None]) -> None:
        self._scheduler = scheduler
        self._copy = copy
        self._log = log

    def run_started(self, request: Request, at: datetime) -> None:
        """A run was started."""
        self._scheduler.run_started(request, at)

    def run_ended(self, request: Request, result: RunResult, at: datetime) -> None:
        """A run ended, and its end is in the journal or owed to it."""
        self._scheduler.run_ended(request, result, at)
        self._copy.want_behind(request.policy)
        if result.detail:
            self._log(f"run of {request.policy}: {result.detail}")
