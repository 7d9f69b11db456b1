"""What happens before the first piece of work, in the daemon and in a command without one."""

from __future__ import annotations

from contextlib import suppress

from drd.core.catalogue import RestoreRecord, RunRecord
from drd.core.errors import NOT_NOW
from drd.core.events import Body, ConfigurationLoaded, PolicyAdded, PolicyRemoved
from drd.daemon.house import House
from drd.ports.configuration import Configuration

PAY_SECONDS = 10.0
"""How often a command without a daemon looks whether there is room for what is owed."""


async def start_up(house: House) -> tuple[RunRecord | RestoreRecord, ...]:
    """Journal what is in force, end what an earlier process left open, and load the engines; returns what was open."""
    await resume_work(house, house.in_force())
    runs = await house.dispatch.end_interrupted_runs()
    restores = await house.restore.end_interrupted()
    await house.stores.load()
    await house.scheduler.load(house.dispatch)
    return *runs, *restores


async def keep_paying(house: House) -> None:
    """In place of a daemon's tick: journal what a full disk keeps off the record, as soon as there is room.

    Cancelled, it tries once more. What is owed even then, the next start makes up for: it ends the open runs.
    """
    try:
        while True:
            await house.clock.sleep(PAY_SECONDS)
            with suppress(*NOT_NOW):
                await house.pay()
    finally:
        with suppress(*NOT_NOW):
            await house.pay()


async def resume_work(house: House, configuration: Configuration) -> None:
    """Journal a configuration that comes into force, and which policies are new or gone."""
    known = set(await house.catalogue.policies())
    wanted = set(configuration.policies)
    bodies: list[Body] = [PolicyAdded(name) for name in sorted(wanted - known)]
    bodies += [PolicyRemoved(name) for name in sorted(known - wanted)]
    loaded = ConfigurationLoaded(
        configuration.digest, len(configuration.policies), len(configuration.runbooks), len(configuration.stores)
    )
    await house.journal.append(loaded, *bodies)
