"""Which of the shop's servers is the primary, and how the other one becomes its standby."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from drd.demo.server import Server

SIGNAL: Final = "standby.signal"
STATE_OFFSET: Final = 16
LED: Final = frozenset({1, 3, 4, 6})
"""Shut down, shutting down, in crash recovery, in production: not as a standby."""


def newest(folders: Iterable[Path]) -> Path | None:
    """The data directory of the primary: no standby's, and of the newest timeline; None when there is none at all.

    Where all are standbys', as after a fence that no promotion followed, it is the one that took writes last.
    """
    found = [each for each in folders if each.is_dir()]
    return max(found, key=lambda each: (not (each / SIGNAL).exists(), _led(each), _timeline(each)), default=None)


async def follow(standby: Server, primary: Server, name: str) -> None:
    """Copy the primary's data anew, and start the copy as its standby.

    It is quick, since the shop is small; what the directory held before is gone. Raises what `Server` does.
    """
    slot = slot_of(name)
    await asyncio.to_thread(shutil.rmtree, standby.data, ignore_errors=True)
    await primary.drop_slot(slot)
    await primary.copy_to(standby.data, slot)
    conninfo = primary.conninfo(slot).replace("'", "''")
    await asyncio.to_thread(_write, standby.data, f"primary_conninfo = '{conninfo}'\nprimary_slot_name = '{slot}'\n")


def slot_of(node: str) -> str:
    """A slot's name holds no hyphen."""
    return node.replace("-", "_")


def _led(data: Path) -> bool:
    """Whether it was a primary when it was written last, by its control file (PostgreSQL's pg_control.h, `DBState`)."""
    with (data / "global" / "pg_control").open("rb") as control:
        control.seek(STATE_OFFSET)
        return int.from_bytes(control.read(4), sys.byteorder) in LED


def _timeline(data: Path) -> int:
    """The newest that it has a history of; the first has none."""
    return max((int(each.stem, 16) for each in (data / "pg_wal").glob("*.history")), default=1)


def _write(data: Path, settings: str) -> None:
    (data / "postgresql.auto.conf").write_text(settings)
    signal = data / SIGNAL
    signal.touch()
    owner = data.stat()
    shutil.chown(signal, owner.st_uid, owner.st_gid)
