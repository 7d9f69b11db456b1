"""Looking at services as their users reach them: from when until when they did not answer."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from drd.core.errors import NOT_NOW
from drd.core.events import BugFound, DaemonStarted, Event, ServiceFailed, ServiceRestored, ServiceUnseen
from drd.core.outage import Look, ServiceView, Unseen, ended
from drd.core.probing import ProbeResult, Sign
from drd.core.rivals import VERIFICATION
from drd.engines.looking import look_once
from drd.engines.observing import Observing
from drd.engines.outbox import Outbox
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal
from drd.ports.probe import ServiceWatch
from drd.ports.world import World

AFTER_A_BUG_SECONDS: Final = 60.0
UNSEEN_SECONDS: Final = 5.0
"""Looks that told nothing count from so much longer than the usual pause between two of them."""


@dataclass(slots=True)
class Served:
    """How one service stands."""

    watch: ServiceWatch
    view: ServiceView
    last: ProbeResult | None = None
    told_at: float | None = None
    """When the newest look that told something was over, in monotonic seconds."""
    unseen_from: datetime | None = None
    """Since when nobody has seen it; None before anybody ever did."""


class Serving:
    """Looks at the services of the policies in force."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        observing: Observing,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        daemon: str,
    ) -> None:
        self._configuration = configuration
        self._observing = observing
        self._daemon = daemon
        self._catalogue = catalogue
        self._world = world
        self._served: dict[str, Served] = {}
        self._told: asyncio.Queue[ServiceFailed | ServiceRestored | ServiceUnseen | BugFound] = asyncio.Queue()
        self._lived_until: datetime | None = None
        """When an earlier daemon lived last."""
        self.outbox = Outbox(journal)
        journal.observe(self._hear)

    def of(self, policy: str) -> Served | None:
        """How a policy's service stands; None while it is not looked at."""
        return self._served.get(policy)

    async def serve_record(self) -> None:
        """Journal what was seen, until cancelled: no look waits for a disk."""
        while True:
            fact = await self._told.get()
            with suppress(*NOT_NOW):
                await self.outbox.record(fact)

    async def serve(self, policy: str) -> None:
        """Look at a policy's service until cancelled. A mistake in drd is told, and tried again later."""
        protected = self._configuration().policies.get(policy)
        if protected is None or protected.service is None:
            return
        record = await self._catalogue.policy(policy)
        lasting = [each for each in (() if record is None else record.outages) if each.up is None]
        served = Served(protected.service, ServiceView(outage=lasting[-1] if lasting else None))
        if record is not None and self._lived_until is not None and record.created < self._lived_until:
            served.unseen_from = self._lived_until
        self._served[policy] = served
        try:
            while True:
                try:
                    await self._keep_looking(policy, served)
                except Exception as bug:  # noqa: BLE001 - a bug in one probe fails that probe, not the daemon
                    text = "".join(traceback.format_exception(bug, limit=-12))
                    self._told.put_nowait(BugFound(f"service of {policy}", type(bug).__name__, text, quarantined=False))
                    served.view = served.view.unseen()
                    await self._world.clock.sleep(AFTER_A_BUG_SECONDS)
        finally:
            if self._served.get(policy) is served:
                del self._served[policy]

    async def _keep_looking(self, policy: str, served: Served) -> None:
        clock, watch = self._world.clock, served.watch
        target = replace(watch.target, writes_as=self._daemon + VERIFICATION)
        async with watch.probe.opened(self._world, target) as prober:
            due = clock.monotonic()
            while True:
                result = await look_once(clock, prober, watch.probe)
                self._take(policy, served, result)
                due = max(due + watch.rules.every_seconds, clock.monotonic())
                await clock.sleep(due - clock.monotonic())

    def _take(self, policy: str, served: Served, result: ProbeResult) -> None:
        before, rules, served.last = served.view, served.watch.rules, result
        is_own = Sign.NOT_LET_IN in result.signs  # what is looked at may be well
        if is_own or self._observing.stepped_seconds or self._observing.was_late_for(result):
            served.view = before.unseen()
            return
        self._tell_unseen(policy, served, result)
        failure = "" if result.failure is None else result.message or result.failure.value
        look = Look(self._wall(result.began), self._wall(result.ended), failure)
        served.view = after = before.after(look, rules.fall, rules.rise)
        over = ended(before, after)
        if over is not None and over.up is not None:
            self._told.put_nowait(ServiceRestored(policy, over.bad, over.up))
        if after.outage is not None and before.outage is None:
            outage = after.outage
            self._told.put_nowait(ServiceFailed(policy, outage.bad, outage.good, outage.message))

    def _tell_unseen(self, policy: str, served: Served, result: ProbeResult) -> None:
        """Tell of the time before this look in which none has told anything."""
        until, since = self._wall(result.began), served.unseen_from
        if served.told_at is not None:
            since = until - timedelta(seconds=result.began - served.told_at)
        usual = served.watch.rules.every_seconds + UNSEEN_SECONDS
        if since is not None and (until - since).total_seconds() > usual:
            self._told.put_nowait(ServiceUnseen(policy, since, until))
        served.told_at = result.ended

    def unseen(self, served: Served) -> Unseen | None:
        """The time until now in which no look has told anything."""
        now = self._world.clock.now()
        since = served.unseen_from if served.told_at is None else self._wall(served.told_at)
        usual = served.watch.rules.every_seconds + served.watch.rules.timeout_seconds + UNSEEN_SECONDS
        is_long = since is not None and (now - since).total_seconds() > usual
        return Unseen(since, now) if since is not None and is_long else None

    def _hear(self, event: Event) -> None:
        if isinstance(event.body, DaemonStarted):
            self._lived_until = event.body.lived_until

    def _wall(self, moment: float) -> datetime:
        clock = self._world.clock
        return clock.now() - timedelta(seconds=clock.monotonic() - moment)
