"""Telling a policy's owner what keeps a lost primary from being replaced; of a rival also while all is well."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from drd.core.events import BugFound, OwnerTold
from drd.engines.acting import Acting
from drd.engines.outbox import Outbox
from drd.engines.watching import Watching
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration
from drd.ports.journal import Journal

LOOK_SECONDS: Final = 1.0
CERTAIN_SECONDS: Final = 3.0
"""For how long it has to stand: what holds drd back for a moment is no news."""
HELD: Final = "failover held"
RIVAL: Final = "rival"


class Alarming:
    """Looks whether something has to be told: once, again when the reasons are others, and again when it comes back."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        watching: Watching,
        acting: Acting,
        tell: Callable[[Iterable[str], str], Awaitable[tuple[str, ...]]],
        journal: Journal,
        clock: Clock,
    ) -> None:
        """`tell` tells people something, and returns who could not be reached."""
        self._configuration = configuration
        self._watching = watching
        self._acting = acting
        self._tell = tell
        self._clock = clock
        self._since: dict[tuple[str, str], tuple[object, float]] = {}
        """(policy, topic) → the reasons that stand now, and since when."""
        self._told: dict[tuple[str, str], object] = {}
        """(policy, topic) → the reasons that were told last."""
        self.outbox = Outbox(journal)

    async def serve(self) -> None:
        """Look until cancelled."""
        while True:
            for policy in self._configuration().policies:
                try:
                    await self._look(policy)
                except Exception as bug:  # noqa: BLE001 - a bug that concerns one policy must not end the daemon
                    await self._bug(policy, bug)
            await self._clock.sleep(LOOK_SECONDS)

    async def _look(self, policy: str) -> None:
        held = self._acting.held(policy)
        why = "" if held is None else f"nothing replaces the primary of {policy} by itself: {held.message}"
        # The message counts times down; what keeps drd from acting stays the same.
        await self._alarm(policy, HELD, None if held is None else (held.node, held.guards), why)
        others = ", ".join(rival.daemon for rival in self._watching.rivals(policy))
        why = f"another daemon ({others}) keeps the heartbeat of {policy} too, so that none replaces a lost primary"
        await self._alarm(policy, RIVAL, others or None, why)

    async def _alarm(self, policy: str, topic: str, reasons: object, why: str) -> None:
        """Tell it as soon as it has stood for long enough; `reasons` are None while there is nothing to tell."""
        key, now = (policy, topic), self._clock.monotonic()
        if reasons is None:
            self._since.pop(key, None)
            self._told.pop(key, None)
            return
        known, since = self._since.get(key, (None, now))
        self._since[key] = reasons, since if known == reasons else now
        if self._told.get(key) == reasons or now - self._since[key][1] < CERTAIN_SECONDS:
            return
        protected = self._configuration().policies.get(policy)
        owner = None if protected is None else protected.policy.owner
        people = () if owner is None else (owner,)
        failures = await self._tell(people, f"{why}; type: drd explain {policy}")
        self._told[key] = reasons
        await self.outbox.record(OwnerTold(policy, topic, why, people, failures))

    async def _bug(self, policy: str, bug: Exception) -> None:
        key = (policy, "bug")
        if self._told.get(key) == type(bug).__name__:
            return
        self._told[key] = type(bug).__name__
        text = "".join(traceback.format_exception(bug, limit=-12))
        await self.outbox.record(BugFound(f"alarms of {policy}", type(bug).__name__, text, quarantined=False))
