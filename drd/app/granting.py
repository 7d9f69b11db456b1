"""Which rights a policy needs outside of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from drd.app.build import make_world
from drd.app.recovering import kinds_of
from drd.core.errors import UsageError
from drd.core.node_grants import NodeGrants, node_grants
from drd.core.postgres.grants import Grants
from drd.ports.configuration import Configuration, Protected

RECOVERING: Final = frozenset({"fence", "postgres_promote", "postgres_rejoin", "postgres_switchover"})
"""Steps of runbooks that need more than a backup does."""


async def grants(
    configuration: Configuration, policy: str, address: str | None
) -> tuple[tuple[Grants, ...], tuple[NodeGrants, ...]]:
    """What to grant for every source of the policy, in order, and on the nodes that its runbooks work on.

    Raises `UsageError` when there is nothing to grant.
    """
    protected = configuration.policies.get(policy)
    if protected is None:
        known = ", ".join(sorted(configuration.policies)) or "none is configured"
        raise UsageError(f"there is no policy {policy}", f"one of: {known}")
    world = make_world(configuration)
    recovers = bool(kinds_of(configuration, policy) & RECOVERING)
    found = [await source.grants(world, address, recovers=recovers) for source in protected.sources.values()]
    needed = tuple(dict.fromkeys(grant for grants in found for grant in grants))
    if not needed:
        raise UsageError(f"{policy} protects no database, so there is nothing to grant", f"drd explain {policy}")
    return needed, tuple(_of_nodes(configuration, protected)) if recovers else ()


def _of_nodes(configuration: Configuration, protected: Protected) -> Iterator[NodeGrants]:
    for name in protected.policy.nodes:
        machine = configuration.machines[name]
        if machine.shell is not None and machine.unit is not None:
            yield node_grants(name, machine.shell.user, machine.unit)
