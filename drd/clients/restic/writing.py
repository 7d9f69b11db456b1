"""Making snapshots."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from drd.clients.restic.calls import LONG, Answer, Call, Lock
from drd.clients.restic.listing import Listing
from drd.clients.restic.messages import BackupStatus, BackupSummary, ItemFailed, TagChanged, parse
from drd.clients.restic.outcomes import INCOMPLETE
from drd.clients.restic.output import MOST_LINES, Output
from drd.core.errors import PermanentError, SourceRefused
from drd.ports.repository import (
    FilesToSave,
    OnProgress,
    Progress,
    Saved,
    SaveOutcome,
    SaveRequest,
    Snapshot,
    StreamToSave,
    Writer,
)
from drd.ports.runner import Command, Ended, Ending

SMALL_SAVE_DEADLINE = timedelta(hours=1)
"""Little is written, but restic reads the whole index before, which of a large and slow repository takes its time."""
# Plain text also with --json, in every version; before 0.19 it is the only sign that a source was not there.
_SKIPPED = re.compile(rb"does not exist, skipping$")


class Writing(Listing):
    """`Writer` over restic."""

    async def save(self, request: SaveRequest, on_progress: OnProgress) -> Saved:
        """Make one snapshot.

        Raises `SourceRefused` when a producer died (no snapshot is left) and a `DrdError` when no snapshot was made.
        """
        watch = _BackupWatch(on_progress)
        output = Output(watch.see)
        started = self._calls.clock.now()
        answer = await self._calls.ask(_save_call(request), output)
        _raise_for_producer(request, answer)
        if watch.summary is None or not watch.summary.snapshot_id:
            raise PermanentError("restic made no snapshot and gave no reason", "drd status")
        gone = await asyncio.to_thread(_gone, request.content, answer)
        return await self._saved(watch.summary, answer, started, gone)

    async def save_bytes(self, content: bytes, filename: str, host: str, tags: tuple[str, ...]) -> str:
        """Store a small document as a snapshot of its own and return the snapshot's id."""
        watch = _BackupWatch(lambda _: None)
        arguments = ("backup", *_named(host, tags), "--stdin", "--stdin-filename", filename)
        call = Call(arguments, Lock.SHARED, SMALL_SAVE_DEADLINE, standard_input=content)
        await self._calls.ask(call, Output(watch.see))
        if watch.summary is None or not watch.summary.snapshot_id:
            raise PermanentError("restic made no snapshot and gave no reason", "drd status")
        return await self._whole_id(watch.summary.snapshot_id)

    async def copy_from(self, source: Writer, snapshot_ids: tuple[str, ...], on_progress: OnProgress) -> None:
        """Decrypt and re-encrypt snapshots out of another repository (`restic copy`).

        What restic prints tells nothing, and it passes over what it believes present, so the snapshots are listed
        again.
        """
        if not isinstance(source, Writing):
            raise TypeError("restic copies only from a repository that it can open itself")
        on_progress(Progress(phase="copying"))
        origins = {snapshot.id: snapshot for snapshot in await source.snapshots()}
        slowest = source.limits.download
        call = Call(("copy", *snapshot_ids), Lock.SHARED, LONG, other=source.access, other_download=slowest)
        await self._calls.ask(call)
        held = {name for snapshot in await self.snapshots() for name in (snapshot.id, snapshot.original)}
        missing = [each for each in snapshot_ids if not held & _names(each, origins.get(each))]
        if missing:
            raise PermanentError(
                f"restic copy left {len(missing)} of {len(snapshot_ids)} snapshots out at {self._calls.access.place}",
                "check the store that they come from: drd check STORE",
            )

    async def mark(self, snapshot_id: str, tag: str) -> str:
        """Add a tag and return the snapshot's new id.

        Raises `PermanentError` when the store lets nothing be removed: restic says nothing then and leaves both
        snapshots.
        """
        before = {snapshot.id: snapshot for snapshot in await self.snapshots()}
        if snapshot_id not in before:
            raise PermanentError(f"there is no snapshot {snapshot_id[:8]} at {self._calls.access.place}", "drd status")
        # That of a copy is the snapshot that was copied, and stays so.
        original = before[snapshot_id].original or snapshot_id
        answer = await self._calls.ask(Call(("tag", "--add", tag, snapshot_id), Lock.EXCLUSIVE, deletes=True))
        changes = [change for line in answer.output.stdout if (change := parse(line, TagChanged))]
        listed = await self.snapshots()
        if any(snapshot.id == snapshot_id for snapshot in listed):
            raise PermanentError(
                f"{self._calls.access.place} does not let the snapshot {snapshot_id[:8]} be replaced by a marked one",
                "the store is append-only: mark it with credentials that may delete",
            )
        made = [change.new_snapshot_id for change in changes] or [
            snapshot.id
            for snapshot in listed
            if snapshot.original == original and tag in snapshot.tags and snapshot.id not in before
        ]
        if not made:
            raise PermanentError(f"snapshot {snapshot_id[:8]} went away while it was marked", "type: drd status")
        return made[-1]

    async def _saved(self, summary: BackupSummary, answer: Answer, started: datetime, gone: int) -> Saved:
        failed = sum(1 for line in answer.output.stderr if parse(line, ItemFailed)) - gone
        skipped = sum(1 for line in answer.output.stderr if _SKIPPED.search(line))
        is_whole = not skipped and (answer.ended.code == 0 or (gone > 0 and not failed))
        return Saved(
            snapshot_id=await self._whole_id(summary.snapshot_id),
            outcome=SaveOutcome.COMPLETE if is_whole else SaveOutcome.INCOMPLETE,
            started=started,
            seconds=answer.ended.seconds,
            total_bytes=summary.total_bytes_processed,
            total_files=summary.total_files_processed,
            added_bytes=summary.data_added_packed or summary.data_added,
            new_bytes=summary.data_added,
            stored_bytes=summary.data_added_packed or (None if summary.data_added else 0),
            files_new=summary.files_new,
            files_changed=summary.files_changed,
            files_unmodified=summary.files_unmodified,
            unreadable=failed + skipped,
            processor_seconds=answer.ended.processor_seconds,
            peak_memory_bytes=answer.ended.peak_memory_bytes,
        )

    async def _whole_id(self, snapshot_id: str) -> str:
        """0.14 names only the first 8 characters; the whole id costs a call there."""
        if self._calls.restic.names_whole_snapshot_ids:
            return snapshot_id
        found = [snapshot.id for snapshot in await self._snapshots((snapshot_id,))]
        if len(found) != 1:
            raise PermanentError(f"the new snapshot {snapshot_id} is not listed at {self._calls.access.place}", "")
        return found[0]


@dataclass(slots=True)
class _BackupWatch:
    """Reads a backup's messages as they come. A status that tells of nothing new is no movement."""

    on_progress: OnProgress
    summary: BackupSummary | None = None
    last: Progress = field(default_factory=Progress)

    def see(self, line: bytes) -> bool | None:
        match parse(line, BackupStatus, BackupSummary):
            case BackupSummary() as summary:
                self.summary = summary
            case BackupStatus() as status:
                return self._report(status)
        return True

    def _report(self, status: BackupStatus) -> bool:
        progress = Progress(
            done_bytes=status.bytes_done,
            total_bytes=status.total_bytes,
            done_files=status.files_done,
            total_files=status.total_files,
            errors=status.error_count,
            phase="saving",
        )
        has_moved = progress != self.last
        self.last = progress
        self.on_progress(progress)
        return has_moved


def _save_call(request: SaveRequest) -> Call:
    content = request.content
    arguments = ["backup", *_named(request.host, request.tags)]
    if request.reread_everything or (isinstance(content, FilesToSave) and content.is_live):
        arguments.append("--force")
    call = Call(
        (),
        Lock.SHARED,
        request.deadline,
        request.stall,
        frozenset({0, INCOMPLETE}),
        io_idle=request.io_idle,
        processor_share=request.processor_share,
    )
    if isinstance(content, FilesToSave):
        return replace(call, arguments=(*arguments, *_chosen(content)))
    producer = Command(
        content.argv,
        content.environment,
        working_directory=content.working_directory,
        user=content.user,
        deadline=min(request.deadline, content.deadline or request.deadline),
        gives_way=True,
        io_idle=request.io_idle,
    )
    return replace(call, arguments=(*arguments, "--stdin", "--stdin-filename", content.filename), producer=producer)


def _gone(content: FilesToSave | StreamToSave, answer: Answer) -> int:
    """How many of the items that could not be read are not there any more, where that is as it should be.

    None where there were more failures than are kept: then nobody can tell of all.
    """
    if not isinstance(content, FilesToSave) or not content.is_live or len(answer.output.stderr) >= MOST_LINES:
        return 0
    failures = [failure for line in answer.output.stderr if (failure := parse(line, ItemFailed))]
    return sum(1 for failure in failures if _is_gone(Path(failure.item), content.paths))


def _is_gone(item: Path, paths: tuple[Path, ...]) -> bool:
    is_below = any(item != path and item.is_relative_to(path) for path in paths)
    try:
        return is_below and not os.path.lexists(item)
    except OSError:
        return False


def _named(host: str, tags: tuple[str, ...]) -> list[str]:
    if wrong := [tag for tag in tags if "," in tag]:
        raise PermanentError(f"the tag {wrong[0]!r} holds a comma, at which restic would cut it", "leave the comma out")
    return ["--host", host, *(word for tag in tags for word in ("--tag", tag))]


def _chosen(content: FilesToSave) -> list[str]:
    words = [f"--exclude={pattern}" for pattern in content.excludes]
    words += [f"--exclude-if-present={name}" for name in content.exclude_if_present]
    if content.exclude_caches:
        words.append("--exclude-caches")
    if content.exclude_larger_than is not None:
        words.append(f"--exclude-larger-than={content.exclude_larger_than}")
    if content.one_file_system:
        words.append("--one-file-system")
    if content.ignores_ctime:
        words.append("--ignore-ctime")
    return [*words, "--", *map(str, content.paths)]


def _raise_for_producer(request: SaveRequest, answer: Answer) -> None:
    """A producer that ended badly saved nothing: restic was stopped before it could take the torn stream for whole."""
    produced, content = answer.produced, request.content
    if produced is None or not isinstance(content, StreamToSave) or (produced.code == 0 and answer.ended.code == 0):
        return
    raise _producer_failed(content, produced)


def _producer_failed(content: StreamToSave, produced: Ended) -> SourceRefused:
    """What the program said itself may be a row of its data, so it is no part of the message."""
    last = next((line for line in reversed(produced.stderr_tail.splitlines()) if line.strip()), "it gave no reason")
    if produced.ending is Ending.DEADLINE:
        how = "was not done within its deadline"
    elif produced.code < 0:
        how = f"was killed by signal {-produced.code}"
    else:
        how = f"ended with exit code {produced.code}"
    return SourceRefused(
        f"the program {content.argv[0]} {how}, so nothing was saved",
        "what it said is in drd's log: journalctl -u drd",
        last.strip()[:300],
    )


def _names(snapshot_id: str, origin: Snapshot | None) -> set[str | None]:
    return {snapshot_id} if origin is None or origin.original is None else {snapshot_id, origin.original}
