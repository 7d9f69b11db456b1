"""A base backup whose files restic reads where they lie, and what makes it whole afterwards."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drd.clients.postgres.backup_session import BackupSession, Stopped
from drd.clients.postgres.data_directory import CONTROL, DataDirectory
from drd.clients.postgres_tools.restored import DATA, LABEL, SPACES_MAP
from drd.core.errors import PermanentError, TransientError
from drd.core.postgres.label import Label
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.wal import Segment, history_name
from drd.ports.wal import ReachedServer

TRIES: Final = 100
"""So often the control file is read until it is twice the same; the server writes it within microseconds."""
_AGAIN_HINT: Final = "the next run makes another one"


@dataclass(frozen=True, slots=True)
class LiveBase:
    """What was read, as a base backup."""

    system_identifier: str
    timeline: int
    start: Lsn
    end: Lsn


async def complete(folder: Path, reached: ReachedServer, directory: DataDirectory, session: BackupSession) -> LiveBase:
    """End the backup, and lay into the folder what lacks: the label, the control file, the WAL.

    The control file comes last of all that is read: a standby's says how far the pages had come that were read before.
    Raises `TransientError` when the server ended the backup, or became another one, or has removed WAL.
    """
    data = folder / DATA
    try:
        await asyncio.to_thread(_lay_control, directory.path, data)
        control = await reached.tools.control_data(data)
        stopped = await session.end()
        label = Label.read(stopped.label)
        await asyncio.to_thread(_lay, directory.path, data, stopped, label, reached.facts.segment_bytes)
    except FileNotFoundError as error:
        raise TransientError(f"{error.filename} is gone, and the backup needs it", _AGAIN_HINT) from error
    except OSError as error:
        raise TransientError(
            f"what the backup needs beside its files cannot be copied: {error.strerror}", f"df -h {folder.parent}"
        ) from error
    except ValueError as error:
        raise PermanentError(f"{reached.server.place}: {error}", "write `read: server`") from error
    return LiveBase(control.system_identifier, label.timeline, label.start, stopped.end)


def _lay_control(source: Path, data: Path) -> None:
    target = data / CONTROL
    target.parent.mkdir(mode=0o700, parents=True)
    before = b""
    for _ in range(TRIES):
        content = (source / CONTROL).read_bytes()
        if content == before:
            target.write_bytes(content)
            return
        before = content
    raise TransientError(f"{source / CONTROL} does not stay the same for a moment", _AGAIN_HINT)


def _lay(source: Path, data: Path, stopped: Stopped, label: Label, segment_bytes: int) -> None:
    (data / LABEL).write_bytes(stopped.label)
    if stopped.tablespace_map:
        (data / SPACES_MAP).write_bytes(stopped.tablespace_map)
    wal = data / "pg_wal"
    wal.mkdir(mode=0o700)
    for segment in _segments(label, stopped.end, segment_bytes):
        shutil.copyfile(source / "pg_wal" / segment.name, wal / segment.name)
    history = history_name(label.timeline)
    if (source / "pg_wal" / history).exists():
        shutil.copyfile(source / "pg_wal" / history, wal / history)


def _segments(label: Label, end: Lsn, segment_bytes: int) -> list[Segment]:
    """All that recovery from the beginning to the end reads."""
    found = [Segment.at(label.timeline, label.start, segment_bytes)]
    while found[-1].end < end:
        found.append(found[-1].following)
    return found
