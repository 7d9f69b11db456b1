"""What happens before the first piece of work, in the daemon and in a command without one."""

from __future__ import annotations

from drd.core.catalogue import RestoreRecord, RunRecord
from drd.core.events import Body, ConfigurationLoaded, PolicyAdded, PolicyRemoved
from drd.daemon.house import House
from drd.ports.configuration import Configuration


async def move_in(house: House) -> tuple[RunRecord | RestoreRecord, ...]:
    """Journal what is in force, end what an earlier process left open, and load the engines; returns what was open."""
    await take_up(house, house.in_force())
    runs = await house.dispatch.end_interrupted_runs()
    restores = await house.restore.end_interrupted()
    await house.stores.load()
    await house.scheduler.load(house.dispatch)
    return *runs, *restores


async def take_up(house: House, configuration: Configuration) -> None:
    """Journal a configuration that comes into force, and which policies are new or gone."""
    known = set(await house.catalogue.policies())
    wanted = set(configuration.policies)
    bodies: list[Body] = [PolicyAdded(name) for name in sorted(wanted - known)]
    bodies += [PolicyRemoved(name) for name in sorted(known - wanted)]
    loaded = ConfigurationLoaded(
        configuration.digest, len(configuration.policies), len(configuration.runbooks), len(configuration.stores)
    )
    await house.journal.append(loaded, *bodies)
