"""Whether a policy's service answers drd as it answers its users, and what would keep them waiting one day."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from drd.config.places import placed
from drd.core.findings import Finding
from drd.engines.looking import look_once
from drd.ports.configuration import Configuration, Protected
from drd.ports.world import World


async def reach_service(world: World, _configuration: Configuration, protected: Protected) -> tuple[Finding, ...]:
    """Look at it once, and at the way there. Changes nothing: no row is written."""
    watch, policy = protected.service, protected.policy.name
    if watch is None:
        return ()
    what = f"policy {policy}, service"
    async with watch.probe.opened(world, watch.target) as prober:
        result = await look_once(world.clock, prober, watch.probe)
    found = [replace(each, what=what) for each in await watch.probe.findings(world)]
    if result.failure is not None and not any(each.message == result.message for each in found):
        found.insert(0, Finding(what, result.message or result.failure.value, f"drd explain {policy}"))
    return await asyncio.to_thread(placed, found, protected.file, ("service", watch.probe.kind))
