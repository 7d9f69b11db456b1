"""What pauses keep a run from that is under way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from drd.core.catalogue import Pause

EVERY_STEP: Final = "runbooks"
"""What is paused when runs that are under way begin no further step either: the kill switch."""
FAILOVER: Final = frozenset({"failover", "all", EVERY_STEP})
"""What is paused when no runbook of a policy may start."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a run waits; empty where nothing holds it."""

    consent: str = ""
    """Why nobody's silence counts as consent."""
    steps: str = ""
    """Why no further step begins. What was done may be taken back all the same."""


NO_HOLD: Final = Hold()


def hold_of(pauses: Iterable[Pause], policy: str, now: datetime) -> Hold:
    """What the pauses of a policy keep its runs from now."""
    found = [each for each in pauses if each.policy == policy and each.what in FAILOVER and each.until > now]
    every = next((each for each in found if each.what == EVERY_STEP), None)
    return Hold(_words(found[0]) if found else "", _words(every) if every is not None else "")


def _words(pause: Pause) -> str:
    return f"paused by {pause.by}: {pause.reason}"
