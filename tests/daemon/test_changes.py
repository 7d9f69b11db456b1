"""What a reload changes, told in sentences."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from drd.core.secrets import SecretReference
from drd.daemon.changes import AT_START_ONLY, changes, in_force_after
from drd.ports.configuration import Configuration
from drd.ports.machines import Contact, Machine
from tests.fakes.house import a_configuration, a_policy, a_store, protected
from tests.fakes.repository import FakePlace

LOCAL = FakePlace("local")
BEFORE = a_configuration((a_store(LOCAL, cache=Path("/var/lib/drd/cache/local")),), protected(a_policy(to=("local",))))
OTHER: dict[str, Any] = {
    "site": "elsewhere",
    "zone": ZoneInfo("Asia/Shanghai"),
    "state": Path("/srv/drd"),
    "data": Path("/srv"),
    "restic": "/opt/restic",
    "listen": ("127.0.0.1", 9477),
    "stores": {"local": replace(BEFORE.stores["local"], independent=True)},
    "policies": {"orders": protected(a_policy(to=("local",)), digest="2")},
    "runbooks": {"lost-site": "a runbook"},
    "people": {"sre": "SRE on call"},
    "contacts": {"sre": Contact("SRE on call")},
    "machines": {"orders-1": Machine("orders-1", "10.0.1.11")},
    "tokens": SecretReference(credential="tokens"),
}
TOLD_OTHERWISE = {"digest", "warnings", "notes", "loaded", "file"}
"""A daemon reads one drd.yaml all its life."""


@pytest.mark.parametrize("field", [each.name for each in fields(Configuration) if each.name not in TOLD_OTHERWISE])
def test_nothing_of_the_configuration_changes_unsaid(field: str) -> None:
    after = replace(BEFORE, **{field: OTHER[field]})
    [told] = changes(BEFORE, after)
    if field in AT_START_ONLY:
        assert told == f"{AT_START_ONLY[field]}: takes effect at the next start of the daemon"
        assert in_force_after(BEFORE, after) == BEFORE
    else:
        assert in_force_after(BEFORE, after) == after


def test_a_policy_is_told_by_its_name() -> None:
    assert changes(BEFORE, replace(BEFORE, policies=OTHER["policies"])) == ("policy orders changed",)
    assert changes(BEFORE, BEFORE) == ()


def test_until_the_next_start_restic_keeps_its_cache_where_the_daemon_may_write() -> None:
    moved = replace(BEFORE.stores["local"], cache=Path("/srv/drd/cache/local"))
    after = replace(BEFORE, state=Path("/srv/drd"), stores={"local": moved})
    assert changes(BEFORE, after) == ("state: takes effect at the next start of the daemon",)
    assert in_force_after(BEFORE, after) == BEFORE
