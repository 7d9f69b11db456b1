"""What can be told without a daemon by reading alone: no lock is taken, no event written, no file of the state touched.

So it also works beside a daemon that is just starting or does not answer, and by as many as like to at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from drd.app.build import furnish, make_world
from drd.app.ownership import demand_own_state, demand_readable
from drd.app.records import has_journal
from drd.clients.clock import SystemClock
from drd.clients.journal import SqliteJournal
from drd.clients.restic import Restic, find_restic
from drd.core.errors import UsageError
from drd.daemon.control import HouseControl
from drd.daemon.house import House
from drd.daemon.names import stores_to_ask
from drd.ports.configuration import Configuration
from drd.ports.control import CoveredRange, PointStatus, Status
from drd.ports.incidents import IncidentStatus

UNASKED_VERSION = (0, 0, 0)
"""Of a restic that nothing will start."""


class JournalAnswers:
    """`Questions`, answered from the journal; from the stores where the journal knows nothing of a policy."""

    def __init__(self, configuration: Configuration, *, is_silent: bool = False) -> None:
        """`is_silent` tells that a daemon is there and does not answer."""
        self._configuration = configuration
        self._is_silent = is_silent
        self.whose_words = "its journal says"
        """Where the last answer came from."""

    async def status(self) -> Status:
        """Everything at a glance."""
        async with self._from_journal() as house:
            status = await _control(house).status()
            return status.model_copy(update={"silent": self._is_silent})

    async def explain(self, policy: str) -> tuple[str, ...]:
        """What a daemon would do with a policy now and why, as lines for people."""
        async with self._from_journal() as house:
            return await _control(house).explain(policy)

    async def points(self, policy: str) -> tuple[PointStatus, ...]:
        """The recovery points of a policy, newest first."""
        async with self._from_journal() as house:
            if await house.catalogue.points(policy) or not await stores_to_ask(house, policy):
                return await _control(house).points(policy, False)
        async with self._from_stores() as house:
            self.whose_words = "the stores say, for its journal knows no point"
            return await _control(house).points(policy, False)

    async def covered(self, policy: str) -> tuple[CoveredRange, ...]:
        """The moments that replaying write-ahead log leads to, as the journal knows them."""
        async with self._from_journal() as house:
            return await _control(house).covered(policy)

    async def incidents(self, policy: str | None = None) -> tuple[IncidentStatus, ...]:
        """The newest runs of runbooks, newest first."""
        async with self._from_journal() as house:
            return await _control(house).incidents(policy)

    async def incident(self, run: str) -> IncidentStatus:
        """One run of a runbook."""
        async with self._from_journal() as house:
            return await _control(house).incident(run)

    @asynccontextmanager
    async def _from_journal(self) -> AsyncIterator[House]:
        """The engines over the journal as it is; that there is none before the first start is no error."""
        configuration = self._configuration
        demand_readable(configuration.state)
        idle = Restic(configuration.restic, UNASKED_VERSION)
        if await asyncio.to_thread(has_journal, configuration.state):
            async with await SqliteJournal.open(configuration.state, SystemClock(), readonly=True) as journal:
                yield await _house(configuration, journal, idle)
        else:
            with TemporaryDirectory(prefix="drd-") as folder:
                async with await _passing_journal(Path(folder)) as journal:
                    yield await _house(configuration, journal, idle)

    @asynccontextmanager
    async def _from_stores(self) -> AsyncIterator[House]:
        """The engines over a journal that is thrown away: on a new machine the stores are all there is.

        Raises `UsageError` for anybody but the owner of the state folder, who might leave a lock in a local repository
        that the daemon cannot read.
        """
        demand_own_state(self._configuration.state)
        restic = await find_restic(self._configuration.restic, make_world(self._configuration).runner)
        with TemporaryDirectory(prefix="drd-") as folder:
            async with await _passing_journal(Path(folder)) as journal:
                yield await _house(_kept_in(self._configuration, Path(folder)), journal, restic)


async def _passing_journal(folder: Path) -> SqliteJournal:
    return await SqliteJournal.open(folder, SystemClock(), ballast_bytes=1)


def _kept_in(configuration: Configuration, folder: Path) -> Configuration:
    """The same, with its state and its caches in another folder."""
    stores = {
        name: replace(store, cache=folder / "caches" / str(place))
        for place, (name, store) in enumerate(configuration.stores.items())
    }
    return replace(configuration, state=folder, stores=stores)


async def _house(configuration: Configuration, journal: SqliteJournal, restic: Restic) -> House:
    house = furnish(configuration, make_world(configuration), journal, restic).house
    await house.stores.load()
    await house.scheduler.load(house.dispatch)
    return house


def _control(house: House) -> HouseControl:
    return HouseControl(house, None, _nothing_to_reload)


async def _nothing_to_reload() -> tuple[str, ...]:
    raise UsageError("no daemon runs here, so there is nothing to reload", "type: drd run")
