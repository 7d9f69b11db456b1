"""Whether a host that goes silent is certain to be so while cutting its standbys off still counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drd.core.fencing import young_seconds
from drd.core.health import Hysteresis
from drd.core.node_verdicts import ANSWER_SECONDS, ASKING_SECONDS

ACTING_SECONDS: Final = 0.5
"""From the verdict to the moment at which standbys are cut off, with steps before it that look and tell."""


@dataclass(frozen=True, slots=True)
class LateRevocation:
    """Why `revoke` would count for nothing when a host goes silent: by then the last look at it is too old."""

    sure_after_seconds: float
    """After so long drd is sure, and the standbys can be cut off."""
    counts_for_seconds: float
    """So long it counts."""
    asks_after_seconds: float
    """After so long a silence a standby may ask its primary at most; not above 0 where nothing is short enough."""


def late_revocation(rules: Hysteresis, asks_after_seconds: float) -> LateRevocation | None:
    """What keeps `revoke` from counting when a host goes silent, of a standby that asks after such a silence.

    A standby that asks soon is waited for until it has had no answer. That comes after up to two rounds: the primary
    may have gone silent just before the next look, and the standby is looked at in rounds as well. None where it counts
    in time, or where such a standby asks never or too late to be waited for.
    """
    around = ANSWER_SECONDS + 2 * rules.every_seconds + ACTING_SECONDS
    counts = young_seconds(rules)
    if not 0 < asks_after_seconds <= ASKING_SECONDS or asks_after_seconds + around <= counts:
        return None
    return LateRevocation(asks_after_seconds + around, counts, counts - around)
