"""Everything that the composition root has built, under the names by which the daemon uses it."""

from __future__ import annotations

from dataclasses import dataclass

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
from drd.engines.progress import ProgressBoard
from drd.engines.proof import Proof
from drd.engines.reconcile import Reconcile
from drd.engines.restore import Restore
from drd.engines.retain import Retain
from drd.engines.runbooks import Runbooks
from drd.engines.scheduler import Scheduler
from drd.engines.serving import Serving
from drd.engines.standby_slots import StandbySlots
from drd.engines.stores import Stores
from drd.engines.triggering import Triggering
from drd.engines.upkeep import Upkeep
from drd.engines.wal_retention import WalRetention
from drd.engines.watching import Watching
from drd.engines.work_queues import WorkQueues
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal


class InForce:
    """The configuration that is in force. A reload replaces it whole; a run keeps the policy it began with."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def __call__(self) -> Configuration:
        """What is in force now."""
        return self._configuration

    def replace(self, configuration: Configuration) -> None:
        """Let another configuration be in force from now on."""
        self._configuration = configuration


@dataclass(frozen=True, slots=True)
class House:
    """One drd: its record, its engines, and who it is."""

    daemon: str
    restic: str
    """Version of the restic in use."""
    in_force: InForce
    clock: Clock
    journal: Journal
    catalogue: Catalogue
    board: ProgressBoard
    queues: WorkQueues
    stores: Stores
    backup: Backup
    copy: Copy
    retain: Retain
    proof: Proof
    healing: Healing
    reconcile: Reconcile
    restore: Restore
    dispatch: Dispatch
    scheduler: Scheduler
    wal_retention: WalRetention
    upkeep: Upkeep
    anchor: Anchor
    archive: Archive
    heartbeats: Heartbeats
    standby_slots: StandbySlots
    watching: Watching
    serving: Serving
    runbooks: Runbooks
    acting: Acting
    alarming: Alarming
    triggering: Triggering
    losing: Losing
    giving_back: GivingBack

    async def pay(self) -> None:
        """Journal what the engines owe. Raises `StateFull` while there is no room, and `Busy` while it is locked."""
        backing_up = (self.stores, self.backup, self.restore, self.anchor, self.archive)
        watching = (self.watching, self.serving, self.alarming)
        recovering = (self.acting, self.triggering, self.losing, self.giving_back)
        for engine in (*backing_up, *watching, *recovering):
            await engine.outbox.pay()
