"""Whether two policies replace the primary of one cluster by themselves, which the nodes' names alone do not tell."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from drd.clients.postgres.connection import Patience
from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.of_machines import dsn_of
from drd.clients.postgres.server import PostgresServer
from drd.config.places import placed
from drd.core.errors import DrdError
from drd.core.findings import Finding
from drd.engines.watch_rules import acts_by_itself
from drd.ports.configuration import Configuration, Protected
from drd.ports.machines import Machine
from drd.ports.world import World

PATIENCE = Patience(timedelta(seconds=3), timedelta(seconds=5))


async def reach_clusters(world: World, configuration: Configuration) -> tuple[Finding, ...]:
    """Ask the nodes of each policy that fails over by itself which cluster they belong to. Changes nothing.

    Nodes of one cluster have one system identifier. What does not answer is told by whoever looks at the node.
    """
    acting = [each for each in configuration.policies.values() if acts_by_itself(each.policy, configuration.runbooks)]
    if len(acting) < 2:
        return ()
    pairs = [(each, configuration.machines[name]) for each in acting for name in each.policy.nodes]
    identifiers = await asyncio.gather(*(_identifier(world, machine) for _, machine in pairs))
    first: dict[str, tuple[Protected, Machine]] = {}
    told: set[tuple[str, str]] = set()
    found: list[Finding] = []
    for (protected, machine), identifier in zip(pairs, identifiers, strict=True):
        owner, node = first.setdefault(identifier, (protected, machine)) if identifier else (protected, machine)
        both = owner.policy.name, protected.policy.name
        if owner is not protected and both not in told:
            told.add(both)
            path = ("nodes", protected.policy.nodes.index(machine.name))
            found += await asyncio.to_thread(placed, (_shared(protected, machine, owner, node),), protected.file, path)
    return tuple(found)


async def _identifier(world: World, machine: Machine) -> str:
    """The system identifier of a node's cluster; empty where it does not tell."""
    try:
        server = PostgresServer(Dsn.parse(await dsn_of(world.secrets, machine)), PATIENCE)
        try:
            return (await server.facts()).system_identifier
        finally:
            await server.close()
    except DrdError:
        return ""


def _shared(protected: Protected, machine: Machine, owner: Protected, node: Machine) -> Finding:
    message = (
        f"{machine.name} belongs to the cluster of {node.name}, whose primary the policy {owner.policy.name} replaces "
        "by itself as well, and two would promote one after the other"
    )
    return Finding(f"policy {protected.policy.name}", message, "write `mode: manual` in one of their runbooks")
