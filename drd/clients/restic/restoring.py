"""Getting data back."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from drd.clients.blocking import within
from drd.clients.restic.calls import LONG, Call, Lock
from drd.clients.restic.listing import Listing, read_time
from drd.clients.restic.messages import RestoreStatus, RestoreSummary, json_object, parse
from drd.clients.restic.output import Output
from drd.core.errors import PermanentError
from drd.ports.repository import Entry, OnProgress, Progress, Restored

TOUCH_SECONDS = 30.0
COUNT_SECONDS = 86_400.0
Result = TypeVar("Result")
_VERIFIED = re.compile(r"finished verifying (\d+) files")
_PATTERN_CHARACTER = re.compile(r"([\\*?\[])")


class Restoring(Listing):
    """`Restorer` over restic."""

    async def restore(
        self,
        snapshot_id: str,
        target: Path,
        include: tuple[str, ...],
        on_progress: OnProgress,
        *,
        is_read_back: bool = True,
    ) -> Restored:
        """Write a snapshot (or the paths in `include`) below the empty folder `target`.

        All that is read from the store is compared with its digest. `is_read_back`: what landed is, too.

        restic writes a file whole even when a part of it is damaged, so after an error nothing below `target` may be
        used; it is left for the caller to remove. Where the snapshot holds nothing at `include`, no file is restored.
        Before restic 0.16 there is no progress but the phase.
        """
        await _touching(target, TOUCH_SECONDS, lambda: _raise_unless_empty(target))
        chosen = [word for path in include for word in ("--include", _PATTERN_CHARACTER.sub(r"\\\1", path))]
        verify = ("--verify",) if is_read_back else ()
        call = Call(("restore", snapshot_id, "--target", str(target), *verify, *chosen), Lock.SHARED, LONG)
        on_progress(Progress(phase="restoring"))
        answer = await self._calls.ask(call, Output(_restore_watch(on_progress)))
        files, size = await _touching(target, COUNT_SECONDS, lambda: _landed(target))
        verified = _VERIFIED.search(answer.output.text)
        return Restored(
            files=files,
            bytes=size,
            seconds=answer.ended.seconds,
            verified_files=int(verified[1]) if verified else files,
        )

    async def entries(self, snapshot_id: str, path: str | None = None) -> tuple[Entry, ...]:
        """What a snapshot holds (below `path`)."""
        found: list[Entry] = []

        def see(line: bytes) -> bool:
            node = json_object(line)
            if node.get("struct_type") == "node" or node.get("message_type") == "node":
                found.append(_entry(node))
            return True

        below = () if path is None else ("--recursive", path)
        await self._calls.ask(Call(("ls", *below[:1], snapshot_id, *below[1:])), Output(see))
        return tuple(found)

    async def restored_bytes(self, snapshot_id: str) -> int:
        """How much a restore of a snapshot writes; its whole tree is read for that."""
        answer = await self._calls.ask(Call(("stats", "--mode", "restore-size", snapshot_id), deadline=LONG))
        document = self._document(answer.output.stdout, "stats")
        size = document.get("total_size") if isinstance(document, dict) else None
        if not isinstance(size, int):
            raise PermanentError("restic stats names no size", f"{self._calls.restic.path} version")
        return size


async def _touching(target: Path, seconds: float, look: Callable[[], Result]) -> Result:
    """A look at the target, which may lie on a file system that hangs."""
    try:
        return await within(seconds, look)
    except TimeoutError as error:
        raise PermanentError(f"the file system of {target} does not answer", "dmesg | tail") from error


def _restore_watch(on_progress: OnProgress) -> Callable[[bytes], bool | None]:
    def see(line: bytes) -> bool | None:
        status = parse(line, RestoreStatus, RestoreSummary)
        if status is not None:
            on_progress(
                Progress(
                    status.bytes_restored, status.total_bytes, status.files_restored, status.total_files, 0, "restoring"
                )
            )
            return True
        if line.startswith(b"verifying files"):
            on_progress(Progress(phase="verifying"))
        return None

    return see


def _raise_unless_empty(target: Path) -> None:
    try:
        if any(target.iterdir()):
            raise PermanentError(f"{target} is not empty", "name a folder that is empty or does not exist yet")
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise PermanentError(f"{target} is a file", "name a folder that is empty or does not exist yet") from error


def _landed(folder: Path) -> tuple[int, int]:
    """How many files lie below `folder`, and their bytes: counted on the disk, whatever restic said."""
    files = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(parent, name))  # noqa: PTH118 - a Path a file doubles the time
            files += 1
            size += status.st_size
    return files, size


def _entry(node: dict[str, Any]) -> Entry:
    modified = node.get("mtime")
    return Entry(
        path=node.get("path", ""),
        kind=node.get("type", ""),
        size=int(node.get("size") or 0),
        modified=read_time(modified) if modified else None,
    )
