"""Which rights a policy needs outside of this machine."""

from __future__ import annotations

from drd.app.build import make_world
from drd.core.errors import UsageError
from drd.core.postgres.grants import Grants
from drd.ports.configuration import Configuration


async def grants(configuration: Configuration, policy: str, address: str | None) -> tuple[Grants, ...]:
    """What to grant for every source of the policy, in order. Raises `UsageError` when there is nothing to grant."""
    protected = configuration.policies.get(policy)
    if protected is None:
        known = ", ".join(sorted(configuration.policies)) or "none is configured"
        raise UsageError(f"there is no policy {policy}", f"one of: {known}")
    world = make_world(configuration)
    found = [await source.grants(world, address) for source in protected.sources.values()]
    needed = tuple(dict.fromkeys(grant for grants in found for grant in grants))
    if not needed:
        raise UsageError(f"{policy} protects no database, so there is nothing to grant", f"drd explain {policy}")
    return needed
