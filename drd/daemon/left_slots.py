"""Replication slots that nobody looks after any more after a reload: a server keeps its WAL for them without end."""

from __future__ import annotations

from drd.core.events import WalInterrupted
from drd.core.postgres.names import slot_name
from drd.ports.configuration import Configuration, Protected


def left_slots(before: Configuration, after: Configuration) -> tuple[WalInterrupted, ...]:
    """What to tell of each slot that WAL was received by before and that is left now, on a server or on a node."""
    found: list[WalInterrupted] = []
    for name, protected in sorted(before.policies.items()):
        if protected.wal_origin is not None:
            found += [_told(name, where) for where in _left_on(protected, after.policies.get(name))]
    return tuple(found)


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
