"""Questions that need the outside: does what the configuration names answer, and is it what it is said to be?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from drd.app.build import make_world
from drd.clients.restic import find_restic
from drd.core.errors import DrdError
from drd.core.geography import format_away
from drd.ports.configuration import Configuration
from drd.ports.source import Source
from drd.ports.store import ConfiguredStore
from drd.ports.world import World

LOOK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is right or wrong outside; `hint` says what to type and is empty where all is well."""

    what: str
    is_good: bool
    message: str
    hint: str = ""


async def reach(configuration: Configuration) -> tuple[Finding, ...]:
    """Try restic, every store, every password and every source, all at once; changes nothing."""
    world = make_world(configuration)
    stores = [_store(world, store) for store in configuration.stores.values()]
    sources = [
        _source(world, name, part, protected.sources[part])
        for name, protected in configuration.policies.items()
        for part in protected.sources
    ]
    return tuple(await asyncio.gather(_restic(world, configuration), *stores, *sources))


async def _restic(world: World, configuration: Configuration) -> Finding:
    try:
        restic = await find_restic(configuration.restic, world.runner)
    except DrdError as error:
        return Finding("restic", False, error.message, error.hint)
    return Finding("restic", True, f"version {restic.version_text}")


async def _store(world: World, store: ConfiguredStore) -> Finding:
    what = f"store {store.name}"
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await world.secrets.read(store.password)
            look = await store.place.look(world)
    except TimeoutError:
        late = f"does not answer within {LOOK_SECONDS:.0f} s"
        return Finding(what, False, late, "look at the network, or at the mount")
    except DrdError as error:
        return Finding(what, False, error.message, error.hint)
    if not look.reachable:
        return Finding(what, False, look.message, look.hint)
    if broken := store.broken_promise(look):
        return Finding(what, False, broken, "set the bucket's default retention, or take immutable: out")
    return Finding(what, True, f"answers; {store.place.summary()}, {format_away(store.distance_metres)}")


async def _source(world: World, policy: str, part: str, source: Source) -> Finding:
    what = f"policy {policy}, source {part}"
    try:
        await source.look(world)
        return Finding(what, True, f"can be read; {source.summary()}")
    except DrdError as error:
        return Finding(what, False, error.message, error.hint)
