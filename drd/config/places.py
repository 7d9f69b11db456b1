"""Where something is written, for what is found out about it later: positions are not kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path as FilePath

from drd.config.documents import Library
from drd.config.yaml import Path, Spot, forget_positions
from drd.core.findings import Finding


def placed(findings: Iterable[Finding], file: FilePath, path: Path) -> tuple[Finding, ...]:
    """The findings with the place of what they are about; as they are when the file cannot be read any more."""
    found = tuple(findings)
    place = _place_of(file, path) if found else None
    if place is None:
        return found
    name, line, column = place
    return tuple(replace(each, file=name, line=line, column=column) for each in found)


def _place_of(file: FilePath, path: Path) -> tuple[str, int, int] | None:
    """File, line and column of the key that `path` ends in; None when the file cannot be read any more.

    The file is the one in the chain of bases where it stands.
    """
    entry = Library(lambda _: None).entry(file)
    try:
        if entry is None:
            return None
        found = entry.problem(path, "", Spot.OWNER)
        return found.file, found.line, found.column
    finally:
        forget_positions()
