"""Looking at the servers of a policy as they are: what is risky about each, and which rights lack or are too many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from drd.clients.postgres.cluster import ClusterServers, Member
from drd.clients.postgres.dsn import Dsn
from drd.core.errors import DrdError
from drd.core.findings import Severity
from drd.core.postgres import heartbeat
from drd.core.postgres.grants import LOCAL, SOMEWHERE, STATISTICS, Grants, Use, grants
from drd.core.postgres.names import slot_name, sql_name
from drd.core.postgres.promotability import of_promotability
from drd.core.postgres.server import Role, WalStatus
from drd.core.postgres.verdicts import Verdict, of_role, of_server, of_settings, of_slot
from drd.ports.secrets import Secrets
from drd.ports.servers import ReachedNode
from drd.ports.world import World


async def inspect(servers: ClusterServers, world: World, policy: str, *, receives_wal: bool) -> tuple[Verdict, ...]:
    """What every server says of itself, each sentence with its node; one that does not answer is told as that."""
    found = await asyncio.gather(
        *(_of_member(servers, world, each, policy, receives_wal=receives_wal) for each in servers.names)
    )
    # What is the same everywhere, as a role that may too much, is one finding.
    return tuple(dict.fromkeys(verdict for verdicts in found for verdict in verdicts))


async def grants_of(
    servers: ClusterServers,
    secrets: Secrets,
    address: str | None,
    incoming: str | None,
    *,
    reads_files: bool = False,
    recovers: bool = False,
) -> tuple[Grants, ...]:
    """What to grant, by the connection strings alone: where they agree, once."""
    uses = [await _use(servers, each, secrets, address, incoming) for each in servers.members]
    return tuple(grants(replace(use, reads_files=reads_files, recovers=recovers)) for use in dict.fromkeys(uses))


async def _use(
    servers: ClusterServers, member: Member, secrets: Secrets, address: str | None, incoming: str | None
) -> Use:
    dsn = Dsn.parse(await secrets.read(member.dsn))
    is_local = (dsn.parameters.get("host") or "/").startswith("/") and "hostaddr" not in dsn.parameters
    return Use(
        role=dsn.user or "drd",
        database=dsn.database or "postgres",
        address=address or (LOCAL if is_local else SOMEWHERE),
        beats=servers.wants_heartbeat,
        has_standbys=len(servers.members) > 1,
        incoming=incoming,
    )


async def _of_member(
    servers: ClusterServers, world: World, name: str, policy: str, *, receives_wal: bool
) -> tuple[Verdict, ...]:
    try:
        async with servers.reached_by_name(world, name) as node:
            verdicts = await _of_node(node, servers, policy, receives_wal=receives_wal)
    except DrdError as error:
        verdicts = [Verdict(f"node-{name}", Severity.WARNING, error.message, error.hint)]
    said = f"{name}: " if name else ""
    return tuple(each if each.about in _SHARED else replace(each, message=f"{said}{each.message}") for each in verdicts)


_SHARED = frozenset({"role", "role-attributes", "role-memberships", "heartbeat", "checksums", "rewind"})
"""What verdicts are about that a primary and its standbys have in common."""


async def _of_node(node: ReachedNode, servers: ClusterServers, policy: str, *, receives_wal: bool) -> list[Verdict]:
    server, facts = node.server, node.facts
    role, slot, settings = await server.role(), await server.slot(slot_name(policy)), await server.settings()
    found = [
        *of_role(role),
        *await _of_replication(node),
        *of_server(facts, receives_wal=receives_wal),
        *of_settings(facts, settings, slot, receives_wal=receives_wal),
        *(of_promotability(facts, settings) if len(servers.members) > 1 else ()),
    ]
    # A slot of a standby is moved by drd and received by nobody, and none is there before the first start.
    if receives_wal and slot is not None and (not facts.is_in_recovery or slot.wal_status is WalStatus.LOST):
        found += of_slot(slot.name, slot, await server.positions())
    if len(servers.members) > 1:
        found += _of_statistics(role)
    if servers.wants_heartbeat and not await server.may_beat():
        statements = "\n".join((*heartbeat.CREATE, *heartbeat.rights(role.name)))
        message = f"{heartbeat.TABLE} is not there, or {role.name} may not write it: a copy cannot tell its own moment"
        found.append(Verdict("heartbeat", Severity.WARNING, message, statements))
    return found


async def _of_replication(node: ReachedNode) -> Iterable[Verdict]:
    try:
        await node.server.try_replication()
    except DrdError as error:
        return (Verdict("replication", Severity.BROKEN, error.message, error.hint),)
    return ()


def _of_statistics(role: Role) -> Iterable[Verdict]:
    if not role.is_superuser and not {STATISTICS, "pg_monitor"}.intersection(role.memberships):
        message = f"the role {role.name} cannot tell which timeline a standby follows"
        yield Verdict("statistics", Severity.WARNING, message, f"GRANT {STATISTICS} TO {sql_name(role.name)};")
