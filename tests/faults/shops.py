"""A shop with a PostgreSQL cluster whose WAL drd receives, and a client that remembers what it was told is written."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drd.core.postgres.names import slot_name
from tests.postgres_lab import Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import Running, wait_for

POLICY = "orders"
SLOT = slot_name(POLICY)
SEGMENT_BYTES = 2**20
ORDER = "INSERT INTO orders SELECT %s, string_agg(md5(random()::text), '') FROM generate_series(1, 60)"
"""About 2 KB of WAL, which compresses to two thirds."""


class Shop:
    """One machine with drd, one cluster, and the orders that were acknowledged."""

    def __init__(self, machine: Machine, lab: Lab, name: str) -> None:
        self.machine = machine
        self.lab = lab
        self.cluster = lab.new(name, is_durable=True, segment_mib=1, settings={"wal_keep_size": "256MB"})
        self.cluster.make_role("drd", "secret", "REPLICATION")
        self.cluster.admit("drd")
        self.cluster.reload()
        self.cluster.execute("CREATE TABLE orders (number int PRIMARY KEY, note text)")
        self.orders = 0
        self._copies = 0
        self._nodes: list[str] = []
        self._where = self._dsn("dsn", self.cluster)
        self.keep: dict[str, Any] = {"last": 20}
        self.protect()

    def serve_by(self, nodes: dict[str, Cluster]) -> None:
        """Let the policy name nodes, instead of one server."""
        self._where, self._nodes = {}, list(nodes)
        self.machine.settings["nodes"] = {
            name: {"host": name, "site": "hangzhou", "postgres": self._dsn(name, cluster)}
            for name, cluster in nodes.items()
        }
        self.protect()

    def protect(self, **source: Any) -> None:
        """Write the policy, with more about its source."""
        self.machine.protect(POLICY, {"postgres": {**self._where, "wal": "continuous", **source}}, keep=self.keep)
        if self._nodes:
            self.machine.policies[POLICY]["nodes"] = self._nodes
            self.machine.write()

    def limit(self, **limits: dict[str, str]) -> None:
        """Slow stores down, or no more."""
        for name, store in self.machine.settings["stores"].items():
            store.pop("limits", None)
            if name in limits:
                store["limits"] = limits[name]
        self.machine.write()

    def sell(self, count: int = 1) -> None:
        """Orders, each committed by itself where there are few."""
        first, self.orders = self.orders + 1, self.orders + count
        for number in range(first, self.orders + 1) if count < 10 else ():
            self.cluster.execute(ORDER, number)
        if count >= 10:
            self.cluster.execute(
                "INSERT INTO orders SELECT n, (SELECT string_agg(md5(random()::text || n || i), '') FROM"
                " generate_series(1, 60) i) FROM generate_series(%s::int, %s::int) n",
                first,
                self.orders,
            )

    def keep_little_wal(self, **limits: str) -> None:
        """Have the server remove WAL at each checkpoint, unless a slot keeps it, and within `limits`."""
        self.cluster.configure({"wal_keep_size": 0, "min_wal_size": "2MB", "max_wal_size": "2MB", **limits})
        self.cluster.reload()

    def write_and_remove_wal(self) -> None:
        """Sell for some 20 MB of WAL, and have the server remove what nothing keeps any more."""
        for _ in range(4):
            self.sell(2000)
            self.cluster.execute("SELECT pg_switch_wal()")
            self.cluster.execute("CHECKPOINT")

    def moment(self) -> tuple[str, int]:
        """A moment between two orders that is in every store, and how many orders there were."""
        moment, count = self.cluster.value("SELECT clock_timestamp()"), self.orders
        self.wait_shipped()
        return moment.isoformat(), count

    def open(self) -> None:
        """Start drd and wait for the first base backup and the first WAL, in every store."""
        self.machine.start()
        wait_for(self._has_base, "the base backup is in every store")
        self.wait_shipped()

    def wait_shipped(self, *stores: str, seconds: float = 90.0) -> None:
        """Wait until all that was sold is in these stores, or in all."""
        self.sell()
        moment = datetime.now(UTC)
        for store in stores or tuple(self.machine.settings["stores"]):
            wait_for(lambda store=store: self.reach(store) > moment, f"{store} has the WAL", seconds)  # type: ignore[misc]

    def reach(self, store: str) -> datetime:
        """Up to which moment a store has the WAL."""
        told = [datetime.fromisoformat(each["moment"]) for each in self.shipped(store) if each["moment"]]
        return max(told, default=datetime.min.replace(tzinfo=UTC))

    def shipped(self, store: str) -> list[dict[str, Any]]:
        """The batches of a store."""
        return [each for each in self.machine.events("wal-shipped", POLICY) if each["store"] == f"{store}.wal"]

    def is_received(self) -> bool:
        """Whether somebody receives by drd's slot."""
        found = self.cluster.rows("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", SLOT)
        return bool(found)

    def restored(self, *words: str) -> int:
        """How many orders a restore has, which are the first ones without a gap."""
        copy = self.place()
        self.machine.drd("restore", POLICY, "--to", str(copy.data), *words).done()
        return self.count_in(copy)

    def place(self) -> Cluster:
        """A place for a restored cluster."""
        self._copies += 1
        return self.lab._place(f"{self.cluster.name}-{self._copies}", False)

    def count_in(self, copy: Cluster) -> int:
        """Start a restored cluster, and count."""
        with (copy.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{copy.sockets}'\nport = {copy.port}\n")
        copy.start()
        count, last = copy.rows("SELECT count(*), coalesce(max(number), 0) FROM orders")[0]
        assert count == last, "an order is missing between others"
        assert copy.value("SELECT count(*) FROM orders WHERE note IS NOT NULL") == count
        copy.kill()
        return int(count)

    def assert_all_is_sound(self, *, seconds: float = 90.0) -> None:
        """WAL reaches every store, each leads to all that was sold, and the next base backup succeeds."""
        self.limit()
        self.protect()
        self.machine.restart()
        begun = {event["run"] for event in self.machine.events("run-started")}
        wait_for(
            lambda: begun <= {event["run"] for event in self.machine.events("run-finished")}, "every run has an end"
        )
        self.wait_shipped(seconds=seconds)
        for store in self.machine.settings["stores"]:
            assert self.restored("--from", store) == self.orders, store
        self.machine.drd("backup", POLICY, "--full").done()
        stores = tuple(self.machine.settings["stores"])
        for store in (*stores, *(f"{name}.wal" for name in stores)):
            self.machine.drd("check", store).done()
        assert not list((self.machine.state / "staging").glob("*"))
        self.machine.stop()
        assert json.loads(self.machine.drd("journal", "verify", "--json").done().stdout)["sound"]
        assert "secret" not in self.machine.daemon_log()

    def _dsn(self, name: str, cluster: Cluster) -> dict[str, Any]:
        self.machine.set_secret(name, cluster.dsn("drd", "secret").decode())
        return {"dsn": {"file": str(self.machine.folder / "secrets" / name)}}

    def _has_base(self) -> bool:
        points = self.machine.points(POLICY)
        return bool(points) and set(points[0]["stores"]) == set(self.machine.settings["stores"])


def left_in(folder: Path) -> list[str]:
    """What is left of restores in a folder."""
    return sorted(path.name for path in folder.iterdir() if "drd-restoring" in path.name)


def works_on(daemon: Running, place: str, verb: str) -> int | None:
    """The pid of a restic that does this with this place, which stands in its arguments or environment."""
    for pid, line in daemon.children().items():
        if line[0].endswith("restic") and verb in line and any(word.startswith(place) for word in _words(pid, line)):
            return pid
    return None


def _words(pid: int, line: list[str]) -> list[str]:
    with suppress(OSError):
        variables = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
        return [*line, *(variable.partition("=")[2] for variable in variables)]
    return line
