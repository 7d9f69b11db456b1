"""Patroni with etcd as a side of bench.failover: two nodes, and HAProxy asking Patroni who is the primary."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import yaml

from tests.failover_site import NODES, PORT, Site
from tests.namespaces import SUBNET, WIDTH, Network
from tests.postgres_lab import Lab
from tests.system.programs import wait_for
from tests.writing_client import TABLE

SCOPE = "orders"
REST = 8008
ETCD = 2379
USER, PASSWORD = "postgres", "for-the-bench"
LONGEST_SECONDS = 180.0

ASK = "import sys, urllib.request as u; r = u.Request(sys.argv[2], sys.argv[3].encode() or None, method=sys.argv[1])"
ASK += "; r.add_header('Content-Type', 'application/json'); print(u.urlopen(r, timeout=60).read().decode())"

DEFAULT: Mapping[str, Any] = {
    "ttl": 30,
    "loop_wait": 10,
    "retry_timeout": 10,
    "primary_start_timeout": 300,
    "synchronous_mode": False,
}
FASTEST: Mapping[str, Any] = {**DEFAULT, "ttl": 20, "loop_wait": 1, "retry_timeout": 3}
"""The least that it accepts."""
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "patroni": DEFAULT,
    "patroni-fastest": FASTEST,
    "patroni-fastest-failover": {**FASTEST, "primary_start_timeout": 0},
    "patroni-fastest-sync": {**FASTEST, "primary_start_timeout": 0, "synchronous_mode": True},
}


class Patroni:
    """A cluster that takes each of the settings in turn."""

    def __init__(self, lab: Lab, net: Network, folder: Path, programs: Path) -> None:
        """`programs` is the folder that `scripts/patroni` names."""
        self.site = Site(net, folder, user=USER)
        self._lab = lab
        self._programs = programs
        self._settings = ""
        net.add("etcd")

    def start(self, haproxy: Path) -> None:
        """Start all of it, with the default settings."""
        etcd = self.site.host("etcd").address
        store = str(self.site.folder / "etcd")
        urls = ["--listen-client-urls", f"http://{etcd}:{ETCD}", "--advertise-client-urls", f"http://{etcd}:{ETCD}"]
        self.site.run("etcd", [str(self._programs / "etcd"), "--data-dir", store, *urls], "etcd.log")
        for name in NODES:
            self._start_node(name)
            wait_for(lambda name=name: self._is_running(name), f"{name} runs", LONGEST_SECONDS)  # type: ignore[misc]
        wait_for(self.is_whole, "the cluster is whole", LONGEST_SECONDS)
        check = (
            " option httpchk OPTIONS /primary\n http-check expect status 200\n default-server inter 1s fall 2 rise 1"
        )
        check += f" on-marked-down shutdown-sessions check port {REST}\n"
        self.site.start_proxy(haproxy, check, others="")
        with self._connect() as connection:
            connection.execute(TABLE)

    def choose(self, settings: str) -> None:
        """Have it take other settings."""
        if settings == self._settings:
            return
        self._ask(self.primary, "PATCH", "/config", SETTINGS[settings])
        self._settings = settings
        if SETTINGS[settings]["synchronous_mode"]:
            wait_for(lambda: "sync_standby" in self._roles(), "a standby is synchronous", LONGEST_SECONDS)
        wait_for(self.is_whole, "the cluster is whole", LONGEST_SECONDS)

    @property
    def primary(self) -> str:
        """The node that is the primary by Patroni's own word."""
        return next(str(member["name"]) for member in self._members() if member["role"] == "leader")

    def is_whole(self) -> bool:
        """Whether there is a primary, and a standby that streams from it on the same timeline."""
        members = self._members()
        states = sorted(member.get("state", "") for member in members)
        return states == ["running", "streaming"] and len({member.get("timeline") for member in members}) == 1

    def kill(self) -> None:
        """Kill -9 of the primary's postmaster."""
        data = self._data(self.primary)
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def silence(self) -> None:
        """The primary's host is heard no more."""
        self.site.host(self.primary).silence()

    def switch(self) -> None:
        """The planned way."""
        leader = self.primary
        [candidate] = set(NODES) - {leader}
        self._ask(leader, "POST", "/switchover", {"leader": leader, "candidate": candidate})

    def heal(self) -> None:
        """Let everybody hear everybody, and wait until the cluster is whole."""
        for name in NODES:
            self.site.host(name).heal()
        wait_for(self.is_whole, "the cluster is whole", LONGEST_SECONDS)
        if self._settings.endswith("sync"):
            wait_for(lambda: "sync_standby" in self._roles(), "a standby is synchronous", LONGEST_SECONDS)

    def ids(self) -> set[int]:
        """The rows that the primary has."""
        with self._connect() as connection:
            return {row[0] for row in connection.execute("SELECT id FROM written").fetchall()}

    def found(self) -> None:
        """It says nothing of this."""

    def close(self) -> None:
        """Take it down."""
        self.site.close()

    def _connect(self) -> psycopg.Connection[Any]:
        sockets = self._data(self.primary).parent
        return psycopg.connect(host=str(sockets), port=PORT, user=USER, password=PASSWORD, autocommit=True)

    def _members(self) -> list[dict[str, Any]]:
        for name in NODES:
            try:
                members: list[dict[str, Any]] = json.loads(self._ask(name, "GET", "/cluster"))["members"]
            except AssertionError:
                continue
            if any(member["role"] == "leader" for member in members):
                return members
        return []

    def _roles(self) -> set[str]:
        return {member["role"] for member in self._members()}

    def _is_running(self, name: str) -> bool:
        return any(each["name"] == name and each["state"] in ("running", "streaming") for each in self._members())

    def _ask(self, node: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> str:
        """Ask Patroni on a node, from there: also a node that nobody else hears answers."""
        url = f"http://{self.site.host(node).address}:{REST}{path}"
        text = "" if body is None else json.dumps(body)
        return self.site.host(node).run(str(self._programs / "venv/bin/python"), "-c", ASK, method, url, text)

    def _data(self, name: str) -> Path:
        return self.site.folder / name / "data"

    def _start_node(self, name: str) -> None:
        folder = self.site.folder / name
        folder.mkdir(mode=0o755)
        file = folder / "patroni.yml"
        file.write_text(yaml.safe_dump(self._configuration(name)))
        if self._lab.user:
            shutil.chown(folder, self._lab.user)
        python = str(self._programs / "venv/bin/python")
        identity = ["setpriv", f"--reuid={self._lab.user}", f"--regid={self._lab.user}", "--clear-groups", "--"]
        command = [*(identity if self._lab.user else []), python, "-m", "patroni", str(file)]
        self.site.run(name, command, f"{name}.log", cwd=folder)

    def _configuration(self, name: str) -> dict[str, Any]:
        address, folder = self.site.host(name).address, self.site.folder / name
        role = {"username": USER, "password": PASSWORD}
        network = f"{SUBNET}0/{WIDTH}"
        return {
            "scope": SCOPE,
            "name": name,
            "restapi": {"listen": f"{address}:{REST}", "connect_address": f"{address}:{REST}"},
            "etcd3": {"host": f"{self.site.host('etcd').address}:{ETCD}"},
            "bootstrap": {
                "dcs": {
                    **DEFAULT,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "use_slots": True,
                        "parameters": {
                            "wal_log_hints": "on",
                            "wal_keep_size": "256MB",
                            "shared_buffers": "16MB",
                            "wal_retrieve_retry_interval": "100ms",
                            "dynamic_shared_memory_type": "mmap",
                        },
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"{address}:{PORT}",
                "connect_address": f"{address}:{PORT}",
                "data_dir": str(folder / "data"),
                "bin_dir": str(self._lab.programs),
                "authentication": {"superuser": role, "replication": role, "rewind": role},
                "pg_hba": [
                    "local all,replication all trust",
                    f"host all,replication all {network} trust",
                ],
                "parameters": {"unix_socket_directories": str(folder)},
            },
        }
