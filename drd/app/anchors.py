"""The heads of the journal that lie in the stores, for whoever holds the journal against them."""

from __future__ import annotations

from drd.app.build import make_world
from drd.app.connect import SOCKET
from drd.app.repositories import ResticRepositories
from drd.clients.clock import SystemClock
from drd.clients.control import RemoteControl
from drd.clients.host import MachineHost
from drd.clients.journal import SqliteJournal
from drd.clients.restic import find_restic
from drd.core.errors import DrdError
from drd.engines.anchor import anchors_in
from drd.ports.configuration import Configuration
from drd.ports.control import Anchors
from drd.ports.repository import Repositories
from drd.ports.store import ConfiguredStore


async def read_anchors(configuration: Configuration) -> tuple[Anchors, ...]:
    """Ask the daemon, which alone can read systemd's credentials; without one read the stores, and write nothing."""
    daemon = RemoteControl(configuration.state / SOCKET)
    if await daemon.is_there():
        return await daemon.anchors()
    world = make_world(configuration)
    repositories = ResticRepositories(await find_restic(configuration.restic, world.runner), world, MachineHost())
    async with await SqliteJournal.open(configuration.state, SystemClock(), readonly=True) as journal:
        owner = journal.daemon
    return tuple([await _in_store(repositories, store, owner) for store in configuration.stores.values()])


async def _in_store(repositories: Repositories, store: ConfiguredStore, daemon: str) -> Anchors:
    try:
        return Anchors(store=store.name, heads=await anchors_in(await repositories.open(store), daemon))
    except DrdError as error:
        return Anchors(store=store.name, problem=error.message)
