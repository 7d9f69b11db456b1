"""`drd restore --at` of a real server whose WAL is received: what a client wrote down is what comes back."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from drd.core.postgres.names import slot_name
from tests.postgres_lab import Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import wait_for

pytestmark = pytest.mark.system
WRITE = "INSERT INTO orders SELECT %s, string_agg(md5(random()::text), '') FROM generate_series(1, 60)"


class Client:
    """Writes orders and writes down when it began each and when that was acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.begun: list[datetime] = []
        self.acknowledged: list[datetime] = []

    def write(self, count: int) -> None:
        with psycopg.connect(self._cluster.dsn().decode(), autocommit=True) as connection:
            for _ in range(count):
                self.begun.append(datetime.now(UTC))
                connection.execute(WRITE, (len(self.begun),))
                self.acknowledged.append(datetime.now(UTC))

    def must(self, moment: datetime) -> set[int]:
        return {number for number, at in enumerate(self.acknowledged, 1) if at < moment}

    def may(self, moment: datetime) -> set[int]:
        return {number for number, at in enumerate(self.begun, 1) if at <= moment}


@pytest.fixture
def shop(postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    name = f"shop{abs(hash(request.node.name)) % 10000}"
    cluster = postgres_lab.new(name, is_durable=True, segment_mib=1)
    cluster.make_role("drd", "secret", "REPLICATION")
    cluster.admit("drd")
    cluster.reload()
    cluster.execute(f"CREATE TABLESPACE fast LOCATION '{cluster.make_folder('fast')}'")
    cluster.execute("CREATE TABLE orders (number int PRIMARY KEY, note text) TABLESPACE fast")
    yield cluster
    cluster.kill()


def protected(machine: Machine, cluster: Cluster) -> Machine:
    machine.set_secret("dsn", cluster.dsn("drd", "secret").decode())
    source = {"postgres": {"dsn": {"file": str(machine.folder / "secrets" / "dsn")}, "wal": "continuous"}}
    return machine.protect("orders", source)


def has_reached(machine: Machine, store: str, moment: datetime) -> bool:
    shipped = [each for each in machine.events("wal-shipped", "orders") if each["store"] == store and each["moment"]]
    return any(datetime.fromisoformat(each["moment"]) > moment for each in shipped)


def rows_of(copy: Cluster) -> set[int]:
    with (copy.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"unix_socket_directories = '{copy.sockets}'\nport = {copy.port}\n")
    copy.start()
    found = {number for (number,) in copy.rows("SELECT number FROM orders")}
    copy.kill()
    return found


def test_a_restore_goes_to_the_moment_the_position_and_the_end(
    two_stores: Machine, shop: Cluster, postgres_lab: Lab
) -> None:
    machine, client = protected(two_stores, shop), Client(shop)
    client.write(20)
    machine.start()
    wait_for(lambda: machine.points("orders") and machine.points("orders")[0]["stores"], "there is a base backup")
    wait_for(lambda: has_reached(machine, "local.wal", datetime.now(UTC) - timedelta(seconds=60)), "WAL comes", 60)
    client.write(150)
    position = shop.value("SELECT pg_current_wal_insert_lsn()::text")
    at_position = len(client.begun)
    client.write(150)
    moment = client.begun[-100] + (client.acknowledged[-1] - client.begun[-100]) / 2
    last = client.acknowledged[-1]
    wait_for(lambda: has_reached(machine, "offsite.wal", last), "the second store has it", 90)

    def restored(name: str, *words: str) -> Cluster:
        copy = postgres_lab._place(name, False)
        ended = machine.drd("restore", "orders", "--to", str(copy.data), *words).done()
        assert "pg_verifybackup found it whole" in ended.stdout
        assert "WAL was replayed to" in ended.stdout
        assert sorted(path.name for path in copy.folder.iterdir()) == ["data", "data.tablespaces", "s"]
        return copy

    timed = rows_of(restored("timed", "--at", moment.isoformat(), "--from", "offsite"))
    assert client.must(moment) <= timed <= client.may(moment)
    assert rows_of(restored("placed", "--at", position)) == set(range(1, at_position + 1))
    assert rows_of(restored("newest")) == set(range(1, len(client.begun) + 1))

    early = machine.drd("restore", "orders", "--to", str(machine.folder / "x"), "--at", "2020-01-01 00:00:00Z")
    assert early.code != 0
    assert "covered: " in early.stderr
    assert not (machine.folder / "x").exists()
    alone = postgres_lab._place("alone", False)
    ended = machine.drd("restore", "orders", "--to", str(alone.data), "--without-wal").done()
    assert "WAL was replayed" not in ended.stdout
    assert rows_of(alone) == set(range(1, 21))
    assert "secret" not in machine.daemon_log()
    assert slot_name("orders") in {name for (name,) in shop.rows("SELECT slot_name FROM pg_replication_slots")}


def test_the_cluster_comes_back_on_a_new_machine_after_everything_but_the_second_store_is_lost(
    two_stores: Machine, shop: Cluster, postgres_lab: Lab
) -> None:
    machine, client = protected(two_stores, shop), Client(shop)
    machine.start()
    wait_for(lambda: machine.points("orders") and machine.points("orders")[0]["stores"], "there is a base backup")
    client.write(100)
    last = client.acknowledged[-1]
    wait_for(lambda: has_reached(machine, "offsite.wal", last), "the second store has it", 90)
    wait_for(lambda: "offsite" in machine.points("orders")[0]["stores"], "the base backup is there", 60)
    machine.stop()
    shop.kill()
    for lost in (machine.state, machine.repository, machine.repository.with_name("repository-wal")):
        subprocess.run(["rm", "-r", str(lost)], check=True)
    copy = postgres_lab._place("anew", False)
    ended = machine.drd("restore", "orders", "--to", str(copy.data), "--from", "offsite").done()
    assert "WAL was replayed to the end" in ended.stdout
    assert rows_of(copy) == set(range(1, 101))


def test_a_promoted_cluster_comes_back_on_a_new_machine_from_a_base_backup_of_before(
    two_stores: Machine, shop: Cluster, postgres_lab: Lab
) -> None:
    machine, client = protected(two_stores, shop), Client(shop)
    machine.start()
    wait_for(lambda: machine.points("orders") and machine.points("orders")[0]["stores"], "there is a base backup")
    wait_for(lambda: "offsite" in machine.points("orders")[0]["stores"], "the base backup is there", 60)
    base = machine.points("orders")[0]["moment"]
    machine.drd("pause", "orders", "--for", "1h", "--reason", "no newer base backup").done()
    client.write(50)
    shop.stop()
    (shop.data / "standby.signal").touch()
    shop.start()
    shop.promote()
    client.write(20)
    last = client.acknowledged[-1]
    wait_for(lambda: has_reached(machine, "local.wal", last), "the new timeline is received", 90)
    client.write(60)
    moment, last = client.acknowledged[-30], client.acknowledged[-1]
    wait_for(lambda: has_reached(machine, "offsite.wal", last), "the second store has it", 90)
    machine.stop()
    shop.kill()
    for lost in (machine.state, machine.repository, machine.repository.with_name("repository-wal")):
        subprocess.run(["rm", "-r", str(lost)], check=True)
    copy = postgres_lab._place("promoted", False)
    words = ["--at", moment.isoformat(), "--from", "offsite", "--json"]
    result = machine.drd("restore", "orders", "--to", str(copy.data), *words).done().json["result"]
    assert datetime.fromisoformat(result["moment"]) == datetime.fromisoformat(base)
    assert any("now on timeline 3" in note for note in result["notes"])
    assert client.must(moment) <= rows_of(copy) <= client.may(moment)
    ranges = machine.drd("points", "orders", "--json").done().json["covered"]
    assert {each["timeline"] for each in ranges if each["store"] == "offsite"} == {1, 2}
