"""A silent host is fenced by cutting its standbys off only while the last look at it is young."""

from dataclasses import replace

from drd.core.health import Hysteresis
from drd.core.silence import LateRevocation, late_revocation


def test_a_standby_that_asks_late_makes_the_verdict_on_a_silent_host_too_late_for_a_revocation() -> None:
    rules = Hysteresis(every_seconds=0.25, timeout_seconds=0.5, fall=3)

    assert late_revocation(rules, 1.0) is None
    assert late_revocation(rules, 1.5) is None
    assert late_revocation(rules, 5.0) == LateRevocation(7.0, 3.5, 1.5)
    assert late_revocation(rules, 0.0) is None, "it never asks, so that nobody waits for it"
    assert late_revocation(rules, 30.0) is None, "nor for one that asks so late"
    hasty = late_revocation(replace(rules, timeout_seconds=0.1, fall=2), 1.0)
    assert hasty is not None
    assert hasty.asks_after_seconds < 0
