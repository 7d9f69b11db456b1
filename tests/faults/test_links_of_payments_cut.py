"""A link of a pair is cut where commits wait for the standby: nobody is replaced, nothing acknowledged is missing."""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.failover_site import now
from tests.postgres_pair import Pair, lost
from tests.run_ends import PATIENCE
from tests.shipped_runs import assert_the_same, stop, wait_until_well
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
CALM_SECONDS = 5.0
"""Nothing is done about what is no loss: ten times as long as a loss would need to be noticed."""


def stays_so() -> None:
    end = time.monotonic() + CALM_SECONDS
    wait_for(lambda: time.monotonic() > end, "it stays so for a while", PATIENCE)


def assert_primary_serves_on(watcher: Watcher, clients: tuple[Any, Any]) -> None:
    """Both are well, nothing was begun, and the primary has all that it ever acknowledged, as has its standby."""
    old, new = (watcher.pair.servers[name] for name in watcher.pair.nodes)
    since = now()
    for client in clients:
        client.writes_again(since, PATIENCE)
    wait_until_well(watcher)
    assert (watcher.began(), watcher.acted()) == ([], [])
    told = stop(clients)
    assert {row.server for rows in told for row in rows} == {old.address}
    assert [lost(rows, old) for rows in told] == [[], []]
    assert_the_same(old, new)
    assert new.value("SELECT pg_is_in_recovery()")


def test_commits_that_wait_for_a_standby_that_is_cut_off_are_named_and_go_on_when_it_is_back(
    shipped: Callable[[str], Any],
) -> None:
    with shipped("payments") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        clients = site.start_clients()
        site.host(old).cut_from(site.host(new))
        blocked = "synchronous replication blocked"
        wait_for(lambda: watcher.verdicts()[old] == blocked, "the verdict names it", PATIENCE)
        cut = now()
        stays_so()
        assert f"{old} is the primary, and not lost: {blocked}" in watcher.explained()
        assert not [row for client in clients for row in client.rows() if row.began > cut]
        site.host(old).heal()
        assert_primary_serves_on(watcher, clients)


def test_a_primary_that_only_drd_does_not_reach_is_not_cut_off_from_its_standby_while_clients_write(
    shipped: Callable[[str], Any],
) -> None:
    with shipped("payments") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        clients = site.start_clients()
        site.host("watcher").cut_from(site.host(old))
        wait_for(lambda: watcher.verdicts()[old] == "unreachable only from here", "the standby vouches", PATIENCE)
        since = now()
        stays_so()
        for client in clients:
            client.writes_again(since, PATIENCE)
        assert site.servers[new].value("SHOW primary_slot_name") == new.replace("-", "_")
        site.host("watcher").heal()
        assert_primary_serves_on(watcher, clients)
