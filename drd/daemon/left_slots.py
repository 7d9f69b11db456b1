"""Replication slots that nobody looks after any more: a server keeps its WAL for them without end.

A reload knows both configurations; a start knows from the journal which policies it had and whose WAL was received.
"""

from __future__ import annotations

from drd.core.events import WalInterrupted
from drd.core.postgres.names import slot_name
from drd.daemon.house import House
from drd.ports.configuration import Configuration, Protected


def left_slots(before: Configuration, after: Configuration) -> tuple[WalInterrupted, ...]:
    """What to tell of each slot that WAL was received by before and that is left now, on a server or on a node."""
    found: list[WalInterrupted] = []
    for name, protected in sorted(before.policies.items()):
        if protected.wal_origin is not None:
            found += [_told(name, where) for where in _left_on(protected, after.policies.get(name))]
    return tuple(found)


async def slots_of_removed(house: House) -> tuple[WalInterrupted, ...]:
    """What to tell of the slots of policies that were taken from the files while drd was down.

    Called before the start journals that they are gone. On which nodes they were, only the files said.
    """
    gone = set(await house.catalogue.policies()) - set(house.in_force().policies)
    return tuple([_told(name, "") for name in sorted(gone) if await house.catalogue.wal(name)])


def _left_on(before: Protected, after: Protected | None) -> tuple[str, ...]:
    """The nodes that have the slot still; where a connection string names the server, the policy has to say it."""
    nodes = before.servers.names if before.servers is not None else ("",)
    if after is None or after.wal_origin is None:
        return nodes
    now = after.servers.names if after.servers is not None else ("",)
    return tuple(name for name in nodes if name not in now)


def _told(policy: str, node: str) -> WalInterrupted:
    slot = slot_name(policy)
    return WalInterrupted(
        policy,
        f"slot {slot} is left on {node or f'the server of {policy}'}, which keeps all WAL for it",
        f"unless it is gone there, type in psql: SELECT pg_drop_replication_slot('{slot}');",
    )
