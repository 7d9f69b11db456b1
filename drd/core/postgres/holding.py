"""What a replication slot makes a server keep, and when that endangers the server's own disk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Slot, WalStatus
from drd.core.units import format_size


class WhenFull(StrEnum):
    """What is given up when the spool is full."""

    STOP = "stop"
    """Nothing more is received; the slot goes on holding WAL back, up to the server's `max_slot_wal_keep_size`."""
    LET_GO = "let_go"
    """The slot is dropped as soon as the server keeps more for it than it would by itself: no moment after that can be
    restored until there is a new base backup, which is made when there is room again."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What a slot holds back on its server."""

    status: WalStatus
    retained_bytes: int
    safe_bytes: int | None
    """What can be written until it is lost; None: without limit, or lost already."""

    @classmethod
    def of(cls, slot: Slot, newest: Lsn) -> HeldBack:
        """What this slot holds back of a server's WAL up to `newest`."""
        is_lost = slot.restart is None or slot.wal_status is None
        retained = 0 if slot.restart is None else max(0, newest.value - slot.restart.value)
        return cls(WalStatus.LOST if is_lost else slot.wal_status or WalStatus.LOST, retained, slot.safe_bytes)

    @property
    def is_a_burden(self) -> bool:
        """Whether the server keeps more than it would by itself (`max_wal_size`)."""
        return self.status in (WalStatus.EXTENDED, WalStatus.UNRESERVED)

    def sentence(self, slot: str) -> str:
        """What that means, in one sentence."""
        kept = f"the server keeps {format_size(self.retained_bytes)} of WAL for the slot {slot}"
        if self.status is WalStatus.EXTENDED:
            if self.safe_bytes is None:
                return f"{kept}, more than max_wal_size, and nothing limits it: its disk may fill"
            return f"{kept}, more than max_wal_size, and goes on for {format_size(self.safe_bytes)} more"
        if self.status is WalStatus.UNRESERVED:
            return f"{kept}, over max_slot_wal_keep_size: the next checkpoint may remove what was not received"
        if self.status is WalStatus.LOST:
            return f"the server has removed WAL that the slot {slot} was to keep"
        return f"{kept}, no more than it would by itself"

    @property
    def hint(self) -> str:
        """What to do about it."""
        if self.status is WalStatus.EXTENDED and self.safe_bytes is None:
            return "on the server: ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf();"
        return "find out why WAL is not received: drd status" if self.is_a_burden else ""


def when_full_by_itself(most_kept_bytes: int | None) -> WhenFull:
    """What is given up where nobody wrote it: the slot only where nothing else protects the server's disk."""
    return WhenFull.LET_GO if most_kept_bytes is None else WhenFull.STOP
