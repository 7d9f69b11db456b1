"""What a repository holds: its id and its snapshots."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drd.clients.restic.access import Access
from drd.clients.restic.calls import Call, Calls
from drd.clients.restic.messages import BackupSummary, filled
from drd.core.errors import PermanentError
from drd.ports.repository import Snapshot
from drd.ports.store import Limits

_ID = re.compile(r"[0-9a-f]{64}")


class View:
    """A part of what a repository can do."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @property
    def access(self) -> Access:
        """The way to the repository, for work between two of them."""
        return self._calls.access

    @property
    def limits(self) -> Limits:
        """How hard the repository may be worked."""
        return self._calls.limits

    def _document(self, lines: list[bytes], command: str) -> Any:
        """The one JSON document in a command's output."""
        text = b"\n".join(line for line in lines if line.strip())
        try:
            return json.loads(text)
        except ValueError as error:
            raise PermanentError(
                f"restic {command} gave an answer that drd cannot read", f"{self._calls.restic.path} version"
            ) from error


class Listing(View):
    """`Snapshots` over restic; reads without a lock, so that it also answers while a prune runs."""

    async def identity(self, config: str = "") -> str:
        """The repository's id. Raises `RepositoryMissing`, `WrongPassword` or `StoreAway`.

        With `config`, the digest of its config file, restic is asked once: the same file always holds the same id,
        which is noted beside restic's cache.
        """
        note = self._calls.access.cache / f"config-{config}" if config else None
        if note is not None and (noted := await asyncio.to_thread(_noted, note)):
            return noted
        identity = await self._read_identity()
        if note is not None:
            with suppress(OSError):  # without room for a note restic is asked again
                await asyncio.to_thread(note.write_text, identity)
        return identity

    async def _read_identity(self) -> str:
        answer = await self._calls.ask(Call(("cat", "config")))
        document = self._document(answer.output.stdout, "cat config")
        if not isinstance(document, dict) or not isinstance(document.get("id"), str):
            raise PermanentError(f"the config of {self._calls.access.place} names no id", "drd check STORE")
        return str(document["id"])

    async def snapshots(self, tags: tuple[str, ...] = ()) -> tuple[Snapshot, ...]:
        """All snapshots that carry all of `tags`, oldest first."""
        return await self._snapshots(("--tag", ",".join(tags)) if tags else ())

    async def _snapshots(self, filters: tuple[str, ...]) -> tuple[Snapshot, ...]:
        answer = await self._calls.ask(Call(("snapshots", *filters)))
        documents = self._document(answer.output.stdout, "snapshots") or []
        return tuple(sorted(map(read_snapshot, documents), key=lambda snapshot: snapshot.time))


def _noted(note: Path) -> str:
    try:
        words = note.read_text()
    except OSError:
        return ""
    return words if _ID.fullmatch(words) else ""


def read_snapshot(document: Mapping[str, Any]) -> Snapshot:
    """A snapshot from restic's JSON."""
    summary = document.get("summary")
    made = filled(BackupSummary, summary) if isinstance(summary, dict) else None
    return Snapshot(
        id=document.get("id", ""),
        time=read_time(document["time"]),
        paths=tuple(document.get("paths") or ()),
        host=document.get("hostname", ""),
        tags=tuple(document.get("tags") or ()),
        original=document.get("original"),
        tree=document.get("tree", ""),
        total_bytes=made.total_bytes_processed if made is not None else None,
        total_files=made.total_files_processed if made is not None else None,
    )


def read_time(text: str) -> datetime:
    """RFC 3339 with up to nine decimals, of which microseconds are kept; in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)
