"""A policy's slot: that there is one, and what it makes the server keep, told when that endangers the server's disk."""

from __future__ import annotations

from enum import Enum, auto

from drd.core.errors import NOT_NOW
from drd.core.events import WalHeldBack
from drd.core.postgres.holding import HeldBack
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.names import slot_name
from drd.core.postgres.server import Slot, WalStatus
from drd.engines.receiver_state import ReceiverState
from drd.ports.journal import Journal
from drd.ports.postgres import Postgres
from drd.ports.wal import ReachedServer


class SlotWatch:
    """Looks at slots, and journals each change of what they hold back once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._told: dict[str, WalStatus] = {}
        """Policy → the state that was told last; what was never a burden is not told."""

    async def look(self, policy: str, line: ReceiverState, server: Postgres, newest: Lsn) -> Slot | None:
        """The policy's slot as it is now; None when there is none. `newest` is how far the server is."""
        slot = await server.slot(slot_name(policy))
        line.newest = newest
        if slot is None:
            line.held, line.burden = None, ""
            return None
        held = line.held = HeldBack.of(slot, newest)
        line.burden = held.sentence(slot.name) if held.is_a_burden else ""
        if held.status is not self._told.get(policy, WalStatus.RESERVED):
            await self._tell(policy, held)
        return slot

    async def _tell(self, policy: str, held: HeldBack) -> None:
        sentence = held.sentence(slot_name(policy))
        told = WalHeldBack(policy, held.status.value, held.retained_bytes, held.safe_bytes, sentence, held.hint)
        try:
            await self._journal.append(told)
        except NOT_NOW:
            return
        self._told[policy] = held.status


class SlotFound(Enum):
    """What became of the slot that holds WAL back; in the end there is one."""

    READY = auto()
    NONE = auto()
    LOST = auto()
    """It had not held back what it was to."""


async def ready_slot(reached: ReachedServer, name: str) -> SlotFound:
    """See that there is a slot that holds WAL back; what there was before."""
    slot = await reached.server.slot(name)
    if slot is not None and not is_lost(slot):
        return SlotFound.READY
    if slot is not None:
        await reached.server.drop_slot(name)
    # The program goes on behind the newest file. Where the server has that WAL no more, it says so.
    await reached.server.create_slot(name)
    return SlotFound.NONE if slot is None else SlotFound.LOST


def is_lost(slot: Slot) -> bool:
    """Whether a slot has not held back what it was to."""
    return slot.restart is None or slot.wal_status is WalStatus.LOST
