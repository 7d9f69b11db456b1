"""restic's messages as values. Protocol: restic's manual, 075_scripting; zero values are left out by restic.

Unknown messages and unknown fields are passed over, as restic's manual asks: later versions add both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar


@dataclass(frozen=True, slots=True)
class Message:
    """A line of JSON. A field whose value has another type than its default keeps the default."""

    TYPE: ClassVar[str]


@dataclass(frozen=True, slots=True)
class BackupStatus(Message):
    """How far a backup is."""

    TYPE = "status"
    bytes_done: int = 0
    total_bytes: int = 0
    files_done: int = 0
    total_files: int = 0
    error_count: int = 0


@dataclass(frozen=True, slots=True)
class BackupSummary(Message):
    """What a backup made."""

    TYPE = "summary"
    snapshot_id: str = ""
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    data_added: int = 0
    data_added_packed: int = 0
    """Since 0.17: what was really stored, compressed."""
    total_files_processed: int = 0
    total_bytes_processed: int = 0


@dataclass(frozen=True, slots=True)
class ItemFailed(Message):
    """Something could not be read or written. `error` has a `message` since 0.17.1, and Op, Path and Err before."""

    TYPE = "error"
    item: str = ""
    during: str = ""
    error: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""

    @property
    def text(self) -> str:
        """What went wrong, in restic's words."""
        words = self.message or self.error.get("message") or self.error.get("Op") or ""
        return f"{self.item}: {words}" if self.item else str(words)


@dataclass(frozen=True, slots=True)
class RestoreStatus(Message):
    """How far a restore is; folders count as files."""

    TYPE = "status"
    files_restored: int = 0
    total_files: int = 0
    bytes_restored: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RestoreSummary(RestoreStatus):
    """How far a restore came; a short one says nothing before."""

    TYPE = "summary"


@dataclass(frozen=True, slots=True)
class CheckSummary(Message):
    """What a check found, since 0.18."""

    TYPE = "summary"
    num_errors: int = 0
    broken_packs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TagChanged(Message):
    """A snapshot got other tags and so another id, since 0.18."""

    TYPE = "changed"
    old_snapshot_id: str = ""
    new_snapshot_id: str = ""


@dataclass(frozen=True, slots=True)
class ExitError(Message):
    """Why restic gave up, since 0.18."""

    TYPE = "exit_error"
    code: int = 0
    message: str = ""


AnyMessage = TypeVar("AnyMessage", bound=Message)


def parse(line: bytes, *kinds: type[AnyMessage]) -> AnyMessage | None:
    """The line as one of `kinds`; None when it is plain text or another message."""
    document = json_object(line)
    kind = next((kind for kind in kinds if document.get("message_type") == kind.TYPE), None)
    return None if kind is None else filled(kind, document)


def json_object(line: bytes) -> dict[str, Any]:
    """The line as a JSON object; empty when it is none."""
    if not line.startswith(b"{"):
        return {}
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def filled(kind: type[AnyMessage], document: Mapping[str, Any]) -> AnyMessage:
    """A message of this kind with the document's values where they have the right type."""
    blank = kind()
    values: dict[str, Any] = {}
    for each in fields(kind):
        default, value = getattr(blank, each.name), document.get(each.name)
        if isinstance(default, tuple) and isinstance(value, list):
            value = tuple(value)
        if isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int)):
            values[each.name] = value
    return kind(**values)
