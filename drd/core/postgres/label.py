"""What PostgreSQL says in `backup_label` of a base backup: where recovery from it begins (`xlogbackup.c`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drd.core.postgres.lsn import Lsn

_START = re.compile(r"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) \(file [0-9A-F]{24}\)$", re.MULTILINE)
_TIMELINE = re.compile(r"^START TIMELINE: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Label:
    """The beginning of a base backup."""

    start: Lsn
    timeline: int

    @classmethod
    def read(cls, content: bytes) -> Label:
        """What a label says. Raises ValueError when it is none."""
        text = content.decode("utf-8", errors="replace")
        start, timeline = _START.search(text), _TIMELINE.search(text)
        if start is None or timeline is None:
            raise ValueError("the server's backup_label does not say where recovery begins")
        return cls(Lsn.parse(start[1]), int(timeline[1]))
