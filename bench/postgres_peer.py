"""drd beside pgBackRest on one server: full, 1 % changed, back to a moment until the first query, what the store holds.

drd comes twice: by pg_basebackup, and with restic reading the data directory in place.

Both compress with zstd at its usual level (restic's `auto` is zstd 3; pgBackRest is told `zst` and 3, its default being
gzip 6), both encrypt, both may use two processors, both begin a base backup with a checkpoint at once. pgBackRest gets
its WAL by `archive_command`, drd by its slot; only one of them is at work at a time, and they take turns.

1 % changed: the first hundredth of pgbench_accounts, or with `--scattered` a row in a hundred, on every page. To drd it
costs WAL, which goes to the store anyway, and the next full; to pgBackRest an incremental backup beside the WAL. Then
pgbench writes for a while, a moment is noted, more is written, and the cluster is brought back to that moment: from the
command to the first answer of a server that is no longer in recovery.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bench.figures import paired_ratio, spread
from bench.postgres import (
    LONGEST_SECONDS,
    PASSWORD,
    POLICY,
    ROLE,
    bytes_in,
    drop_slots,
    filled,
    laboratory,
    press,
    restic,
    run,
    settle,
    work_folder,
)
from drd.clients.postgres.backup_session import functions
from drd.core.postgres.lsn import Lsn
from tests.postgres_lab import OWNER, Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import wait_for

IN_ONE_PIECE = (
    "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid <= (SELECT max(aid) / 100 FROM pgbench_accounts)"
)
SCATTERED = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 100 = 0"
CHECK = "SELECT count(*) || '/' || sum(tbalance) FROM pgbench_history, pgbench_tellers WHERE pgbench_tellers.tid = 1"
Figures = dict[str, float]


class Tool(Protocol):
    """What is compared."""

    def full(self) -> float:
        """Seconds of a full."""

    def incremental(self) -> tuple[float, float]:
        """Seconds until what was changed is in the store, and how many of them were work."""

    def catch_up(self) -> None:
        """Wait until all WAL so far is in the store."""

    def restore(self, moment: datetime, copy: Cluster) -> None:
        """Make a data directory of that moment."""

    def stored(self) -> int:
        """Bytes that the repository holds."""


class Drd:
    """drd with one local store."""

    def __init__(self, machine: Machine, cluster: Cluster) -> None:
        self._machine = machine
        self._cluster = cluster

    def full(self) -> float:
        """Seconds of a full, by the journal: the first one began by itself."""
        if self._runs():
            self._command("backup", POLICY, "--full")
        wait_for(self._has_finished, "the full is done", LONGEST_SECONDS)
        begun, ended = self._runs()[-1], self._machine.events("run-finished", POLICY)[-1]
        return (_moment(ended) - _moment(begun)).total_seconds()

    def incremental(self) -> tuple[float, float]:
        """Until the WAL is in the store; work is what its batches took."""
        before = len(self._shipped())
        began = time.monotonic()
        self.catch_up()
        return time.monotonic() - began, sum(float(event["seconds"]) for event in self._shipped()[before:])

    def catch_up(self) -> None:
        """Wait until a batch goes to here."""
        here = Lsn.parse(self._cluster.value("SELECT pg_current_wal_insert_lsn()::text"))
        wait_for(lambda: self._reached() >= here, "WAL is in the store", 180)

    def restore(self, moment: datetime, copy: Cluster) -> None:
        """By the command."""
        self._command("restore", POLICY, "--at", moment.isoformat(), "--to", str(copy.data))

    def stored(self) -> int:
        """Of base backups and WAL."""
        repository = self._machine.repository
        return bytes_in(repository, repository.with_name(f"{repository.name}-wal"))

    def _reached(self) -> Lsn:
        return max((Lsn.parse(event["through"]) for event in self._shipped()), default=Lsn(0))

    def _shipped(self) -> list[dict[str, Any]]:
        return self._machine.events("wal-shipped", POLICY)

    def _runs(self) -> list[dict[str, Any]]:
        return self._machine.events("run-started", POLICY)

    def _has_finished(self) -> bool:
        return 0 < len(self._runs()) == len(self._machine.events("run-finished", POLICY))

    def _command(self, *words: str) -> None:
        command = self._machine.command(*words)
        if command.ended(LONGEST_SECONDS):
            raise SystemExit(command.said())


class PgBackRest:
    """pgBackRest with one repository."""

    def __init__(self, lab: Lab, cluster: Cluster, folder: Path) -> None:
        self._lab = lab
        self._cluster = cluster
        self._folder = folder
        self._settings = folder / "pgbackrest.conf"

    def begin(self) -> None:
        """Have the server archive."""
        lines = ["[global]", "compress-type=zst", "compress-level=3", "process-max=2", "start-fast=y"]
        lines += ["repo1-cipher-type=aes-256-cbc", "repo1-cipher-pass=measured", "repo1-retention-full=99"]
        lines += ["log-level-console=warn", "log-level-file=off", f"repo1-path={self._folder}/repository"]
        lines += [f"{what}-path={self._folder}/{what}" for what in ("log", "lock", "spool")]
        lines += ["[shop]", f"pg1-path={self._cluster.data}", f"pg1-port={self._cluster.port}"]
        lines += [f"pg1-socket-path={self._cluster.sockets}", f"pg1-user={OWNER}"]
        self._settings.write_text("\n".join(lines) + "\n")
        self._settings.chmod(0o644)
        self._call("stanza-create")
        command = f"{_pgbackrest()} --config={self._settings} --stanza=shop archive-push %p"
        self._cluster.configure({"archive_command": command})
        self._cluster.reload()

    def full(self) -> float:
        """By the command."""
        return self._timed("backup", "--type=full")

    def incremental(self) -> tuple[float, float]:
        """By the command; all of it is work."""
        seconds = self._timed("backup", "--type=incr")
        return seconds, seconds

    def catch_up(self) -> None:
        """Wait until the segment in writing is archived."""
        last = self._cluster.value("SELECT pg_walfile_name(pg_switch_wal())")
        wait_for(
            lambda: (self._cluster.value("SELECT last_archived_wal FROM pg_stat_archiver") or "") >= last, "archived"
        )

    def restore(self, moment: datetime, copy: Cluster) -> None:
        """By the command."""
        words = ["--type=time", f"--target={moment.isoformat(sep=' ')}", "--target-action=promote"]
        self._call("restore", *words, f"--pg1-path={copy.data}", "--archive-mode=off")

    def stored(self) -> int:
        """Of backups and archive."""
        return bytes_in(self._folder / "repository")

    def _timed(self, *words: str) -> float:
        began = time.monotonic()
        self._call(*words)
        return time.monotonic() - began

    def _call(self, *words: str) -> None:
        command = [_pgbackrest(), f"--config={self._settings}", "--stanza=shop", *words]
        run(command, cwd=self._folder, env=self._lab.environment, **self._lab.identity)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=50, help="of pgbench: 50 are 0.75 GB, 500 are 7.5 GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=float, default=20, help="seconds that pgbench writes before the moment")
    parser.add_argument("--scattered", action="store_true", help="change 1 %% of the rows in every page")
    options = parser.parse_args()
    _pgbackrest()
    found: dict[str, list[Figures]] = defaultdict(list)
    with work_folder() as work, laboratory() as made:
        cluster = filled(made, options.scale, {"archive_mode": "on", "archive_command": "/bin/true"})
        print(f"scale {options.scale}, {bytes_in(cluster.data / 'base') / 1e9:.2f} GB, {options.rounds} rounds")
        for number in range(options.rounds):
            tools: dict[str, Callable[[Path, Lab, Cluster], AbstractContextManager[Tool]]] = {
                "drd": _drd,
                "drd in place": partial(_drd, read="data_directory"),
                "pgBackRest": _its_peer,
            }
            for name in tools if number % 2 == 0 else reversed(tools):
                with tools[name](work, made, cluster) as tool:
                    found[name].append(_measured(tool, work, made, cluster, options))
                print(f"round {number + 1}, {name}: {found[name][-1]}", file=sys.stderr)
    for what in found["pgBackRest"][0]:
        other = [figures[what] for figures in found["pgBackRest"]]
        print(f"{what:<46} pgBackRest {spread(other)}")
        for name in ("drd", "drd in place"):
            mine = [figures[what] for figures in found[name]]
            print(f"{'':<32} {name:<13} {spread(mine)}   ratio {paired_ratio(mine, other)}")


def _measured(tool: Tool, work: Path, lab: Lab, cluster: Cluster, options: argparse.Namespace) -> Figures:
    settle(cluster)
    figures: Figures = {"full, s": tool.full()}
    figures["store after the full, MB"] = tool.stored() / 1e6
    cluster.execute(SCATTERED if options.scattered else IN_ONE_PIECE)
    figures["1 % changed, s until it is there"], figures["1 % changed, s of work"] = tool.incremental()
    tool.catch_up()
    figures["store after 1 % changed, MB"] = tool.stored() / 1e6
    press(lab, cluster, work, options.write)
    expected, moment = cluster.value(CHECK), cluster.value("SELECT clock_timestamp()")
    cluster.execute(IN_ONE_PIECE)
    cluster.execute("UPDATE pgbench_tellers SET tbalance = tbalance + 1")
    tool.catch_up()
    figures["store after writing, MB"] = tool.stored() / 1e6
    copy = Cluster(lab, f"copy-{time.monotonic_ns() // 10**6}", has_port=False)
    began = time.monotonic()
    tool.restore(moment, copy)
    figures["restore until the command ends, s"] = time.monotonic() - began
    copy.start()
    wait_for(lambda: not copy.value("SELECT pg_is_in_recovery()"), "recovery ends", LONGEST_SECONDS)
    brought = copy.value(CHECK)
    figures["restore until the first query, s"] = time.monotonic() - began
    copy.kill()
    shutil.rmtree(copy.folder)
    if brought != expected:
        raise SystemExit(f"the restore brought {brought}, and {expected} was there at {moment}")
    settle(cluster)
    figures["next full, s"] = tool.full()
    figures["store after the next full, MB"] = tool.stored() / 1e6
    return figures


@contextmanager
def _drd(work: Path, lab: Lab, cluster: Cluster, read: str = "server") -> Iterator[Tool]:
    folder = work / "drd"
    folder.mkdir()
    machine = Machine(folder, restic())
    try:
        # A first policy makes the stores: restic's own `init` is not measured, and neither is pgBackRest's.
        (machine.data / "little").mkdir()
        (machine.data / "little/file").write_text("a little\n")
        machine.protect("little")
        machine.start()
        wait_for(lambda: machine.points("little"), "the store is made", 120)
        machine.set_secret("dsn", cluster.dsn(ROLE, PASSWORD).decode())
        source = {"dsn": {"file": str(folder / "secrets/dsn")}, "wal": "continuous", "programs": str(lab.programs)}
        if read != "server":
            cluster.execute(f"GRANT EXECUTE ON FUNCTION {', '.join(functions(lab.major))} TO {ROLE}")
            cluster.execute(f"GRANT pg_read_all_settings TO {ROLE}")
        machine.protect(POLICY, {"postgres": {**source, "read": read}})
        machine.drd("reload").done()
        yield Drd(machine, cluster)
    finally:
        machine.shut_down()
        drop_slots(cluster)
        shutil.rmtree(folder)


@contextmanager
def _its_peer(_work: Path, lab: Lab, cluster: Cluster) -> Iterator[Tool]:
    folder = cluster.make_folder("pgbackrest")
    try:
        tool = PgBackRest(lab, cluster, folder)
        tool.begin()
        yield tool
    finally:
        cluster.configure({"archive_command": "/bin/true"})
        cluster.reload()
        wait_for(lambda: cluster.value("SHOW archive_command") == "/bin/true", "nothing is archived")
        shutil.rmtree(folder)


def _pgbackrest() -> Path:
    found = shutil.which("pgbackrest")
    if found is None:
        raise SystemExit("pgBackRest is missing; type: scripts/apt-install pgbackrest")
    return Path(found)


def _moment(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(str(event["at"]))


if __name__ == "__main__":
    main()
