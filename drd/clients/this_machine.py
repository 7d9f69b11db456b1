"""The machine that drd runs on, as a node: its room, memory, load and processes, by psutil and statvfs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Room:
    """Shares, 0 to 1, and the load of each processor over the last minute."""

    disk_free: float
    inodes_free: float
    memory_free: float
    load: float


def is_this_machine(host: str) -> bool:
    """Whether an address, or the name `localhost`, is one of this machine's own; other names are not looked up."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    own = {entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries}
    return address.is_loopback or str(address) in own


def room(path: Path) -> Room:
    """What is free now. Raises `OSError` when the path cannot be looked at. May hang where its file system does."""
    found = os.statvfs(path)
    memory = psutil.virtual_memory()
    return Room(
        disk_free=found.f_bavail / found.f_blocks if found.f_blocks else 1.0,
        inodes_free=found.f_favail / found.f_files if found.f_files else 1.0,
        memory_free=memory.available / memory.total,
        load=os.getloadavg()[0] / (os.cpu_count() or 1),
    )


def has_process(name: str) -> bool:
    """Whether a process of that name runs and is no zombie."""
    return any(
        each.info["name"] == name and each.info["status"] != psutil.STATUS_ZOMBIE
        for each in psutil.process_iter(["name", "status"])
    )
