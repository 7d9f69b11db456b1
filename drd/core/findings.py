"""What a look at the outside found, by how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    NOTE = "note"
    WARNING = "warning"
    """It works, and will not in a case that comes one day."""
    BROKEN = "broken"
    """It does not work, or has lost something already."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or risky outside."""

    what: str
    """What it is about, as `store offsite`."""
    message: str
    hint: str
    """What to type or write; empty where the message says it."""
    severity: Severity = Severity.BROKEN
    file: str = ""
    """Where what it is about is written; empty where that is no single place."""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.file else ""
        return f"{place}{self.what}: {self.message}"
