"""Letting standbys receive again that a run has cut off from their primary, and left so when it ended.

A run gives back itself what it cut off, unless it is ended between the cut and the promotion. As long as the primary is
away they stay cut off, which harms nobody; once it answers, its commits wait for them.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from drd.core.errors import NOT_NOW, DrdError
from drd.core.events import BugFound, StandbysGivenBack
from drd.core.fencing import left_cut_off
from drd.core.incident import told_before
from drd.engines.outbox import Outbox
from drd.engines.watching import Watching
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal
from drd.ports.machines import Machine

LOOK_SECONDS: Final = 1.0
CERTAIN_SECONDS: Final = 5.0
"""For how long it has to be seen: somebody may be about to promote one of them."""
LOOKED_AT: Final = 50
"""So many runs of a policy are looked through for one that has told somebody to take over."""


class GivingBack:
    """Looks whether standbys were left cut off."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        watching: Watching,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
        give_back: Callable[[Machine], Awaitable[bool]],
    ) -> None:
        """`give_back` lets one standby receive again, and tells whether it had been cut off."""
        self._configuration = configuration
        self._watching = watching
        self._catalogue = catalogue
        self._clock = clock
        self._give_back = give_back
        self._since: dict[str, float] = {}
        """Policy → since when standbys of its are seen to be left cut off."""
        self._told: set[tuple[str, type[Exception]]] = set()
        """Of which policies which bugs are on record: what is looked at each second tells of one once."""
        self.outbox = Outbox(journal)

    async def serve(self) -> None:
        """Look until cancelled."""
        while True:
            for policy in self._configuration().policies:
                try:
                    await self._look(policy)
                except NOT_NOW:  # nothing is done that is not on record
                    continue
                except Exception as bug:  # noqa: BLE001 - a bug that concerns one policy must not end the daemon
                    await self._bug(policy, bug)
            await self._clock.sleep(LOOK_SECONDS)

    async def _look(self, policy: str) -> None:
        view = self._watching.view(policy)
        left = () if view is None else left_cut_off(view)
        if view is None or not left or await self._is_at_work(policy, view.primary or ""):
            self._since.pop(policy, None)
            return
        if self._clock.monotonic() - self._since.setdefault(policy, self._clock.monotonic()) < CERTAIN_SECONDS:
            return
        machines = self._configuration().machines  # a reload may have taken one away that is watched still
        there = [machines[name] for name in left if name in machines]
        given = tuple([machine.name for machine in there if await self._is_given_back(machine)])
        if given:
            await self.outbox.record(StandbysGivenBack(policy, view.primary or "", given))

    async def _is_at_work(self, policy: str, primary: str) -> bool:
        """Whether a run is under way, or one has told somebody to take over who may do so yet."""
        if any(record.policy == policy for record in await self._catalogue.open_incidents()):
            return True
        return told_before(await self._catalogue.incidents(policy, LOOKED_AT), primary) is not None

    async def _is_given_back(self, machine: Machine) -> bool:
        try:
            return await self._give_back(machine)
        except NOT_NOW:
            raise
        except DrdError:  # it is looked at again in a second
            return False

    async def _bug(self, policy: str, bug: Exception) -> None:
        if (policy, type(bug)) in self._told:
            return
        self._told.add((policy, type(bug)))
        text = "".join(traceback.format_exception(bug, limit=-12))
        found = BugFound(f"standbys of {policy} left cut off", type(bug).__name__, text, quarantined=False)
        await self.outbox.record(found)
