"""How old the newest WAL is: in the spool, which is the local recovery point, and in the off-site store.

Ten times a second the server is asked how far it has written and how far drd's receiver has safely got; the journal
tells when a store had how much. The age at a moment is the time since the server had written no more than is there.
`full`: pgbench as fast as it goes. `trickle`: one transaction a second. `prune`: pgbench as fast as it goes while the
off-site repository of the backups is filled and pruned without a pause.
"""

from __future__ import annotations

import argparse
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import psycopg

from bench.postgres import POLICY, beside, filled, laboratory, press, restic, run, work_folder
from drd.core.postgres.lsn import Lsn
from tests.postgres_lab import Cluster
from tests.system.machine import BUCKET, OFFSITE_PASSWORD, Machine

ASK = """\
SELECT extract(epoch FROM clock_timestamp()), pg_current_wal_flush_lsn()::text,
       (SELECT max(flush_lsn)::text FROM pg_stat_replication WHERE application_name = 'pg_receivewal')
"""
LOADS = ("full", "trickle", "prune")


@dataclass(frozen=True, slots=True)
class Look:
    """How far everything was at a moment."""

    at: float
    """Seconds since 1970."""
    written: Lsn
    received: Lsn


def main() -> None:
    """Measure each load, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=LOADS)
    parser.add_argument("--scale", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=150, help="of each load")
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    with work_folder() as work, laboratory() as made:
        cluster = filled(made, options.scale)
        with beside(work, made, cluster, stores=2) as machine:
            for load in options.loads:
                with _watched(cluster) as looks, _pruned(machine, work) if load == "prune" else nullcontext():
                    clients, rate = (1, 1.0) if load == "trickle" else (options.clients, None)
                    pressed = press(made, cluster, work, options.seconds, clients=clients, rate=rate)
                print(f"{load}: {pressed.rate:.0f} transactions a second")
                _tell(looks, machine)


@contextmanager
def _watched(cluster: Cluster) -> Iterator[list[Look]]:
    """What is seen of the server, as long as this lasts."""
    looks: list[Look] = []
    done = threading.Event()

    def watch() -> None:
        with psycopg.connect(cluster.dsn().decode(), autocommit=True) as connection:
            while not done.wait(0.1):
                at, written, received = connection.execute(ASK).fetchone() or (0, "", "")
                if received:
                    looks.append(Look(float(at), Lsn.parse(written), Lsn.parse(received)))

    with _beside(watch, done):
        yield looks


@contextmanager
def _pruned(machine: Machine, work: Path) -> Iterator[None]:
    """Fill and prune the off-site repository of the backups, again and again."""
    assert machine.s3 is not None
    done, litter = threading.Event(), work / "litter"
    environment = {
        **os.environ,
        "RESTIC_REPOSITORY": f"s3:{machine.s3.url}/{BUCKET}",
        "RESTIC_PASSWORD": OFFSITE_PASSWORD,
        "RESTIC_CACHE_DIR": str(work / "prune-cache"),
        "AWS_ACCESS_KEY_ID": machine.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": machine.s3.secret_key,
    }

    def prune() -> None:
        rounds = 0
        while not done.is_set():
            litter.write_bytes(os.urandom(128 * 2**20))
            run([restic(), "-q", "backup", "--retry-lock", "5m", "--tag", "litter", litter], env=environment)
            words = [
                "forget",
                "--retry-lock",
                "5m",
                "--tag",
                "litter",
                "--keep-tag",
                "none",
                "--unsafe-allow-remove-all",
            ]
            run([restic(), "-q", *words, "--prune", "--max-unused", "0"], env=environment)
            rounds += 1
        print(f"the backups' repository was pruned {rounds} times")

    with _beside(prune, done):
        yield


@contextmanager
def _beside(work: Callable[[], None], done: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tell(looks: list[Look], machine: Machine) -> None:
    events = [event for event in machine.events("wal-shipped", POLICY) if _moment(event["at"]) >= looks[0].at - 60]
    received = [_age(looks, look.at, look.received) for look in looks]
    print(f"  local, in the spool    {_spread(received)}")
    for store in ("local.wal", "offsite.wal"):
        shipped = [(_moment(event["at"]), Lsn.parse(event["through"])) for event in events if event["store"] == store]
        first = shipped[0][0] if shipped else looks[-1].at
        ages = []
        for look in looks:
            there = [through for at, through in shipped if at <= look.at]
            if there and look.at >= first:
                ages.append(_age(looks, look.at, max(there)))
        took = [event["seconds"] for event in events if event["store"] == store]
        print(f"  {store:<22} {_spread(ages)}; {len(took)} batches, each {median(took):.1f} s, at most {max(took):.1f}")


def _age(looks: list[Look], now: float, there: Lsn) -> float:
    """Seconds since the server had written no more than is there; 0 while it has not."""
    behind = bisect_right(looks, there, key=lambda look: look.written)
    if behind == len(looks) or looks[behind].at > now:
        return 0.0
    return now - looks[max(0, behind - 1)].at


def _spread(ages: list[float]) -> str:
    ordered = sorted(ages)
    if not ordered:
        return "nothing there"
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, at most {ordered[-1]:.2f} s"


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main()
