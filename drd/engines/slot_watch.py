"""What a policy's slot makes the server keep: told when it endangers the server's disk, and when that is over."""

from __future__ import annotations

from drd.core.errors import NOT_NOW
from drd.core.events import WalHeldBack
from drd.core.postgres.holding import HeldBack
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.names import slot_name
from drd.core.postgres.server import Slot, WalStatus
from drd.engines.receiver_state import ReceiverState
from drd.ports.journal import Journal
from drd.ports.postgres import Postgres


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
