"""What every event has: a body of plain values, and its place in the chain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

FORMAT = 1
"""The journal's format. A journal with a greater one is refused."""


@dataclass(frozen=True)
class Body:
    """What happened. `KIND` is the stored name and never changes."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True)
class Event:
    """One fact with its place in the chain."""

    daemon: str
    """Id of the daemon that wrote it."""
    sequence: int
    """1, 2, 3, … without a gap."""
    at: datetime
    """Wall time, UTC."""
    boot: str
    monotonic_ns: int
    run: str | None
    term: int
    """Fencing token of the lease under which it was written; 0 without a cluster."""
    body: Body
    head: str = ""
    """Hex SHA-256 over the previous head and this event's stored bytes."""
