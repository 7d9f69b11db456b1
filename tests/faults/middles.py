"""Bringing drd into the middle of its work, slowed down by the stores' own limits so that the middle lasts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.system.machine import Machine
from tests.system.programs import CARRIER, Running, wait_for
from tests.system.trees import grow

POLICY = "shop"
MEBIBYTE = 1024 * 1024
LARGE = 20 * MEBIBYTE
"""More than one pack of restic's."""
SLOW = "2 MiB/s"


@dataclass(frozen=True)
class Middle:
    """Work under way: who does it, and the command that follows it, where a person asked for it."""

    child: int
    command: Running | None = None


def amid_a_backup(machine: Machine) -> Middle:
    """restic is writing the first pack of a second, larger backup."""
    daemon = _with_a_first_point(machine, local={"upload": SLOW})
    grow(machine.data / POLICY, files=LARGE // MEBIBYTE, size_bytes=MEBIBYTE, seed=2)
    before = _files_in(machine.repository / "data")
    command = machine.command("backup", POLICY)

    def writing() -> int | None:
        child = daemon.child("restic", "backup")
        return child if child and _files_in(machine.repository / "data") - before else None

    return Middle(wait_for(writing, "restic writes a pack"), command)


def amid_a_copy(machine: Machine) -> Middle:
    """The carrier is sending a pack to the off-site store."""
    daemon = _with_a_first_point(machine, offsite={"upload": SLOW})
    grow(machine.data / POLICY, files=LARGE // MEBIBYTE, size_bytes=MEBIBYTE, seed=2)
    command = machine.command("backup", POLICY)

    def sending() -> int | None:
        child = daemon.child(CARRIER)
        return child if child and _reads_below(child, machine.repository / "data") else None

    return Middle(wait_for(sending, "the carrier sends a pack"), command)


def amid_a_forget(machine: Machine) -> Middle:
    """restic holds the repository alone to remove snapshots."""
    daemon = _with_points_to_forget(machine)
    machine.drd("reload").done()
    command = machine.command("forget", POLICY, "--confirm", POLICY)
    return Middle(
        wait_for(
            lambda: _at_work(machine, daemon.child("restic", "forget", without="--dry-run")),
            "restic removes snapshots",
        ),
        command,
    )


def amid_a_prune(machine: Machine) -> Middle:
    """restic holds the repository alone and writes packs anew, after retention has removed what was due."""
    _with_points_to_forget(machine)
    machine.drd("reload").done()
    machine.drd("forget", POLICY, "--confirm", POLICY).done()
    machine.stop()
    _limit(machine, local={"upload": "128 KiB/s"})
    daemon = machine.start()
    return Middle(wait_for(lambda: _at_work(machine, daemon.child("restic", "prune")), "restic prunes", 120))


def amid_a_restore(machine: Machine) -> Middle:
    """restic has written the first file of a restore."""
    grow(machine.data / POLICY, files=LARGE // MEBIBYTE, size_bytes=MEBIBYTE, seed=2)
    daemon = _with_a_first_point(machine, local={"download": SLOW})
    target = machine.folder / "interrupted"
    command = machine.command("restore", POLICY, "--to", str(target), "--from", "local")

    def landing() -> int | None:
        child = daemon.child("restic", "restore")
        has_landed = any(path.is_file() for path in machine.folder.glob("*.drd-restoring/**/*"))
        return child if child and has_landed else None

    return Middle(wait_for(landing, "the first file lands"), command)


MIDDLES: dict[str, Callable[[Machine], Middle]] = {
    "backup": amid_a_backup,
    "copy": amid_a_copy,
    "forget": amid_a_forget,
    "prune": amid_a_prune,
    "restore": amid_a_restore,
}


def let_go(machine: Machine) -> None:
    """Take the limits away, so that what follows does not take as long."""
    for store in machine.settings["stores"].values():
        store.pop("limits", None)
    machine.write()


def _with_a_first_point(machine: Machine, **limits: dict[str, str]) -> Running:
    grow(machine.data / POLICY)
    _limit(machine, **limits)
    daemon = machine.start()
    machine.drd("backup", POLICY).done()
    return daemon


def _with_points_to_forget(machine: Machine) -> Running:
    """Three points of which one is to be kept, in packs that are partly needed still."""
    source = grow(machine.data / POLICY, files=20, size_bytes=65536)
    _limit(machine)
    daemon = machine.start()
    machine.drd("backup", POLICY).done()
    for seed in (2, 3):
        for path in sorted(source.glob("*/*"))[::2]:
            path.unlink()
        grow(source, files=4, size_bytes=65536, seed=seed)
        machine.drd("backup", POLICY).done()
    machine.protect(POLICY, keep={"last": 1})
    return daemon


def _limit(machine: Machine, **limits: dict[str, str]) -> None:
    for store, limit in limits.items():
        machine.settings["stores"][store]["limits"] = limit
    machine.protect(POLICY, **machine.policies.get(POLICY, {}).get("backup", {}))


def _at_work(machine: Machine, child: int | None) -> int | None:
    return child if child and _files_in(machine.repository / "locks") else None


def _files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _reads_below(pid: int, folder: Path) -> bool:
    try:
        return any(Path(file.path).is_relative_to(folder) for file in psutil.Process(pid).open_files())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
