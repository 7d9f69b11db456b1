"""A PostgreSQL server under pgbench with drd beside it, as the measurements of WAL and base backups have them.

The server is durable (`fsync` on), holds `pgbench -i -s SCALE`, and makes no checkpoint by itself during a measurement.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.postgres_lab import OWNER, Cluster, Lab, lab
from tests.servers import RcloneS3
from tests.system.machine import Machine
from tests.system.programs import wait_for

REPOSITORY = Path(__file__).resolve().parents[1]
UNIT = REPOSITORY / "systemd/drd.service"
POLICY = "orders"
ROLE, PASSWORD = "drd", "measured"
LONGEST_SECONDS = 3600.0
SETTINGS: Mapping[str, object] = {
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "max_connections": 60,
}


@dataclass(frozen=True, slots=True)
class Pressed:
    """What pgbench says of one run."""

    rate: float
    """Transactions a second."""
    mean: float
    """Milliseconds a transaction takes; with a limited rate counted from when it was due. So are p50 and p99."""
    p50: float
    p99: float


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for all that a measurement leaves."""
    with tempfile.TemporaryDirectory(prefix="drd-bench-") as name:
        yield Path(name)


@contextmanager
def laboratory() -> Iterator[Lab]:
    """Where clusters are made."""
    where = subprocess.run([REPOSITORY / "scripts/parts", "where"], check=True, capture_output=True, text=True)
    programs = Path(where.stdout.strip()) / "postgresql/bin"
    if not (programs / "postgres").exists():
        raise SystemExit("PostgreSQL is missing; type: scripts/parts postgresql")
    with lab(programs.resolve()) as made:
        yield made


def filled(made: Lab, scale: int, settings: Mapping[str, object] | None = None) -> Cluster:
    """A cluster with pgbench's tables, and a role for drd."""
    cluster = made.new("shop", is_durable=True, settings={**SETTINGS, **(settings or {})})
    cluster.make_role(ROLE, PASSWORD, "REPLICATION")
    cluster.admit(ROLE)
    cluster.reload()
    run([made.programs / "pgbench", *reach(cluster), "-i", "-q", "-s", scale])
    return cluster


def reach(cluster: Cluster) -> tuple[str, ...]:
    """How pgbench and psql reach it."""
    return "-h", str(cluster.sockets), "-p", str(cluster.port), "-U", OWNER, "-d", "postgres"


def press(
    made: Lab, cluster: Cluster, work: Path, seconds: float, *, clients: int = 4, rate: float | None = None
) -> Pressed:
    """Let pgbench write for so long, from a cluster that was just swept and has all its pages on the disk."""
    settle(cluster)
    logs = work / "pgbench"
    logs.mkdir()
    try:
        words = [made.programs / "pgbench", *reach(cluster), "-n", "-c", clients, "-j", min(2, clients)]
        words += ["-T", round(seconds), "-l", "--log-prefix", logs / "log", *(["-R", rate] if rate else [])]
        said = run(words)
        took = sorted(int(line.split()[2]) for log in logs.iterdir() for line in log.read_text().splitlines())
    finally:
        shutil.rmtree(logs)
    found = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
    if found is None or not took:
        raise SystemExit(f"pgbench says something else:\n{said}")
    middle, last = took[len(took) // 2] / 1000, took[len(took) * 99 // 100] / 1000
    return Pressed(float(found[1]), sum(took) / len(took) / 1000, middle, last)


def settle(cluster: Cluster) -> None:
    """Sweep what earlier runs left in the small tables, and write all pages out."""
    for table in ("pgbench_branches", "pgbench_tellers", "pgbench_accounts"):
        cluster.execute(f"VACUUM {table}")
    cluster.execute("TRUNCATE pgbench_history")
    cluster.execute("CHECKPOINT")


def as_its_unit_does() -> tuple[str, ...]:
    """What to start drd by so that it leaves as much to others as its systemd unit has it leave."""
    unit = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line))
    return ("ionice", "-c", "2", "-n", unit["IOSchedulingPriority"])


@contextmanager
def beside(work: Path, made: Lab, cluster: Cluster, stores: int = 1) -> Iterator[Machine]:
    """A drd that protects the cluster, WAL and all, once it has a first base backup; its slot is gone afterwards."""
    folder = work / "drd"
    folder.mkdir()
    with s3_server(work, stores) as s3:
        machine = Machine(folder, restic(), s3)
        machine.wrapper = as_its_unit_does()
        try:
            machine.set_secret("dsn", cluster.dsn(ROLE, PASSWORD).decode())
            source = {"dsn": {"file": str(folder / "secrets/dsn")}, "wal": "continuous", "programs": str(made.programs)}
            machine.protect(POLICY, {"postgres": source})
            machine.start()
            wait_for(lambda: has_base(machine, stores), "there is a base backup", LONGEST_SECONDS)
            wal_stores = {f"{name}.wal" for name in machine.settings["stores"]}
            wait_for(lambda: wal_stores <= has_wal(machine), "WAL is in every store", 120)
            wait_for(lambda: has_kept_house(machine), "the stores' first upkeep is done", LONGEST_SECONDS)
            yield machine
        finally:
            machine.shut_down()
            drop_slots(cluster)
            shutil.rmtree(folder)


@contextmanager
def s3_server(work: Path, stores: int) -> Iterator[RcloneS3 | None]:
    """The off-site store's server, where there are two."""
    if stores < 2:
        yield None
        return
    s3 = RcloneS3(Path(sys.prefix) / "bin/rclone", work / "s3")
    s3.start()
    try:
        yield s3
    finally:
        s3.stop()
        shutil.rmtree(s3.folder)


def has_base(machine: Machine, stores: int) -> bool:
    """Whether the first base backup is in all of them."""
    points = machine.points(POLICY)
    return bool(points) and len(points[0]["stores"]) == stores


def has_wal(machine: Machine) -> set[str]:
    """The stores that hold WAL."""
    return {event["store"] for event in machine.events("wal-shipped", POLICY)}


def has_kept_house(machine: Machine) -> bool:
    """Whether each store has had its day's work, of which its check and retention are the last."""
    stores = set(machine.settings["stores"])
    checked = {event["store"] for event in machine.events("store-checked")}
    looked = {event["store"] for event in machine.events("retention-applied")}
    return {*stores, *(f"{name}.wal" for name in stores)} <= checked and stores <= looked


def drop_slots(cluster: Cluster) -> None:
    """Drop all slots, as soon as nobody receives by them."""
    held = "SELECT count(*) FROM pg_replication_slots WHERE active"
    wait_for(lambda: cluster.value(held) == 0, "nobody receives any more")
    cluster.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def restic() -> Path:
    """The restic in PATH."""
    found = shutil.which("restic")
    if found is None:
        raise SystemExit("restic is not in PATH; type: scripts/parts newest, and put its folder there")
    return Path(found)


def run(words: list[object], **more: object) -> str:
    """Run a program to its end; what it writes to standard output."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{words[0]} failed:\n{done.stderr}")
    return str(done.stdout)


def bytes_in(*folders: Path) -> int:
    """What files below these folders hold."""
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def processor_seconds(pid: int) -> float:
    """What a process and those below it have used, with those that have ended and were waited for."""
    total = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system + used.children_user + used.children_system
    return total
