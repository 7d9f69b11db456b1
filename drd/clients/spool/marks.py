"""What is written beside WAL in the spool: of which cluster it is, and in each group what was committed when."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from drd.clients.durable import flush_folder
from drd.core.errors import PermanentError
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn

MARKS: Final = "drd-marks.json"
"""In a group's folder: what was committed when, and what the cluster is."""
CLUSTER: Final = "cluster.json"
"""In a cluster's folder: what it is."""


def write_marks(folder: Path, system_identifier: str, marks: Sequence[Mark]) -> None:
    """Write down what a group is known of. Raises `OSError`."""
    first = marks[0].timeline if marks else 0
    document = {
        "format": 1,
        "system_identifier": system_identifier,
        "timeline": first,
        "marks": [[mark.moment.astimezone(UTC).isoformat(), str(mark.lsn)] for mark in marks],
    }
    _write(folder / MARKS, document)


def read_marks(content: bytes, timeline: int) -> tuple[Mark, ...]:
    """What `note` wrote into a group of that timeline. Raises ValueError when it is damaged."""
    try:
        told = json.loads(content)
        return tuple(Mark(datetime.fromisoformat(at), timeline, Lsn.parse(lsn)) for at, lsn in told["marks"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"the marks of a group of WAL are damaged: {error}") from error


def tell_cluster(root: Path, system_identifier: str, segment_bytes: int) -> None:
    """Write down what the cluster is, once. Raises `OSError`."""
    told = root / CLUSTER
    if not told.exists():
        _write(told, {"system_identifier": system_identifier, "segment_bytes": segment_bytes})


def read_cluster(told: Path) -> tuple[str, int]:
    """A cluster's system identifier and the size of its segments. Raises `PermanentError` when that is damaged."""
    try:
        found = json.loads(told.read_bytes())
        return str(found["system_identifier"]), int(found["segment_bytes"])
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(
            f"{told} is damaged", f"rm {told}: drd writes it again when it reaches the server"
        ) from error


def _write(path: Path, document: object) -> None:
    made = path.with_name(path.name + ".new")
    with made.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)
    flush_folder(path.parent)
