"""A policy with a database, files and a program's output: one name for what belongs together, and back to a moment."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.postgres_lab import Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import wait_for

pytestmark = [pytest.mark.system, pytest.mark.faults, pytest.mark.timeout(400)]


@pytest.fixture
def shop(postgres_lab: Lab) -> Iterator[Cluster]:
    cluster = postgres_lab.new("set", is_durable=True, segment_mib=1)
    cluster.make_role("drd", "secret", "REPLICATION")
    cluster.admit("drd")
    cluster.reload()
    cluster.execute("CREATE TABLE orders (number int PRIMARY KEY)")
    yield cluster
    cluster.kill()


class Service:
    """A shop with its documents and settings; each edition is written to all three."""

    def __init__(self, machine: Machine, cluster: Cluster) -> None:
        self.machine = machine
        self.cluster = cluster
        self.documents = machine.data / "documents"
        self.documents.mkdir()
        machine.set_secret("dsn", cluster.dsn("drd", "secret").decode())
        dsn = {"file": str(machine.folder / "secrets" / "dsn")}
        sources = [
            {"part": "settings", "command": {"argv": ["cat", str(machine.data / "settings")], "filename": "settings"}},
            {"part": "orders", "postgres": {"dsn": dsn, "wal": "continuous"}},
            {"part": "documents", "files": {"paths": ["documents"]}},
        ]
        machine.protect("shop", sources)

    def write(self, edition: int) -> None:
        self.cluster.execute("INSERT INTO orders VALUES (%s)", edition)
        (self.documents / "edition").write_text(str(edition))
        (self.machine.data / "settings").write_text(f"edition={edition}")

    def backup(self) -> str:
        run: str = self.machine.drd("backup", "shop", "--json").done().json["run"]
        return run

    def now(self) -> str:
        """A moment by the server's clock, once all WAL up to it is in the store; files are read in whole seconds."""
        moment: datetime = self.cluster.value("SELECT clock_timestamp() FROM pg_sleep(1.1)")
        self.cluster.execute("SELECT pg_switch_wal()")
        wait_for(lambda: self._reach() > moment, "the WAL is in the store", 90)
        return moment.isoformat()

    def _reach(self) -> datetime:
        self.cluster.execute("SELECT pg_logical_emit_message(false, 'drd', 'on')")
        told = (each["moment"] for each in self.machine.events("wal-shipped", "shop"))
        return max(datetime.fromisoformat(moment) for moment in ("1970-01-01T00:00:00+00:00", *filter(None, told)))


def restored(lab: Lab, name: str, service: Service, *words: str) -> tuple[set[int], int, int, list[str]]:
    """The orders, and the editions of documents and settings; and what was told."""
    copy = lab._place(name, False)
    ended = service.machine.drd("restore", "shop", "--to", str(copy.data), *words).done()
    whole = copy.data.rename(copy.data.with_name("whole"))
    (whole / "orders").rename(copy.data)
    with (copy.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"unix_socket_directories = '{copy.sockets}'\nport = {copy.port}\n")
    copy.start()
    orders = {number for (number,) in copy.rows("SELECT number FROM orders")}
    copy.kill()
    settings = (whole / "settings" / "settings").read_text().removeprefix("edition=")
    return orders, _edition(whole / "documents"), int(settings), ended.stdout.splitlines()


def _edition(folder: Path) -> int:
    return int((folder / "edition").read_text())


def test_a_database_goes_to_the_moment_and_the_rest_with_it_from_the_newest_run_before(
    machine: Machine, shop: Cluster, postgres_lab: Lab
) -> None:
    service = Service(machine, shop)
    service.write(1)
    machine.start()
    wait_for(lambda: machine.points("shop") and machine.points("shop")[0]["stores"], "there is a recovery point", 90)
    wait_for(lambda: machine.events("wal-shipped", "shop"), "WAL comes", 90)
    [full] = machine.points("shop")
    created = machine.events("snapshot-created", "shop")
    assert [each["part"] for each in created] == ["settings", "orders", "documents"]
    assert {each["run"] for each in created} == {full["run"]}
    service.write(2)
    second = service.backup()
    service.write(3)
    between = service.now()
    service.write(4)
    service.backup()
    service.write(5)
    service.now()
    made = [each["part"] for each in machine.events("snapshot-created", "shop") if each["run"] == second]
    assert made == ["settings", "documents"]
    assert "part orders: WAL leads here from the base backup before" in machine.drd("points", "shop").done().stdout

    *found, told = restored(postgres_lab, "between", service, "--at", between)
    assert found == [{1, 2, 3}, 2, 2]
    words = "\n".join(told)
    assert "part orders: its WAL leads to the moment" in words
    assert "part documents: of " in words
    *found, _ = restored(postgres_lab, "newest", service)
    assert found == [{1, 2, 3, 4, 5}, 4, 4]
    *found, _ = restored(postgres_lab, "alone", service, "--without-wal")
    assert found == [{1}, 1, 1]
    proven = {point["run"]: point["proven_in"] for point in machine.points("shop")}
    assert proven[second] == ["local"]
    assert proven[full["run"]] == ["local"]
