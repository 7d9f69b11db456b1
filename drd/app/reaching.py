"""Questions that need the outside: does what the configuration names answer, and is it what it is said to be?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from drd.app.build import make_world
from drd.app.moving_clients import reach_proxies
from drd.app.reaching_services import reach_service
from drd.app.recovering import reach_nodes
from drd.app.sharing import reach_clusters
from drd.clients.restic import find_restic
from drd.config.places import placed
from drd.core.errors import DrdError
from drd.core.findings import Finding
from drd.ports.configuration import Configuration, Protected
from drd.ports.source import Source
from drd.ports.store import ConfiguredStore
from drd.ports.world import World

LOOK_SECONDS = 60.0


async def reach(configuration: Configuration) -> tuple[Finding, ...]:
    """Try all that the configuration names, at once; what is wrong. Changes nothing.

    That is restic, every store, every password, every source, the nodes that runbooks work on, the proxies in front,
    and the services as their users reach them; and whether two policies would replace the primary of one cluster.
    """
    world = make_world(configuration)
    stores = [_store(world, store) for store in configuration.stores.values()]
    sources = [
        _source(world, protected, part, index)
        for protected in configuration.policies.values()
        for index, part in enumerate(protected.sources)
    ]
    nodes = [
        look(world, configuration, protected)
        for protected in configuration.policies.values()
        for look in (reach_nodes, reach_proxies, reach_service)
    ]
    shared = reach_clusters(world, configuration)
    found = await asyncio.gather(_restic(world, configuration), *stores, *sources, *nodes, shared)
    return tuple(finding for findings in found for finding in findings)


async def _restic(world: World, configuration: Configuration) -> Iterable[Finding]:
    try:
        await find_restic(configuration.restic, world.runner)
    except DrdError as error:
        return (Finding("restic", error.message, error.hint),)
    return ()


async def _store(world: World, store: ConfiguredStore) -> Iterable[Finding]:
    what = f"store {store.name}"
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await world.secrets.read(store.password)
            look = await store.place.look(world)
    except TimeoutError:
        late = f"does not answer within {LOOK_SECONDS:.0f} s"
        return (Finding(what, late, "look at the network, or at the mount"),)
    except DrdError as error:
        return (Finding(what, error.message, error.hint),)
    if not look.reachable:
        return (Finding(what, look.message, look.hint),)
    if broken := store.broken_promise(look):
        return (Finding(what, broken, "set the bucket's default retention, or take immutable: out"),)
    return ()


async def _source(world: World, protected: Protected, part: str, index: int) -> Iterable[Finding]:
    """What is wrong with a source, each with the place in its file where the source stands."""
    source = protected.sources[part]
    what = f"policy {protected.policy.name}, source {part}"
    findings = [Finding(what, *each) for each in await _refusals(world, source)]
    verdicts = await source.verdicts(world, protected.policy.name)
    told = {finding.message for finding in findings}
    findings += [Finding(what, each.message, each.hint, each.severity) for each in verdicts if each.message not in told]
    return await asyncio.to_thread(placed, findings, protected.file, ("backup", "source", index, source.kind))


async def _refusals(world: World, source: Source) -> list[tuple[str, str]]:
    try:
        await source.look(world)
    except DrdError as error:
        return [(error.message, error.hint)]
    return []
