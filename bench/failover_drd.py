"""drd as a side of bench.failover: two nodes, a daemon on a third host with a shipped policy and its runbooks, HAProxy.

The state of one daemon goes on from run to run: the runbook itself brings the old primary back, by its shell, and only
then does the next blow fall. Two things are changed in it beside HAProxy's address: its guards, which let it run twice
a day and no sooner than half an hour after the last time; and its last step, the full backup, is left out. The process
is started anew before each run, since nodes that fail every few seconds are rightly judged more slowly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psycopg

from bench.failover_found import Found
from tests.namespaces import Network
from tests.network_shells import NetworkShells, kill_postmaster
from tests.postgres_lab import Lab
from tests.postgres_pair import Pair
from tests.stranded_log import listed, stranded
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

LONGEST_SECONDS = 180.0
LAST_EVENTS = 40
"""How many of the journal's events are shown of a run that does not end."""
SERVICES: Mapping[str, str] = {"drd": "orders", "drd-sync": "payments", "drd-in-place": "orders"}
"""Side → which policy of the repository that is; commits of payments wait for the standby."""
IN_PLACE = "drd-in-place"
"""The side that starts a killed process again where it was, by orders-restart, which it begins by itself."""
GUARDS = "hold_down: 30m, per_day: 2"
NO_GUARDS = "hold_down: 0s, per_day: 1000000"
BACKUP = "      - step: Take a fresh full backup\n"
_TIMELINE = "SELECT pg_walfile_name(pg_current_wal_lsn()) WHERE NOT pg_is_in_recovery()"


class Drd:
    """A pair and its daemon."""

    def __init__(self, lab: Lab, net: Network, folder: Path, restic: Path, side: str) -> None:
        service = SERVICES[side]
        self.site = Pair(lab, net, folder, service)
        self._is_started_in_place = side == IN_PLACE
        self._service = service
        self._is_synchronous = service == "payments"
        self._shells = NetworkShells(self.site)
        (folder / "drd").mkdir()
        self._machine = Machine(folder / "drd", restic)
        self._lab = lab
        self._before = 0
        """Events that were on record before this blow."""
        self._found = Found()

    def start(self, haproxy: Path) -> None:
        """Start the servers, the proxy and the daemon."""
        self.site.start(is_synchronous=self._is_synchronous)
        self.site.start_proxy(haproxy)
        machine = self._machine
        self._watcher = Watcher(machine, self.site, self._service, shells=self._shells)
        for file in (machine.folder / "runbooks").glob("*.yaml"):
            text = file.read_text().replace(GUARDS, NO_GUARDS)
            file.write_text(text.partition(BACKUP)[0] if BACKUP in text else text)
        if self._is_started_in_place:
            self._watcher.starts_in_place_first()
        self._watcher.start()
        wait_for(lambda: machine.events("run-finished", self._service), "the first backup is over", LONGEST_SECONDS)

    def choose(self, settings: str) -> None:
        """Start the daemon anew; there is one set of settings."""
        self._before = len(self._machine.events())
        self._machine.restart()
        wait_for(self._is_whole, "both nodes are well", LONGEST_SECONDS)

    @property
    def primary(self) -> str:
        """The node that is the primary; where one that was cut off runs still, the one of the newest timeline."""
        found: dict[str, str] = {}
        for name, server in self.site.servers.items():
            with suppress(psycopg.OperationalError):
                found[name] = "".join(row[0] for row in server.rows(_TIMELINE))
        return max(found, key=lambda name: found[name])

    def kill(self) -> None:
        """Kill -9 of the primary's postmaster."""
        kill_postmaster(self.site.servers[self.primary])

    def silence(self) -> None:
        """The primary's host is heard no more."""
        self.site.host(self.primary).silence()

    def switch(self) -> None:
        """The planned way."""
        self._watcher.begin(f"{self._service}-switchover", self.primary)

    def heal(self) -> None:
        """Let everybody hear everybody, and wait until the runbook has made the pair whole."""
        for name in self.site.nodes:
            self.site.host(name).heal()
        self._wait_until_idle()
        if not self._is_streaming():
            old = next(name for name in self.site.nodes if name != self.primary)
            self._watcher.begin(f"{self._service}-rejoin", self.primary, old_primary=old)
            self._wait_until_idle()
        wait_for(self._is_streaming, "the standby follows", LONGEST_SECONDS)
        self._found = self._told()
        self.site.servers[self.primary].execute("TRUNCATE written")

    def ids(self) -> set[int]:
        """The rows that the new primary has."""
        return {row[0] for row in self.site.servers[self.primary].rows("SELECT id FROM written")}

    def found(self) -> Found:
        """What drd has on record of the last blow."""
        return self._found

    def close(self) -> None:
        """Take it down."""
        self._shells.close()
        self._machine.shut_down()
        self.site.close()

    def _told(self) -> Found:
        lately = self._machine.events()[self._before :]
        facts = [event["facts"] for event in lately if event["kind"] in ("step-finished", "step-checked")]
        fence, rejoined = (
            next((each[name] for each in facts if name in each), "") for name in ("fenced_by", "rejoined_by")
        )
        folders = {Path(each["stranded"]) for each in facts if "stranded" in each}
        table = self.site.servers[self.primary].value("SELECT pg_relation_filenode('written')")
        return Found(
            fence,
            rejoined,
            frozenset().union(*(listed(folder) for folder in folders)),
            frozenset().union(*(stranded(folder, self._lab, table) for folder in folders)),
        )

    def _wait_until_idle(self) -> None:
        machine = self._machine

        def is_idle() -> bool:
            begun, ended = (len(machine.events(f"incident-{what}")) for what in ("started", "finished"))
            return begun == ended

        try:
            wait_for(is_idle, "no runbook is under way", LONGEST_SECONDS)
        except AssertionError as late:
            late.add_note("\n".join(json.dumps(event) for event in machine.events()[-LAST_EVENTS:]))
            raise

    def _is_whole(self) -> bool:
        """Whether the standby follows, and drd sees both to be well."""
        return self._is_streaming() and set(self._watcher.verdicts().values()) == {"well"}

    def _is_streaming(self) -> bool:
        member = f"application_name LIKE '{self._service}%'"
        wanted = "sync_state = 'sync'" if self._is_synchronous else "state = 'streaming'"
        statement = f"SELECT count(*) FROM pg_stat_replication WHERE {member} AND {wanted}"
        return bool(self.site.servers[self.primary].value(statement))
