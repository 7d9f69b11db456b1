"""What a person wants back, how that is to be met, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from drd.core.points import RecoveryPoint
from drd.core.postgres.recovery import RecoveryPlan
from drd.core.postgres.target import Target
from drd.engines.earlier import Chains
from drd.ports.repository import Restored
from drd.ports.source import Check, Source

BESIDE = "beside"
"""The target that means: next to each path of the source, under a name of its own."""


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What a person wants back."""

    policy: str
    at: datetime | None
    target: str
    include: tuple[str, ...] = ()
    store: str | None = None
    by: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    """What is said about it beside, for the kinds of its sources."""
    moment: Target | None = None
    """What was asked for to the point, where write-ahead log is kept; None: `at`."""
    is_without_wal: bool = False
    """Whether a recovery point is wanted as it is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a request is met by one restore."""

    run: str
    request: RestoreRequest
    point: RecoveryPoint
    """What it begins from."""
    recovery: RecoveryPlan | None = None
    """How a moment behind the point is reached; None: the point is what is wanted."""
    chains: Chains = field(default_factory=dict)
    """What its parts follow, where they are incremental."""
    others: Mapping[str, RecoveryPoint] = field(default_factory=dict)
    """Part → the point of another run that it is taken from, where recovery brings the rest beyond its own run."""
    sources: Mapping[str, Source] = field(default_factory=dict)
    """The policy's sources as they are today, by part; none where it is gone."""

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that made what is read."""
        return tuple(dict.fromkeys((self.point.run, *(point.run for point in self.others.values()))))

    def run_of(self, snapshot_id: str) -> str:
        """The run that made a snapshot."""
        made = {copy.snapshot_id: point.run for point in self.others.values() for copy in point.copies}
        return made.get(snapshot_id, self.point.run)


@dataclass(frozen=True, slots=True)
class Landed:
    """Where data was brought back to."""

    point: RecoveryPoint
    store: str
    places: tuple[str, ...]
    parts: Mapping[str, Restored]
    """Snapshot id → what came of it."""
    seconds: float
    notes: tuple[str, ...] = ()
    """What a person should know of it; a few words each."""
    following: tuple[str, ...] = ()
    """What to type next."""
    checks: tuple[Check, ...] = ()
    heartbeat: datetime | None = None
    """What it says itself of its moment: all that was committed before this is in it; None: it does not tell."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """What a person wanted to know of it and is not so."""
        return tuple(check for check in self.checks if not check.is_passed)

    @property
    def files(self) -> int:
        """How many files landed, of all parts."""
        return sum(part.files for part in self.parts.values())

    @property
    def bytes(self) -> int:
        """How many bytes landed, of all parts."""
        return sum(part.bytes for part in self.parts.values())
