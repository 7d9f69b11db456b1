"""drd as a side of bench.failover: two nodes, a daemon on a third host with the shipped policy and runbooks, HAProxy.

Every run has a daemon with a fresh journal, since the runbook's own guards let it run twice a day and no sooner than
half an hour after the last time; and a standby that was copied anew from what is the primary by then.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.failover_site import NODES
from tests.namespaces import Network
from tests.postgres_lab import Lab
from tests.postgres_pair import Pair
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import REPOSITORY, Watcher

LONGEST_SECONDS = 180.0
POLICY = "orders"
SWITCHOVER = f"{POLICY}-switchover"
IS_SYNCHRONOUS = {"drd": False, "drd-sync": True}


class Drd:
    """A pair and its daemon."""

    def __init__(self, lab: Lab, net: Network, folder: Path, restic: Path) -> None:
        self.site = Pair(lab, net, folder)
        self._restic = restic
        self._watcher: Watcher | None = None
        self._settings = ""
        self._runs = 0

    def start(self, haproxy: Path) -> None:
        """Start the servers and the proxy."""
        self.site.start()
        self.site.start_proxy(haproxy)

    def choose(self, settings: str) -> None:
        """Have commits wait for the standby, or not, and start a daemon over the pair as it is now."""
        self._settings = settings
        self._replicate()
        self._runs += 1
        folder = self.site.folder / f"drd-{self._runs}"
        folder.mkdir()
        self._watcher = Watcher(Machine(folder, self._restic), self.site, POLICY)
        self._watcher.start()
        machine = self._watcher.machine
        # Its first full backup is over when the blow falls, as on any day but the first.
        wait_for(lambda: machine.events("run-finished", POLICY), "the first backup is over", LONGEST_SECONDS)

    @staticmethod
    def can(case: str) -> bool:
        """Whether the repository has a runbook for it."""
        return case != "switch" or (REPOSITORY / "runbooks" / f"{SWITCHOVER}.yaml").exists()

    @property
    def primary(self) -> str:
        """The node that is the primary."""
        return self.site.survivor().name

    def kill(self) -> None:
        """Kill -9 of the primary's postmaster."""
        os.kill(self.site.servers[self.primary].pid, signal.SIGKILL)

    def silence(self) -> None:
        """The primary's host is heard no more."""
        self.site.host(self.primary).silence()

    def switch(self) -> None:
        """The planned way."""
        if self._watcher is not None:
            self._watcher.begin(SWITCHOVER, self.primary)

    def heal(self) -> None:
        """Let everybody hear everybody; the old primary is copied anew from the new one."""
        if self._watcher is not None:
            self._watcher.machine.shut_down()
        for name in NODES:
            self.site.host(name).heal()
        new = self.primary
        [old] = set(NODES) - {new}
        idle = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND NOT temporary"
        self.site.servers[new].execute(idle)
        # The daemon of the next run would take this run's for another one that is alive.
        self.site.servers[new].execute("TRUNCATE drd.heartbeat")
        self.site.follow(old, new)

    def ids(self) -> set[int]:
        """The rows that the new primary has."""
        return {row[0] for row in self.site.survivor().rows("SELECT id FROM written")}

    def close(self) -> None:
        """Take it down."""
        if self._watcher is not None:
            self._watcher.machine.shut_down()
        self.site.close()

    def _replicate(self) -> None:
        primary = self.primary
        [standby] = set(NODES) - {primary}
        if IS_SYNCHRONOUS[self._settings]:
            self.site.synchronise(primary, standby)
        else:
            self.site.servers[primary].configure({"synchronous_standby_names": ""})
            self.site.servers[primary].reload()
