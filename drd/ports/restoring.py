"""What a person orders with `drd restore`, as it crosses the control socket.

A plain dataclass: a command that follows a restore is ready sooner than pydantic is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOrder:
    """A policy's data, as of a moment, to a place."""

    policy: str
    target: str
    """An absolute path, or `beside`: next to the source."""
    by: str
    """Who gave the order."""
    at: datetime | None = None
    """The newest good point not after it; None: the newest of all."""
    moment: str = ""
    """The same to the point, where write-ahead log is kept, as `drd.core.postgres.target` reads it; empty: `at`."""
    include: tuple[str, ...] = ()
    """Paths or patterns; none: all."""
    store: str | None = None
    """Where it is read from; None: where it is nearest."""
    is_without_wal: bool = False
    """Whether a recovery point is wanted as it is, although write-ahead log is kept."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What is said beside, for the kinds of the policy's sources (`drd.ports.source.Wanted`)."""

    def body(self) -> dict[str, Any]:
        """All but the policy, as JSON takes it."""
        values = asdict(self)
        del values["policy"]
        return {**values, "at": self.at.isoformat() if self.at else None, "include": list(self.include)}
