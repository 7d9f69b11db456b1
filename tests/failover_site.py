"""A site for tests of failover: hosts in a network of namespaces, HAProxy before the servers, and clients that write.

orders-1, orders-2   the servers       proxy   HAProxy       client   the writers       watcher   whoever watches
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.namespaces import Host, Network
from tests.postgres_lab import OWNER
from tests.system.programs import wait_for
from tests.writing_client import Noted, noted

NODES = ("orders-1", "orders-2")
"""The servers of the service that is meant where none is named."""
PORT = 5432
PATIENCE = 90.0
QUICK = "connect_timeout=2 tcp_user_timeout=1000"
"""A client that does not wait for a silent host."""
WRITER = Path(__file__).parent / "writing_client.py"


class Site:
    """The hosts, the proxy and the clients."""

    def __init__(
        self, net: Network, folder: Path, user: str = OWNER, service: str = "orders", servers: int = 2
    ) -> None:
        """`service` names the servers, `SERVICE-1`, `SERVICE-2` and so on, and HAProxy's backend."""
        self.network = net
        self.service = service
        self.nodes = tuple(f"{service}-{number + 1}" for number in range(servers))
        self.folder = folder
        self.user = user
        for name in (*self.nodes, "proxy", "client", "watcher"):
            net.add(name)
        self.socket = folder / "haproxy.sock"
        self.proxy_state = folder / "haproxy.state"
        """HAProxy's `server-state-file`."""
        self._proxy: subprocess.Popen[bytes] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._clients = 0

    def host(self, name: str) -> Host:
        """A host by its name."""
        return self.network.hosts[name]

    def run(self, host: str, command: list[str], log: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start a program on a host; it ends with the tests."""
        with (self.folder / log).open("ab") as output:
            words = [*self.host(host).enter, "setpriv", "--pdeathsig", "KILL", "--", *command]
            environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(WRITER.parents[1])}
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, **more
            )
        self._processes.append(process)
        return process

    def start_proxy(self, program: Path, check: str = "", first: str = "", others: str = "disabled") -> None:
        """HAProxy before them. `check` are lines for the backend, `first` and `others` words behind the servers."""
        configuration = self.folder / "haproxy.cfg"
        servers = "".join(
            f" server {name} {self.host(name).address}:{PORT} {words}\n"
            for name, words in ((name, first if name == self.nodes[0] else others) for name in self.nodes)
        )
        configuration.write_text(
            f"global\n stats socket {self.socket} mode 600 level admin\n server-state-file {self.proxy_state}\n"
            "defaults\n load-server-state-from-file global\n mode tcp\n retries 0\n"
            " timeout connect 2s\n timeout client 1m\n timeout server 1m\n"
            f"listen {self.service}\n bind {self.host('proxy').address}:{PORT}\n{check}{servers}"
        )
        self._proxy_command = [str(program), "-db", "-f", str(configuration)]
        self._proxy = self.run("proxy", self._proxy_command, "haproxy.log")
        wait_for(self.socket.exists, "HAProxy listens", PATIENCE)

    def reload_proxy(self) -> None:
        """Have a new HAProxy read its files and take over; the old one ends with its last session."""
        old = self._proxy
        assert old is not None, "it was not started"
        before = self.socket.stat().st_ino
        self._proxy = self.run("proxy", [*self._proxy_command, "-sf", str(old.pid)], "haproxy.log")
        wait_for(lambda: self.socket.stat().st_ino != before, "the new HAProxy listens", PATIENCE)

    def directly(self, name: str) -> str:
        """The way of a client that knows one server alone."""
        return f"host={self.host(name).address} port={PORT} {self._rest}"

    @property
    def multihost(self) -> str:
        """The way of a client that knows the servers."""
        hosts = ",".join(self.host(name).address for name in self.nodes)
        return f"host={hosts} port={PORT} target_session_attrs=read-write {self._rest}"

    @property
    def proxied(self) -> str:
        """The way of one that knows the proxy."""
        return f"host={self.host('proxy').address} port={PORT} {self._rest}"

    @property
    def _rest(self) -> str:
        return f"user={self.user} dbname=postgres {QUICK}"

    def start_client(self, dsn: str, first: int = 0, *, is_heard: bool = True) -> "Client":
        """A writer, whose first row has been acknowledged when this returns, unless it is not heard."""
        self._clients += 1
        note = self.folder / f"client-{self._clients}.txt"
        client = Client(
            note, self.run("client", [sys.executable, str(WRITER), dsn, str(note), str(first)], "client.log")
        )
        if is_heard:
            wait_for(client.rows, "the client's first row", PATIENCE)
        return client

    def close(self) -> None:
        """End what runs on the hosts."""
        for host in self.network.hosts.values():
            host.lose_power()
        for process in self._processes:
            process.wait(PATIENCE)


class Client:
    """A writer and its note."""

    def __init__(self, note: Path, process: subprocess.Popen[bytes]) -> None:
        self._note = note
        self._process = process

    def rows(self) -> list[Noted]:
        """What it was told so far."""
        return noted(self._note)

    def writes_again(self, since: float, seconds: float = PATIENCE) -> None:
        """Wait until a row is acknowledged that was written after `since`."""
        wait_for(lambda: any(row.moment > since for row in self.rows()[-1:]), "the client writes", seconds)

    def writes_at(self, address: str, seconds: float = PATIENCE) -> None:
        """Wait until it writes at a server."""
        wait_for(lambda: any(row.server == address for row in self.rows()[-1:]), f"a row at {address}", seconds)

    def stop(self) -> list[Noted]:
        """End it; all that it was told."""
        self._process.kill()
        self._process.wait(PATIENCE)
        return self.rows()


def assert_one_writer_at_a_time(*clients: list[Noted]) -> None:
    """At most one server acknowledged writes of a timeline, and none was taken on a timeline that another had replaced.

    The rows of all clients count together: one may be at the new primary while another is still served by the old one.
    An answer is noted later than it was given, and one that the network held back much later. Of a row that was sent
    after another client had its answer on a newer timeline that is no excuse: only the one row that each client had in
    flight then is not judged here. Whether it is there is seen in what was lost.
    """
    rows = sorted((row for each in clients for row in each), key=lambda row: row.moment)
    leads: dict[int, str] = {}
    since: dict[int, float] = {}
    for row in rows:
        leader = leads.setdefault(row.timeline, row.server)
        assert row.server == leader, f"{row.server} acknowledged row {row.id} on timeline {row.timeline} of {leader}"
        since.setdefault(row.timeline, row.moment)
    for row in rows:
        newer = [line for line, moment in since.items() if line > row.timeline and moment < row.began]
        assert not newer, f"{row.server} took row {row.id} and acknowledged it after {leads[newer[0]]} had taken over"


def now() -> float:
    """The clock of the clients' notes."""
    return time.monotonic()
