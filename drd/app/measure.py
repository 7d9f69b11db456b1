"""Collecting what one scrape shows."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from drd.app.build import Built
from drd.core.cadence import longest_gap
from drd.core.plan import Plan
from drd.daemon.incidents import incident_status
from drd.daemon.life import Liveness
from drd.daemon.nodes import node_status
from drd.daemon.requirements import clauses
from drd.daemon.services import service_status
from drd.daemon.wal import newest_points, wal_status
from drd.ports.configuration import Configuration
from drd.ports.incidents import IncidentStatus
from drd.reports.metrics import MetricsInput, render

INCIDENTS = 20
"""So many of the newest are looked at."""


class Measure:
    """Looks at the house when Prometheus asks; the text is rendered in a thread, away from the daemon's loop."""

    def __init__(self, built: Built, liveness: Liveness, version: str) -> None:
        self._built = built
        self._liveness = liveness
        self._version = version
        self._intervals: dict[str, timedelta] = {}
        self._intervals_of = ""
        self._ended: dict[str, IncidentStatus] = {}
        """Run → what was told of it, of the newest that are over: that does not change any more."""

    async def __call__(self) -> bytes:
        """The text exposition of this moment."""
        house = self._built.house
        configuration = house.in_force()
        newest = await newest_points(house)
        policies = await house.catalogue.policies()
        proven = await house.catalogue.newest_proven_points()
        looks = {name: house.stores.look_of(name) for name in configuration.stores}
        watched = [name for name, protected in configuration.policies.items() if protected.watch is not None]
        seen = MetricsInput(
            version=self._version,
            restic=house.restic,
            configuration=configuration,
            is_last_reload_good=self._liveness.last_reload_succeeded,
            policies=policies,
            stores=await house.catalogue.stores(),
            newest=newest,
            proven={key: point.moment for key, point in proven.items()},
            restores=await house.catalogue.restores(),
            requirements=await clauses(house),
            intervals=await self._intervals_in(configuration, house.clock.now()),
            pauses=await house.catalogue.pauses(),
            quarantined=house.dispatch.quarantined(),
            away=frozenset(name for name in configuration.stores if house.stores.why_away(name) is not None),
            free_bytes={name: look.free_bytes for name, look in looks.items() if look and look.free_bytes is not None},
            wal=await wal_status(house),
            services=service_status(house, policies),
            nodes=node_status(house),
            held={name: house.acting.held(name) is not None for name in watched},
            rivals={name: len(house.watching.rivals(name)) for name in watched},
            incidents=await self._incidents(),
            is_chain_valid=not house.anchor.problem,
            last_tick=self._liveness.last_tick,
        )
        return await asyncio.to_thread(render, seen)

    async def _incidents(self) -> tuple[IncidentStatus, ...]:
        """The newest runs of runbooks; the daemon's loop is not held up by reading many of them."""
        house, known = self._built.house, self._ended
        found: list[IncidentStatus] = []
        for record in await house.catalogue.incidents(None, INCIDENTS):
            found.append(known.get(record.run) or await incident_status(house, record))
            await asyncio.sleep(0)
        # One whose service does not answer yet has no RTA so far.
        self._ended = {each.run: each for each in found if each.finished is not None and each.times.up is not None}
        return tuple(found)

    async def _intervals_in(self, configuration: Configuration, now: datetime) -> dict[str, timedelta]:
        """The longest gap of each schedule; a matter of the configuration alone, so computed once for each."""
        if self._intervals_of != configuration.digest:
            self._intervals = await asyncio.to_thread(_gaps, configuration, now)
            self._intervals_of = configuration.digest
        return self._intervals


def _gaps(configuration: Configuration, now: datetime) -> dict[str, timedelta]:
    gaps = {
        name: longest_gap(Plan.of(protected.policy, configuration.zone, now))
        for name, protected in configuration.policies.items()
    }
    return {name: gap for name, gap in gaps.items() if gap is not None}
