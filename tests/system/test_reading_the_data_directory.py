"""Base backups whose files restic reads where they lie, while the server writes them, and what comes back of them."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from tests.postgres_lab import OWNER, Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import wait_for

pytestmark = pytest.mark.system
FUNCTIONS = "pg_backup_start(text, boolean), pg_backup_stop(boolean)"
WRITE = "INSERT INTO orders SELECT %s, string_agg(md5(random()::text), '') FROM generate_series(1, 60)"


@pytest.fixture
def shop(postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with shop_in(postgres_lab, f"live{abs(hash(request.node.name)) % 10000}") as cluster:
        yield cluster


@contextmanager
def shop_in(lab: Lab, name: str) -> Iterator[Cluster]:
    cluster = lab.new(name, is_durable=True, segment_mib=1)
    cluster.make_role("drd", "secret", "REPLICATION")
    cluster.execute("GRANT pg_read_all_settings TO drd")
    cluster.execute(f"GRANT EXECUTE ON FUNCTION {FUNCTIONS} TO drd")
    cluster.admit("drd")
    cluster.reload()
    cluster.execute(f"CREATE TABLESPACE fast LOCATION '{cluster.make_folder('fast')}'")
    cluster.execute("CREATE TABLE orders (number int PRIMARY KEY, note text) TABLESPACE fast")
    cluster.execute(
        "CREATE TABLE ballast AS SELECT n, repeat(md5(n::text), 20) AS note FROM generate_series(1, 40000) n"
    )
    cluster.execute("CREATE INDEX ON ballast (n)")
    yield cluster
    cluster.kill()


def protected(machine: Machine, cluster: Cluster, **source: Any) -> Machine:
    machine.set_secret("dsn", cluster.dsn("drd", "secret").decode())
    dsn = {"file": str(machine.folder / "secrets" / "dsn")}
    return machine.protect("orders", {"postgres": {"dsn": dsn, "read": "data_directory", **source}})


class Writer:
    """Commits one order after another; meanwhile pages change everywhere, and tables come and go."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.begun = 0
        self.acknowledged = 0

    def write(self, count: int = 1) -> None:
        with psycopg.connect(self._cluster.dsn().decode(), autocommit=True) as connection:
            for _ in range(count):
                self._write(connection)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        ended = threading.Event()

        def work() -> None:
            with psycopg.connect(self._cluster.dsn().decode(), autocommit=True) as connection:
                while not ended.is_set():
                    self._write(connection)
                    connection.execute("UPDATE ballast SET n = n + 0 WHERE n %% 1000 = %s", (self.begun % 1000,))
                    connection.execute("CREATE TABLE passing AS SELECT * FROM generate_series(1, 100)")
                    connection.execute("DROP TABLE passing")

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _write(self, connection: psycopg.Connection[Any]) -> None:
        self.begun += 1
        connection.execute(WRITE, (self.begun,))
        self.acknowledged = self.begun


def runs(machine: Machine) -> list[dict[str, Any]]:
    return machine.events("run-finished", "orders")


def begin(copy: Cluster) -> None:
    with (copy.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"unix_socket_directories = '{copy.sockets}'\nport = {copy.port}\n")
    copy.start()


def numbers_of(copy: Cluster, lab: Lab) -> set[int]:
    """What a restored cluster holds, every page and index of which is sound."""
    begin(copy)
    wait_for(lambda: not copy.value("SELECT pg_is_in_recovery()"), "recovery ends")
    words = [
        "--all",
        "--install-missing",
        "--heapallindexed",
        "-h",
        str(copy.sockets),
        "-p",
        str(copy.port),
        "-U",
        OWNER,
    ]
    lab.run("pg_amcheck", *words)
    assert copy.value("SELECT count(*) FROM ballast") == 40000
    assert copy.value("SELECT count(*) FROM pg_stat_replication") == 0
    found = {number for (number,) in copy.rows("SELECT number FROM orders")}
    copy.kill()
    return found


def test_what_is_read_while_everything_changes_comes_back_whole_and_sound(
    two_stores_each_restic: Machine, shop: Cluster, postgres_lab: Lab
) -> None:
    machine, writer = protected(two_stores_each_restic, shop), Writer(shop)
    writer.write(20)
    with writer.at_work():
        machine.start()
        wait_for(lambda: runs(machine), "the first run ends")
        before = writer.acknowledged
        machine.drd("backup", "orders", "--full").done()
        after = writer.begun
    assert [run["outcome"] for run in runs(machine)] == ["succeeded"] * 2
    assert all("read from its data directory" in run["message"] for run in runs(machine))
    copy = postgres_lab._place(f"{shop.name}-whole", False)
    ended = machine.drd("restore", "orders", "--to", str(copy.data)).done()
    assert "restic compared each file" in ended.stdout
    assert not (copy.data / "tablespace_map").exists()
    assert all(link.readlink().is_relative_to(copy.folder) for link in (copy.data / "pg_tblspc").iterdir())
    found = numbers_of(copy, postgres_lab)
    assert set(range(1, before + 1)) <= found <= set(range(1, after + 1))
    assert shop.rows("SELECT slot_name FROM pg_replication_slots") == []
    assert "secret" not in machine.daemon_log()


def test_received_wal_leads_on_from_it_to_a_moment_on_a_newer_server(
    two_stores: Machine, newer_postgres_lab: Lab
) -> None:
    with shop_in(newer_postgres_lab, "newer") as shop:
        wal_leads_on(two_stores, shop, newer_postgres_lab)


def wal_leads_on(two_stores: Machine, shop: Cluster, lab: Lab) -> None:
    writer = Writer(shop)
    machine = protected(two_stores, shop, wal="continuous", programs=str(lab.programs))
    writer.write(20)
    with writer.at_work():
        machine.start()
        wait_for(lambda: machine.points("orders") and machine.points("orders")[0]["stores"], "there is a base backup")
    writer.write(100)
    position, count = shop.value("SELECT pg_current_wal_insert_lsn()::text"), writer.begun
    writer.write(50)
    target = shop.value("SELECT pg_current_wal_insert_lsn()::text")

    def has_come() -> bool:
        reached = [each["through"] for each in machine.events("wal-shipped", "orders")]
        return any(shop.value("SELECT %s::pg_lsn >= %s::pg_lsn", each, target) for each in reached)

    wait_for(has_come, "WAL is in a store", 90)
    copy = lab._place(f"{shop.name}-then", False)
    restore = ("restore", "orders", "--at", position, "--programs", str(lab.programs))
    machine.drd(*restore, "--to", str(copy.data), "--from", "local").done()
    assert numbers_of(copy, lab) == set(range(1, count + 1))
    dump = lab._place("one", has_port=False).data
    machine.drd(*restore, "--to", str(dump), "--database", "postgres").done()
    listed = subprocess.check_output([lab.programs / "pg_restore", "--list", next(dump.glob("postgres*"))], text=True)
    assert {"orders", "ballast"} <= {line.split()[-2] for line in listed.splitlines() if " TABLE DATA " in line}


def test_a_standby_is_read_while_it_follows(machine: Machine, shop: Cluster, postgres_lab: Lab) -> None:
    writer = Writer(shop)
    writer.write(20)
    space = shop.make_folder("standby-fast")
    standby = postgres_lab._place(f"{shop.name}-sb", has_port=False)
    mapping = f"--tablespace-mapping={shop.folder / 'fast'}={space}"
    postgres_lab.run(
        "pg_basebackup", "-D", str(standby.data), "-c", "fast", "-R", "-N", mapping, "-d", shop.dsn().decode()
    )
    standby.start()
    protected(machine, standby, **{"from": "standby"})
    with writer.at_work():
        machine.start()
        [run] = wait_for(lambda: runs(machine), "the first run ends")
    assert (run["outcome"], "read from its data directory" in run["message"]) == ("succeeded", True), run
    standby.kill()
    copy = postgres_lab._place(f"{shop.name}-sbc", False)
    machine.drd("restore", "orders", "--to", str(copy.data)).done()
    (copy.data / "standby.signal").unlink(missing_ok=True)
    assert set(range(1, 21)) <= numbers_of(copy, postgres_lab) <= set(range(1, writer.begun + 1))


@pytest.mark.faults
def test_a_server_that_is_killed_meanwhile_leaves_no_point(machine: Machine, shop: Cluster) -> None:
    protected(machine, shop)
    machine.settings["stores"]["local"]["limits"] = {"upload": "2 MiB/s"}
    machine.write().start()
    wait_for(lambda: shop.rows("SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'drd_read_%%'"), "it reads")
    shop.kill()
    run = wait_for(lambda: next(iter(runs(machine)), None), "the run ends", 90)
    assert run["outcome"] == "failed"
    assert not [point for point in machine.points("orders") if point["outcome"] == "succeeded"]
    assert not list((machine.state / "staging").glob("*"))
    machine.settings["stores"]["local"].pop("limits")
    machine.write()
    with suppress(FileNotFoundError):
        (shop.data / "postmaster.pid").unlink()
    shop.start()
    machine.restart()
    machine.drd("backup", "orders", "--full").done()
    assert [point["outcome"] for point in machine.points("orders")] == ["succeeded"]


@pytest.mark.faults
def test_a_killed_daemon_leaves_nothing_on_the_server_and_no_point(machine: Machine, shop: Cluster) -> None:
    protected(machine, shop)
    machine.settings["stores"]["local"]["limits"] = {"upload": "2 MiB/s"}
    daemon = machine.write().start()
    wait_for(lambda: shop.rows("SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'drd_read_%%'"), "it reads")
    daemon.kill()
    wait_for(lambda: not shop.rows("SELECT 1 FROM pg_replication_slots"), "the server has let go of it")
    machine.settings["stores"]["local"].pop("limits")
    machine.write().start()
    machine.drd("backup", "orders", "--full").done()
    good = [point for point in machine.points("orders") if point["outcome"] == "succeeded"]
    assert good
    copy = machine.folder / "copy"
    machine.drd("restore", "orders", "--to", str(copy)).done()
    assert (copy / "backup_label").is_file()
    assert not list((machine.state / "staging").glob("*"))


def test_without_the_rights_the_server_sends_it_and_the_run_says_why(machine: Machine, shop: Cluster) -> None:
    shop.execute(f"REVOKE EXECUTE ON FUNCTION {FUNCTIONS} FROM drd")
    protected(machine, shop, read="auto").start()
    [run] = wait_for(lambda: runs(machine), "the run ends")
    assert run["outcome"] == "succeeded"
    assert "the server sent it: " in run["message"]
    assert "does not let drd begin a base backup" in run["message"]
    machine.protect(
        "orders", {"postgres": {**machine.policies["orders"]["backup"]["source"]["postgres"], "read": "data_directory"}}
    )
    said = machine.drd("validate", "--reach")
    assert (
        "GRANT EXECUTE ON FUNCTION pg_backup_start(text,boolean), pg_backup_stop(boolean) TO drd;"
        in said.stdout + said.stderr
    )
