"""WAL of a real server reaches both stores while it is written, and leads a base backup to what came after it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from drd.core.postgres.names import slot_name
from tests.postgres_lab import Cluster, Lab
from tests.system.machine import BUCKET, LOCAL_PASSWORD, OFFSITE_PASSWORD, Machine
from tests.system.programs import wait_for

pytestmark = pytest.mark.system
SLOT = slot_name("orders")


@pytest.fixture
def shop(postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    cluster = postgres_lab.new(f"shop{abs(hash(request.node.name)) % 10000}", is_durable=True)
    cluster.make_role("drd", "secret", "REPLICATION")
    cluster.admit("drd")
    cluster.reload()
    cluster.execute("CREATE TABLE orders (number bigserial, note text)")
    yield cluster
    cluster.kill()


def protected(machine: Machine, cluster: Cluster, lab: Lab) -> Machine:
    machine.set_secret("dsn", cluster.dsn("drd", "secret").decode())
    place = str(machine.folder / "secrets" / "dsn")
    source = {"postgres": {"dsn": {"file": place}, "wal": "continuous", "programs": str(lab.programs)}}
    return machine.protect("orders", source)


def buy(cluster: Cluster, count: int = 1) -> None:
    cluster.execute("INSERT INTO orders (note) SELECT repeat('x', 200) FROM generate_series(1, %s)", count)


def shipped(machine: Machine, store: str) -> list[dict[str, Any]]:
    return [each for each in machine.events("wal-shipped", "orders") if each["store"] == store]


def reach(machine: Machine, store: str) -> tuple[datetime | None, str]:
    """The newest moment and position that a store's WAL goes to."""
    found = shipped(machine, store)
    moments = [datetime.fromisoformat(each["moment"]) for each in found if each["moment"]]
    return max(moments, default=None), found[-1]["through"] if found else ""


def now_of(cluster: Cluster) -> datetime:
    moment: datetime = cluster.value("SELECT clock_timestamp()")
    return moment


def has_reached(machine: Machine, store: str, moment: datetime) -> bool:
    newest, _ = reach(machine, store)
    return newest is not None and newest > moment


def fetched(machine: Machine, store: str, target: Path) -> Path:
    """All WAL of a store as plain restic brings it back, in one folder; the last partial segment under its name."""
    is_local = store == "local.wal"
    environment = {
        **machine.environment,
        "RESTIC_REPOSITORY": f"{machine.repository}-wal" if is_local else f"s3:{machine.s3.url}/{BUCKET}/wal",  # type: ignore[union-attr]
        "RESTIC_PASSWORD": LOCAL_PASSWORD if is_local else OFFSITE_PASSWORD,
        "AWS_ACCESS_KEY_ID": "" if machine.s3 is None else machine.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": "" if machine.s3 is None else machine.s3.secret_key,
    }

    def restic(*words: str) -> str:
        command = [str(machine.restic), "--no-cache", "-q", "--no-lock", *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout

    newest: dict[str, dict[str, Any]] = {}
    for snapshot in json.loads(restic("snapshots", "--tag", "drd,kind=wal", "--json")):
        tags = dict(tag.split("=", 1) for tag in snapshot["tags"] if "=" in tag)
        newest[tags["group"]] = snapshot
    target.mkdir()
    for group, snapshot in newest.items():
        read = target.with_name(f"{target.name}-{group}")
        restic("restore", f"{snapshot['id']}:{snapshot['paths'][0]}", "--target", str(read))
        for path in read.iterdir():
            shutil.move(path, target / path.name)
    partial = max(target.glob("*.partial"), default=None)
    if partial is not None:
        partial.rename(partial.with_suffix(""))
    return target


def rolled_forward(lab: Lab, machine: Machine, wal: Path, name: str) -> Cluster:
    """The newest base backup with this WAL, started."""
    cluster = lab._place(name, False)
    words = ["--to", str(cluster.data), "--port", str(cluster.port), "--without-wal"]
    machine.drd("restore", "orders", *words).done()
    (cluster.data / "recovery.signal").touch()
    wal = Path(shutil.move(wal, cluster.folder / "wal"))  # where the server's user may read it
    with (cluster.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"restore_command = 'cp {wal}/%f %p'\nunix_socket_directories = '{cluster.sockets}'\n")
    if lab.user:
        for path in (cluster.data, wal):
            subprocess.run(["chown", "-R", lab.user, str(path)], check=True)
    cluster.start()
    wait_for(lambda: not cluster.value("SELECT pg_is_in_recovery()"), "recovery ends")
    return cluster


def is_received(cluster: Cluster) -> bool:
    return bool(cluster.rows("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", SLOT))


def kill_receiver(machine: Machine) -> None:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if f"--slot={SLOT}" in words and any(str(machine.state) in word for word in words):
            process.kill()
            return
    raise AssertionError("nobody receives WAL")


def test_wal_is_in_both_stores_within_a_minute_and_leads_past_the_base_backup(
    two_stores: Machine, shop: Cluster, postgres_lab: Lab
) -> None:
    machine = protected(two_stores, shop, postgres_lab)
    buy(shop, 1000)
    machine.start()
    wait_for(lambda: machine.points("orders") and machine.points("orders")[0]["stores"], "there is a base backup")
    for _ in range(20):
        buy(shop, 500)
    buy(shop)
    moment = now_of(shop)
    wait_for(lambda: has_reached(machine, "local.wal", moment), "the first store has it", 60)
    wait_for(lambda: has_reached(machine, "offsite.wal", moment), "the second store has it", 60)
    count = shop.value("SELECT count(*) FROM orders")
    for store in ("local.wal", "offsite.wal"):
        wal = fetched(machine, store, machine.folder / f"wal-{store}")
        copy = rolled_forward(postgres_lab, machine, wal, f"from-{store.removesuffix('.wal')}")
        assert copy.value("SELECT count(*) FROM orders") == count
        copy.kill()
    assert {store["name"]: store["state"] for store in machine.status()["stores"]} == {
        "local": "ok",
        "offsite": "ok",
        "local.wal": "ok",
        "offsite.wal": "ok",
    }
    assert "secret" not in machine.daemon_log()


def test_after_kills_of_the_receiver_and_of_drd_no_wal_is_missing(
    two_stores: Machine, shop: Cluster, postgres_lab: Lab
) -> None:
    machine = protected(two_stores, shop, postgres_lab)
    machine.start()
    wait_for(lambda: machine.points("orders") and machine.points("orders")[0]["stores"], "there is a base backup")
    for kill in range(4):
        buy(shop, 40_000)
        wait_for(lambda: is_received(shop), "WAL is received")
        if kill % 2:
            assert machine.daemon is not None
            machine.daemon.kill()
            buy(shop, 40_000)
            machine.start()
        else:
            kill_receiver(machine)
    buy(shop)
    moment = now_of(shop)
    wait_for(lambda: has_reached(machine, "offsite.wal", moment), "the second store has it", 90)
    wal = fetched(machine, "offsite.wal", machine.folder / "wal")
    copy = rolled_forward(postgres_lab, machine, wal, "after-kills")
    assert copy.value("SELECT count(*) FROM orders") == shop.value("SELECT count(*) FROM orders")
    copy.kill()


def test_a_lost_slot_is_told_and_wal_goes_on_behind_a_new_base_backup(
    two_stores: Machine, shop: Cluster, postgres_lab: Lab
) -> None:
    machine = protected(two_stores, shop, postgres_lab)
    machine.start()
    wait_for(lambda: machine.points("orders") and machine.points("orders")[0]["stores"], "there is a base backup")
    moment = now_of(shop)
    wait_for(lambda: has_reached(machine, "local.wal", moment), "WAL is shipped", 60)
    machine.stop()
    shop.execute("SELECT pg_drop_replication_slot(%s)", SLOT)
    shop.configure({"max_wal_size": "32MB", "min_wal_size": "32MB"})
    shop.reload()
    for _ in range(6):
        buy(shop, 40_000)
        shop.execute("SELECT pg_switch_wal()")
        shop.execute("CHECKPOINT")
    machine.start()
    told = wait_for(
        lambda: [each for each in machine.events("wal-interrupted") if each["is_lost"]], "the loss is told", 60
    )
    assert told[0]["hint"].startswith("drd makes a new base backup by itself")
    wait_for(lambda: is_received(shop), "WAL is received again", 90)
    machine.drd("backup", "orders", "--full").done()
    buy(shop)
    moment = now_of(shop)
    wait_for(lambda: has_reached(machine, "local.wal", moment), "WAL is shipped again", 60)
    wal = fetched(machine, "local.wal", machine.folder / "wal")
    copy = rolled_forward(postgres_lab, machine, wal, "after-loss")
    assert copy.value("SELECT count(*) FROM orders") == shop.value("SELECT count(*) FROM orders")
    copy.kill()
