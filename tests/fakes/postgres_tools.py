"""PostgreSQL's programs in memory, over a `FakeCluster`: their files are real, their content is made up."""

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from drd.core.errors import PermanentError, TransientError
from drd.core.postgres.errors import ServerAway, SlotMissing, WalGone
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.pages import PAGE_BYTES
from drd.core.postgres.wal import FileKind, Segment, kind_of
from drd.ports.postgres import Slot, WalStatus
from drd.ports.postgres_tools import (
    Base,
    BaseProgress,
    BaseRequest,
    CombineRequest,
    ControlData,
    OnBaseProgress,
    OnWalNews,
    ReceiveRequest,
    Verification,
    WalNews,
    WalStep,
)
from tests.fakes.postgres import FakeCluster

POLL_SECONDS = 0.05


@dataclass
class FakeTools:
    """The programs; `before` is called as each piece of work begins, so that a test can raise from it."""

    cluster: FakeCluster
    major: int = 15
    before: Callable[[str], None] = lambda work: None
    bases: list[BaseRequest] = field(default_factory=list)

    async def base_backup(self, request: BaseRequest, on_progress: OnBaseProgress) -> Base:
        self._reach("base_backup")
        if request.folder.exists():
            raise PermanentError(f"{request.folder} is there already", f"rm -r {request.folder}")
        start = self.cluster.written
        self.cluster.write(200)
        files = {
            "PG_VERSION": f"{self.major}\n",
            "backup_label": f"START WAL LOCATION: {start}\nLABEL: {request.label}\n",
            "global/pg_control": json.dumps([self.cluster.facts.system_identifier, self.cluster.facts.timeline]),
        }
        for name, content in files.items():
            (request.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (request.folder / name).write_text(content)
        manifest = request.folder / "backup_manifest"
        manifest.write_text(json.dumps({name: _digest(content.encode()) for name, content in files.items()}))
        total = sum(map(len, files.values()))
        on_progress(BaseProgress(total, total))
        self.bases.append(request)
        facts = self.cluster.facts
        return Base(
            folder=request.folder,
            tablespaces={},
            manifest=manifest,
            system_identifier=facts.system_identifier,
            timeline=facts.timeline,
            start=start,
            end=self.cluster.written,
            total_bytes=total,
            seconds=0.0,
        )

    async def receive_wal(self, request: ReceiveRequest, on_news: OnWalNews) -> None:
        self._reach("receive_wal")
        slot = self._slot(request.slot)
        self.cluster.slots[slot.name] = replace(slot, is_active=True)
        try:
            first = self._beginning(request.folder, slot)
            if first.start < self.cluster.removed:
                # The server believes what it hears before it looks for the WAL.
                self.cluster.slots[slot.name] = replace(self.cluster.slots[slot.name], restart=first.start)
                raise WalGone(f"primary: requested WAL segment {first.name} has already been removed", "")
            await self._stream(request, first, on_news)
        finally:
            if (left := self.cluster.slots.get(slot.name)) is not None:
                self.cluster.slots[slot.name] = replace(left, is_active=False)

    async def verify(self, folder: Path, wal: Path | None = None) -> Verification:
        manifest = json.loads((folder / "backup_manifest").read_text())
        found = {name: (folder / name).read_bytes() for name in manifest if (folder / name).exists()}
        lacking = [f'"{name}" is present in the manifest but not on disk' for name in manifest if name not in found]
        changed = [f'"{name}" has changed' for name, data in found.items() if _digest(data) != manifest[name]]
        return Verification((*lacking, *changed))

    async def combine(self, request: CombineRequest) -> None:
        shutil.copytree(request.folders[-1], request.folder)

    async def control_data(self, folder: Path) -> ControlData:
        try:
            system_identifier, timeline = json.loads((folder / "global" / "pg_control").read_text())
        except OSError as error:
            raise PermanentError(f"{folder} is no data directory", f"ls {folder}") from error
        return ControlData(
            system_identifier=system_identifier,
            state="in production",
            timeline=timeline,
            checkpoint=Lsn(0),
            redo=Lsn(0),
            minimum_recovery_end=Lsn(0),
            segment_bytes=self.cluster.facts.segment_bytes,
            has_checksums=True,
        )

    async def _stream(self, request: ReceiveRequest, segment: Segment, on_news: OnWalNews) -> None:
        on_news(WalNews(WalStep.STREAMING, segment.start, segment.timeline))
        partial = self._open(request.folder, segment)
        while True:
            self._reach("streaming")
            self._slot(request.slot, is_ours=True)
            if segment.timeline != self.cluster.facts.timeline:
                segment = replace(segment, timeline=self.cluster.facts.timeline)
                on_news(WalNews(WalStep.SWITCHED, self.cluster.written, segment.timeline))
                partial = self._open(request.folder, segment)
            while self.cluster.written >= segment.end:
                partial.rename(request.folder / segment.name)
                on_news(WalNews(WalStep.FINISHED, segment.end, segment.timeline))
                segment = segment.following
                partial = self._open(request.folder, segment)
            slot = self.cluster.slots[request.slot]
            self.cluster.slots[request.slot] = replace(slot, restart=self.cluster.written)
            if request.until is not None and self.cluster.written >= request.until:
                return
            await self.cluster.clock.sleep(POLL_SECONDS)

    def _open(self, folder: Path, segment: Segment) -> Path:
        partial = folder / f"{segment.name}.partial"
        if not partial.exists():
            partial.write_bytes(wal_of(segment, self.cluster.facts.system_identifier))
        return partial

    def _beginning(self, folder: Path, slot: Slot) -> Segment:
        size = self.cluster.facts.segment_bytes
        segments = sorted(path.name for path in folder.iterdir() if kind_of(path.name) is not FileKind.HISTORY)
        newest = Segment.parse(segments[-1], size) if segments else None
        if newest is None:
            return Segment.at(self.cluster.facts.timeline, slot.restart or self.cluster.written, size)
        return newest if segments[-1].endswith(".partial") else newest.following

    def _slot(self, name: str, *, is_ours: bool = False) -> Slot:
        slot = self.cluster.slots.get(name)
        if slot is None:
            raise SlotMissing(f"primary has no replication slot {name}", "")
        if slot.restart is None or slot.wal_status is WalStatus.LOST:
            raise WalGone(f"primary has removed WAL that the replication slot {name} was to keep", "")
        if slot.is_active and not is_ours:
            raise TransientError(f'primary: replication slot "{name}" is active', "")
        return slot

    def _reach(self, work: str) -> None:
        self.before(work)
        if self.cluster.away:
            raise ServerAway(f"primary does not answer: {self.cluster.away}", "drd tries again by itself")


def wal_of(segment: Segment, system_identifier: str) -> bytes:
    """A segment that is nothing but the headers of its pages."""
    pages = []
    for at in range(0, segment.size, PAGE_BYTES):
        header = struct.pack("<HHIQI4x", 0xD110, 2 if at == 0 else 0, segment.timeline, segment.start.value + at, 0)
        long = struct.pack("<QII", int(system_identifier), segment.size, PAGE_BYTES) if at == 0 else b""
        pages.append((header + long).ljust(PAGE_BYTES, b"\0"))
    return b"".join(pages)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
