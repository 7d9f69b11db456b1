"""A base backup by `pg_basebackup`, into a folder that gets its name only when everything is there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from drd.clients.durable import flush_folder
from drd.clients.postgres import Dsn
from drd.clients.postgres_tools.calls import Call, Lines, run
from drd.clients.postgres_tools.look import control_data
from drd.clients.postgres_tools.programs import Programs
from drd.core.errors import PermanentError
from drd.core.postgres.lsn import Lsn
from drd.ports.cancelling import to_the_end
from drd.ports.postgres_tools import Base, BaseProgress, BaseRequest, OnBaseProgress
from drd.ports.runner import Runner

MANIFEST = "backup_manifest"
LABEL = "backup_label"
_PROGRESS = re.compile(r"\s*(\d+)/(\d+) kB \(\s*\d+%\)")
_END_OF_MANIFEST_BYTES = 256 * 1024
"""Where the ranges of WAL stand, behind a list of files that may have a million lines."""


async def base_backup(request: BaseRequest, on_progress: OnBaseProgress, programs: Programs, runner: Runner) -> Base:
    """Take a base backup; see the port."""
    unfinished = request.folder.with_name(f"{request.folder.name}.unfinished")
    spaces = request.folder.with_name(f"{request.folder.name}.tablespaces")
    if await asyncio.to_thread(os.path.lexists, request.folder):
        raise PermanentError(f"{request.folder} is there already", f"rm -r {request.folder}")
    places = {space.oid: spaces / str(space.oid) for space in request.tablespaces}
    await _removed(unfinished, spaces)
    progress = _Progress(on_progress)
    call = Call(
        "pg_basebackup",
        (*_options(request), *_mapping(request, places), "-D", str(unfinished)),
        Dsn.parse(request.dsn),
        request.deadline,
        request.stall,
    )
    try:
        ended, _ = await run(call, programs, runner, Lines(progress.take))
        control = await control_data(unfinished, programs, runner)
        timeline, start, end = await asyncio.to_thread(_range_of, unfinished)
        await asyncio.to_thread(_finish, unfinished, request)
    except BaseException:
        await to_the_end(_removed(unfinished, spaces))
        raise
    return Base(
        folder=request.folder,
        tablespaces=places,
        manifest=request.folder / MANIFEST,
        system_identifier=control.system_identifier,
        timeline=timeline,
        start=start,
        end=end,
        total_bytes=progress.newest.done_bytes,
        seconds=ended.seconds,
    )


def _options(request: BaseRequest) -> tuple[str, ...]:
    words = ["--format=plain", f"--wal-method={request.wal}", f"--label={request.label}", "--progress", "--verbose"]
    words += ["--manifest-checksums=SHA256", f"--checkpoint={'fast' if request.is_hurried else 'spread'}"]
    if request.bytes_a_second is not None:
        words.append(f"--max-rate={max(32, request.bytes_a_second // 1024)}k")
    if request.since is not None:
        words.append(f"--incremental={request.since}")
    if not request.is_synced:
        words.append("--no-sync")
    return tuple(words)


def _mapping(request: BaseRequest, places: dict[int, Path]) -> list[str]:
    words = []
    for space in request.tablespaces:
        # The program takes the first `=` that is not escaped for the one between old and new.
        old, new = (str(path).replace("=", "\\=") for path in (space.location, places[space.oid]))
        words.append(f"--tablespace-mapping={old}={new}")
    return words


class _Progress:
    """Reads the lines that `--progress` writes each second."""

    def __init__(self, on_progress: OnBaseProgress) -> None:
        self._on_progress = on_progress
        self.newest = BaseProgress()

    def take(self, line: str) -> bool:
        """Take a line and say whether anything has moved."""
        match = _PROGRESS.match(line)
        if match is None:
            return True
        before, self.newest = self.newest, BaseProgress(int(match[1]) * 1024, int(match[2]) * 1024)
        self._on_progress(self.newest)
        return self.newest.done_bytes > before.done_bytes


def _range_of(folder: Path) -> tuple[int, Lsn, Lsn]:
    """The WAL that makes a backup consistent: its timeline at the end, and from where to where."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END_OF_MANIFEST_BYTES))
            end = file.read()
        ranges = json.loads(b'{"WAL-Ranges"' + end.rpartition(b'"WAL-Ranges"')[2])["WAL-Ranges"]
        first = min(Lsn.parse(each["Start-LSN"]) for each in ranges)
        last = max(ranges, key=lambda each: Lsn.parse(each["End-LSN"]))
        (folder / LABEL).stat()
        return int(last["Timeline"]), first, Lsn.parse(last["End-LSN"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PermanentError(f"the base backup in {folder} is not whole: {error}", "take another one") from error


def _finish(unfinished: Path, request: BaseRequest) -> None:
    unfinished.rename(request.folder)
    if request.is_synced:
        flush_folder(request.folder.parent)


async def _removed(*folders: Path) -> None:
    for folder in folders:
        await asyncio.to_thread(_remove, folder)


def _remove(folder: Path) -> None:
    # A folder that cannot be removed is told of: the next backup would find it in its way.
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
