"""Room for WAL: when the spool holds as much as it may, or its disk is nearly full, receiving stops in good time."""

from __future__ import annotations

from typing import Final

from drd.core.errors import TransientError
from drd.core.units import format_size
from drd.engines.receiver_state import ReceiverState
from drd.ports.spool import Spool, Spools
from drd.ports.wal import SpoolRules

LEAST_FREE_BYTES: Final = 256 * 2**20
"""With less room for the spool nothing is received: the journal needs some too."""
AGAIN: Final = 1.25
"""How much more than the least has to be free until receiving goes on, so that it does not stop again at once.

On a disk that has hardly more than that in all, half of what is not the least.
"""
GROUPS_AT_LEAST: Final = 4
"""So many groups have room in the spool: the newest one never leaves it, the others do when stores have them."""


class SpoolFull(TransientError):
    """There is no room for more WAL."""


async def demand_room(spools: Spools, spool: Spool, rules: SpoolRules, line: ReceiverState) -> None:
    """Raise `SpoolFull` when no more WAL may be received into a spool; `line` is told how full it is."""
    line.spool_bytes = await spool.used_bytes()
    free = await spools.free_bytes()
    share = AGAIN if line.is_full else 1.0
    line.is_full = True
    least = min(int(LEAST_FREE_BYTES * share), LEAST_FREE_BYTES + (await spools.total_bytes() - LEAST_FREE_BYTES) // 2)
    if free < max(least, LEAST_FREE_BYTES):
        raise SpoolFull(
            f"the disk of the spool has {format_size(free)} free, so no WAL is received",
            f"df -h {spool.receiving.parent}",
        )
    if line.spool_bytes * share > rules.most_bytes:
        raise SpoolFull(
            f"{format_size(line.spool_bytes)} of WAL wait in the spool, all that spool: allows, so no more is received",
            "see that the stores answer: drd status; or raise spool: in the source",
        )
    line.is_full = False


async def group_bytes(spools: Spools, rules: SpoolRules, usual: int) -> int:
    """How large a group may become: on a small disk, or with a small `spool:`, less than usual."""
    disk = await spools.total_bytes() - LEAST_FREE_BYTES
    return max(1, min(usual, disk // GROUPS_AT_LEAST, rules.most_bytes // GROUPS_AT_LEAST))
