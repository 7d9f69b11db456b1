"""Letting standbys receive again that a run has cut off from their primary, where that is back and nobody is to lead.

A run gives back itself what it cut off, unless it ends between the cut and the promotion, or waits there: for an
approval, an answer, the end of a pause. As long as the primary is away they stay cut off, which harms nobody; once it
answers, its commits wait for them. A run that goes on after that finds its fence gone, and promotes nobody.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from drd.core.errors import NOT_NOW, DrdError
from drd.core.events import BugFound, StandbysGivenBack, StepOrdered
from drd.core.fencing import left_cut_off
from drd.core.incident import IncidentRecord, told_before
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
        deciding: Callable[[str], AbstractAsyncContextManager[None]],
    ) -> None:
        """`give_back` lets one standby receive again, and tells whether it had been cut off.

        While `deciding` is held nobody tells a standby of that policy to lead.
        """
        self._configuration = configuration
        self._watching = watching
        self._catalogue = catalogue
        self._clock = clock
        self._give_back = give_back
        self._deciding = deciding
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
        if view is None or not left:
            self._since.pop(policy, None)
            return
        primary, now = view.primary or "", self._clock.monotonic()
        async with self._deciding(policy):
            under_way = [each for each in await self._catalogue.open_incidents() if each.policy == policy]
            if any(_may_promote(each) for each in under_way) or await self._is_one_told(policy, primary):
                self._since.pop(policy, None)
                return
            if now - self._since.setdefault(policy, now) < CERTAIN_SECONDS:
                return
            machines = self._configuration().machines  # a reload may have taken one away that is watched still
            there = [machines[name] for name in left if name in machines]
            given = tuple([machine.name for machine in there if await self._is_given_back(machine)])
        if given:
            run = under_way[0].run if under_way else None
            await self.outbox.record(StandbysGivenBack(policy, primary, given), run)

    async def _is_one_told(self, policy: str, primary: str) -> bool:
        """Whether a run has told somebody to take over who may do so yet."""
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


def _may_promote(run: IncidentRecord) -> bool:
    """Whether a run has ordered somebody to lead, or somebody leads by it."""
    return "new_primary" in run.found or any(isinstance(fact.body, StepOrdered) for fact in run.facts)
