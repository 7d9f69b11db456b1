"""A frozen primary is replaced by revocation alone, and goes on where it stood while clients ask it still."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.failover_site import now
from tests.postgres_pair import Pair, lost
from tests.run_ends import PATIENCE, assert_it_ends
from tests.shipped_runs import assert_the_same, fail_over, stop, wait_until_well
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
STOP = "Stop the old primary for good"
BY = "by: [revoke, ssh, power]"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT INTO written%'"


def hold_on_before_the_stop(watcher: Watcher) -> None:
    """Have the runbook fence by revocation or not at all, and leave the old primary alone until it goes on."""
    file = watcher.machine.folder / "runbooks" / "payments-failover.yaml"
    text = file.read_text()
    assert text.count(BY) == 1
    file.write_text(text.replace(BY, "by: [revoke]"))
    watcher.holds_on_before(STOP)
    watcher.machine.drd("reload").done()


def test_a_frozen_primary_that_was_replaced_by_revocation_confirms_nothing_when_it_goes_on(
    shipped: Callable[[str], Any],
) -> None:
    with shipped("payments") as watcher:
        site: Pair = watcher.pair
        old, new = site.nodes
        hold_on_before_the_stop(watcher)
        by_libpq, by_proxy = site.start_clients()
        site.host(old).signal_all(signal.SIGSTOP)
        run = fail_over(watcher)
        wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
        by_proxy.writes_at(site.host(new).address, PATIENCE)
        assert fenced_by(watcher) == ["revoke"]

        site.host(old).signal_all(signal.SIGCONT)
        thawed = now()
        late = site.start_client(site.directly(old), 2_000_000, is_heard=False)
        wait_for(lambda: site.servers[old].value(WAITING) >= 1, "a client waits for the old primary's word", PATIENCE)
        assert not site.servers[old].value("SELECT pg_is_in_recovery()")
        by_proxy.writes_again(now(), PATIENCE)

        watcher.go_on()
        assert_it_ends(watcher, run)
        by_libpq.writes_at(site.host(new).address, PATIENCE)
        wait_until_well(watcher)
        told = stop((by_libpq, by_proxy, late))
        assert not [row for rows in told for row in rows if row.server == site.host(old).address and row.began > thawed]
        assert [lost(rows, site.servers[new]) for rows in told] == [[], [], []]
        assert_the_same(site.servers[new], site.servers[old])


def fenced_by(watcher: Watcher) -> list[str]:
    """The rungs by which the run has fenced so far."""
    return [step["facts"]["fenced_by"] for step in watcher.acted() if "fenced_by" in step["facts"]]
