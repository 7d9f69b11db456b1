"""Rules across keys and across files: a pass of its own over the values as they were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drd.config.documents import Entry, Report
from drd.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Files:
    """All that was read."""

    settings_entry: Entry
    settings: Settings | None
    policies: tuple[Entry, ...]
    runbooks: tuple[Entry, ...]
    environment: Mapping[str, str]


def lint(files: Files, report: Report, warn: Callable[[str], None]) -> None:
    """Report what does not fit together."""
