"""How the receiving of one policy's WAL stands, as it is now: what everything else that deals with WAL looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from drd.core.postgres.gaps import Piece
from drd.core.postgres.holding import HeldBack
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn


@dataclass(slots=True)
class ReceiverState:
    """What is known of the receiving of one policy, as it is now."""

    system_identifier: str = ""
    segment_bytes: int = 0
    pending: list[Mark] = field(default_factory=list)
    """What was committed when, oldest first, where the WAL was not seen in the spool yet."""
    flushed: Lsn | None = None
    """How far the WAL is safe in the spool, as the server heard last; None when nobody told in this process."""
    received: dict[int, Lsn] = field(default_factory=dict)
    """The same by timeline, also of those that were left, and while nobody tells."""
    newest: Lsn | None = None
    """How far the server was when it was asked last."""
    seen: Mark | None = None
    """The same with the moment, by the server's clock."""
    seen_at: float = 0.0
    """When it was asked, in monotonic seconds."""
    safe: Mark | None = None
    """The newest moment of which all WAL is safe in the spool."""
    node: str = ""
    """The node that it is received from; empty where one connection string says it all."""
    timeline: int = 0
    """The one that server writes."""
    turned: str = ""
    """Who else is the primary by now, so that WAL has to come from there; empty while nobody is."""
    why_not: str = "nothing was received yet"
    """Why nothing is received now; empty while something is."""
    why_hint: str = ""
    """What to do about that."""
    held: HeldBack | None = None
    """What the server keeps for the slot; None while there is none, or nobody knows."""
    burden: str = ""
    """What that endangers, in one sentence; empty while it does not."""
    spool_bytes: int = 0
    is_full: bool = False
    """Whether receiving has stopped for lack of room."""
    restarts: int = 0
    """How often receiving had to begin again."""
    way: Mapping[str, tuple[Piece, ...]] = field(default_factory=dict)
    """By the store beside which it lies, where the WAL is that leads from the oldest base backup needed to now."""
    lost: tuple[Piece, ...] = ()
    """What of it is nowhere."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while somebody waits for a batch."""
    shipping: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while batches are made: no group leaves the spool while another round reads it."""
    entering: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while files enter the spool's groups, from the look that decides it: nobody else moves them meanwhile."""

    @property
    def behind_bytes(self) -> int | None:
        """How much WAL the server has that is not safe here; None while nobody knows."""
        if self.newest is None or self.flushed is None:
            return None
        return max(0, self.newest.value - self.flushed.value)

    def safe_for_seconds(self, now: datetime) -> float | None:
        """How old the newest moment is of which all WAL is safe here; None before there is any."""
        return None if self.safe is None else max(0.0, (now - self.safe.moment).total_seconds())
