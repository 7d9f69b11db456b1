"""One look by a probe."""

from __future__ import annotations

import asyncio
from typing import Final

from drd.core.probing import Failure, ProbeResult
from drd.ports.clock import Clock
from drd.ports.probe import Probe, Prober

GRACE_SECONDS: Final = 1.0
"""A look that takes so much longer than one and a half of its timeout is given up."""


async def look_once(clock: Clock, prober: Prober, probe: Probe) -> ProbeResult:
    """What it found. A probe that does not keep its own deadline is cut off, and that is a time-out as well."""
    began, limit = clock.monotonic(), 1.5 * probe.timeout.total_seconds() + GRACE_SECONDS
    try:
        async with asyncio.timeout(limit):
            return await prober.look()
    except TimeoutError:
        took = clock.monotonic() - began
        return ProbeResult(probe.kind, began, took, Failure.TIMEOUT, f"the probe itself did not end in {limit:g} s")
