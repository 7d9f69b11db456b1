"""What would make a promotion slow, or what it makes useless."""

from dataclasses import replace

from drd.core.postgres.promotability import of_promotability
from tests.core.postgres.test_verdicts import SETTINGS, SOUND

QUICK = replace(SETTINGS, retry_seconds=0.1, receiver_seconds=2.0)


def test_a_server_that_may_be_promoted_at_any_moment_has_nothing_against_it() -> None:
    assert not list(of_promotability(SOUND, SETTINGS))
    assert not list(of_promotability(replace(SOUND, is_in_recovery=True), QUICK))


def test_each_thing_that_costs_is_told_with_what_it_costs() -> None:
    standby = replace(SOUND, is_in_recovery=True, has_checksums=False)
    settings = replace(SETTINGS, awaits_anybody=True, retry_seconds=5.0, logs_hints=False)
    found = {each.about: each.message for each in of_promotability(standby, settings)}
    assert set(found) == {"awaited", "retry-interval", "receiver-timeout", "rewind"}
    assert "is 5 s" in found["retry-interval"]
    assert "after 30 s" in found["receiver-timeout"]
    [never] = of_promotability(standby, replace(QUICK, receiver_seconds=0.0))
    assert "never" in never.message
    assert "rewind" not in {each.about for each in of_promotability(standby, replace(settings, logs_hints=True))}
