"""Whether a primary can hand over to a standby in order: what keeps it from that, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from drd.core.postgres.lsn import Lsn
from drd.core.units import format_size

MOST_LAG_BYTES: Final = 16 * 2**20
"""Writes wait while the rest is replayed; so much takes about a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Successor:
    """A standby that could take over, as it answers now."""

    name: str
    why_not: str = ""
    """Why it does not follow the primary, or does not answer; empty where it does."""
    replayed: Lsn | None = None
    is_paused: bool = False
    delay_seconds: float = 0.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Handover:
    """A primary with its standbys."""

    primary: str
    written: Lsn
    """How far the primary is."""
    successors: tuple[Successor, ...]
    other_primaries: tuple[str, ...] = ()

    def lag_bytes(self, successor: Successor) -> int:
        """What it has to replay still."""
        return 0 if successor.replayed is None else max(0, self.written - successor.replayed)

    def best(self) -> Successor | None:
        """The one that nothing speaks against and that has replayed the most, then of the highest priority."""
        fit = [each for each in self.successors if not tuple(why_not(self, each))]
        return max(fit, key=lambda each: (each.replayed or Lsn(0), each.priority, each.name), default=None)


def why_not(handover: Handover, successor: Successor) -> Iterator[str]:
    """What keeps a standby from taking over now."""
    if handover.other_primaries:
        yield f"{' and '.join(handover.other_primaries)} takes writes beside {handover.primary}"
    if successor.name == handover.primary:
        yield f"{successor.name} is the primary already"
        return
    if successor.why_not:
        yield f"{successor.name}: {successor.why_not}"
        return
    if successor.is_paused:
        yield f"the replay of {successor.name} is paused"
    if successor.delay_seconds > 0:
        yield f"{successor.name} replays {successor.delay_seconds:.0f} s late on purpose"
    if (lag := handover.lag_bytes(successor)) > MOST_LAG_BYTES:
        most = format_size(MOST_LAG_BYTES)
        yield f"{successor.name} has {format_size(lag)} to replay, and at most {most} may be left"


def has_all(replayed: Lsn | None, shutdown_checkpoint: Lsn) -> bool:
    """Whether a standby has replayed all that its primary wrote before it was shut down.

    The last record is the checkpoint of the shutdown, which begins at that position: who has replayed beyond has it.
    """
    return replayed is not None and replayed > shutdown_checkpoint
