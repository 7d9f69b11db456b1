"""A primary and its standby on hosts of their own, with all that stands around them (tests/failover_site.py)."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg

from tests.failover_site import PATIENCE, PORT, QUICK, Client, Site, assert_one_writer_at_a_time
from tests.namespaces import SUBNET, WIDTH, Network, network
from tests.postgres_lab import OWNER, Cluster, Lab
from tests.system.disks import small_disk
from tests.system.programs import wait_for
from tests.writing_client import TABLE, Noted

SETTINGS: Mapping[str, object] = {
    "wal_log_hints": "on",
    "wal_keep_size": "256MB",
    "wal_retrieve_retry_interval": "100ms",
    "hot_standby": "on",
}


class Pair(Site):
    """The two servers at their site."""

    def __init__(self, lab: Lab, net: Network, folder: Path, service: str = "orders", servers: int = 2) -> None:
        super().__init__(net, folder, service=service, servers=servers)
        self.lab = lab
        self.servers: dict[str, Cluster] = {}
        self._disks = ExitStack()

    def start(
        self,
        *,
        is_synchronous: bool = False,
        settings: Mapping[str, object] | None = None,
        disk: tuple[str, int] | None = None,
    ) -> None:
        """Make the primary and its standbys. `disk` is a folder of the primary's data, and a disk's MiB."""
        first, second, *more = self.nodes
        primary = self._place(first)
        primary.initialise(is_durable=True, settings={**SETTINGS, **(settings or {})})
        if disk is not None:
            self._put_on_a_disk(primary, *disk)
        primary.start()
        primary.execute(TABLE)
        for name in (second, *more):
            self.follow(name, first)
        if is_synchronous:
            self.synchronise(first, second)

    def follow(self, name: str, primary: str) -> None:
        """Make a node anew as a standby of another one, and start it."""
        source, slot = self.servers[primary], name.replace("-", "_")
        cluster = self.servers.get(name) or self._place(name)
        cluster.kill()
        shutil.rmtree(cluster.data, ignore_errors=True)
        source.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", slot
        )
        words = ["-D", str(cluster.data), "-X", "stream", "-c", "fast", "-C", "-S", slot, "-N", "-d"]
        self.lab.run("pg_basebackup", *words, source.dsn().decode())
        conninfo = f"host={source.address} port={PORT} user={OWNER} application_name={slot} {QUICK}"
        (cluster.data / "postgresql.auto.conf").write_text("")
        cluster.configure({"primary_conninfo": conninfo, "primary_slot_name": slot, "synchronous_standby_names": ""})
        (cluster.data / "standby.signal").touch()
        cluster.start()
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'"
        wait_for(lambda: source.value(streaming, slot) == 1, f"{name} follows {primary}", PATIENCE)

    def synchronise(self, primary: str, standby: str) -> None:
        """Have the primary acknowledge nothing that the standby has not."""
        source, slot = self.servers[primary], standby.replace("-", "_")
        source.configure({"synchronous_standby_names": f"FIRST 1 ({slot})"})
        source.reload()
        waits = "SELECT count(*) FROM pg_stat_replication WHERE application_name = %s AND sync_state = 'sync'"
        wait_for(lambda: source.value(waits, slot) == 1, f"{standby} is synchronous", PATIENCE)

    def _put_on_a_disk(self, cluster: Cluster, folder: str, size_mib: int) -> None:
        """Put a folder of the data on a disk of its own; all of them: but for the log, which lies elsewhere then."""
        place, aside, log = cluster.data / folder, cluster.folder / "aside", cluster.folder / "log-files"
        place.rename(aside)
        if not folder:
            (aside / "pg_wal").rename(log)
            (aside / "pg_wal").symlink_to(log)
        self._disks.enter_context(small_disk(place, size_mib))
        if self.lab.user:
            shutil.chown(place, self.lab.user)
        subprocess.run(["cp", "--archive", f"{aside}/.", str(place)], check=True)
        shutil.rmtree(aside)

    def _place(self, name: str) -> Cluster:
        cluster, host = self.lab._place(name, False), self.host(name)
        cluster.address, cluster.before, cluster.port = host.address, host.enter, PORT
        cluster.listens = "*"  # a host may be given one more address
        cluster.admit = lambda *_: _admit(cluster)  # type: ignore[method-assign]
        self.servers[name] = cluster
        return cluster

    def start_clients(self) -> tuple[Client, Client]:
        """A writer that knows both servers, and one that knows the proxy."""
        return self.start_client(self.multihost), self.start_client(self.proxied, 1_000_000)

    def survivor(self) -> Cluster:
        """The one that is a primary. An AssertionError says when there are more, or none."""
        found = [each for each in self.servers.values() if _leads(each)]
        assert len(found) == 1, f"primaries: {[each.name for each in found]}"
        return found[0]

    def close(self) -> None:
        """Take everything down."""
        for cluster in self.servers.values():
            cluster.kill()
        super().close()
        self._disks.close()


@contextmanager
def pair(lab: Lab, folder: Path, service: str = "orders", servers: int = 2) -> Iterator[Pair]:
    """A pair's hosts as long as the context lasts, or those of more servers; `start` makes its servers."""
    with network() as net:
        made = Pair(lab, net, folder, service, servers)
        try:
            yield made
        finally:
            made.close()


def lost(rows: list[Noted], survivor: Cluster) -> list[int]:
    """The rows that were acknowledged and that the survivor does not have."""
    there = {row[0] for row in survivor.rows("SELECT id FROM written")}
    return sorted({row.id for row in rows} - there)


def assert_taken_over(pair: Pair, clients: tuple[Client, ...], *, may_lose: int) -> None:
    """Clients write at the new primary, none of them at the old one any more, and no more is lost than may be."""
    _, new = pair.nodes
    for client in clients:
        client.writes_at(pair.host(new).address)
    told = [client.stop() for client in clients]
    assert_one_writer_at_a_time(*told)
    for rows in told:
        assert len(lost(rows, pair.servers[new])) <= may_lose
    assert pair.survivor() is pair.servers[new]


def _admit(cluster: Cluster) -> None:
    """Let everybody on the lab's network in: what is tested here is not who may."""
    network_part = f"{SUBNET}0/{WIDTH}"
    lines = ["local all,replication all trust", f"host all,replication all {network_part} trust"]
    (cluster.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")


def _leads(cluster: Cluster) -> bool:
    with suppress(psycopg.OperationalError):
        return bool(cluster.value("SELECT NOT pg_is_in_recovery()"))
    return False
