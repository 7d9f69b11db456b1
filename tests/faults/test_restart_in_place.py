"""The primary's process is killed where the policy has it started again in its place first, and fails over after that.

The shipped orders-restart, but automatic: its trigger is added, and the unit is the one of the lab.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.failover_site import now
from tests.network_shells import kill_postmaster
from tests.postgres_pair import Pair, assert_taken_over, lost
from tests.run_ends import PATIENCE, assert_it_ends, run_of
from tests.shipped_runs import stop, wait_until_well
from tests.system.programs import wait_for
from tests.watched_pair import Watcher
from tests.writing_client import longest_gap

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
RESTART, FAILOVER = "orders-restart", "orders-failover"
RTO_SECONDS = 30.0


def start_it_in_its_place_first(watcher: Watcher) -> None:
    watcher.starts_in_place_first()
    watcher.machine.drd("reload").done()


def begun(watcher: Watcher) -> list[str]:
    return [event["runbook"] for event in watcher.machine.events("incident-started")]


def test_a_primary_whose_process_was_killed_serves_again_where_it_was_and_no_standby_takes_over(
    shipped: Callable[[str], Any],
) -> None:
    with shipped("orders") as watcher:
        site: Pair = watcher.pair
        old, new = (site.servers[name] for name in site.nodes)
        start_it_in_its_place_first(watcher)
        clients = site.start_clients()
        kill_postmaster(old)
        struck = now()
        wait_for(lambda: run_of(watcher, RESTART), "it is started again", PATIENCE)
        assert_it_ends(watcher, run_of(watcher, RESTART))
        for client in clients:
            client.writes_again(struck, PATIENCE)
        wait_until_well(watcher)
        assert (begun(watcher), watcher.acted()) == ([RESTART], [])
        told = stop(clients)
        assert {row.server for rows in told for row in rows} == {old.address}
        assert [lost(rows, old) for rows in told] == [[], []]
        assert new.value("SELECT pg_is_in_recovery()")


def test_where_the_process_does_not_start_again_the_standby_takes_over_in_time(
    shipped: Callable[[str], Any],
) -> None:
    with shipped("orders") as watcher:
        site: Pair = watcher.pair
        old, _ = site.nodes
        start_it_in_its_place_first(watcher)
        broken = watcher.shells.folder / "does-not-start"
        broken.touch()
        unit = watcher.shells.folder / "units" / old
        unit.write_text(f'{unit.read_text()}[ "$do" != start ] || [ ! -e {broken} ] || exit 1\n')
        clients = site.start_clients()
        kill_postmaster(site.servers[old])
        struck = now()
        wait_for(lambda: run_of(watcher, FAILOVER), "the failover has begun", PATIENCE)
        wait_for(watcher_has_switched(watcher), "clients are sent to the new primary", PATIENCE)
        broken.unlink()
        assert_it_ends(watcher, run_of(watcher, FAILOVER))
        assert begun(watcher) == [RESTART, FAILOVER]
        ends = [event["outcome"] for event in watcher.machine.events("incident-finished")]
        assert ends[0] == "failed"
        # A row each 10 ms, and a standby that is milliseconds behind, on a machine that may be busy.
        assert_taken_over(site, clients, may_lose=50)
        assert max(longest_gap(client.rows(), struck) for client in clients) < RTO_SECONDS


def watcher_has_switched(watcher: Watcher) -> Callable[[], bool]:
    """Whether clients were sent to the new primary; the run before has ended without."""
    title = "Send clients to the new primary"
    return lambda: any(
        event["step"] == title and event["outcome"] == "succeeded" for event in watcher.machine.events("step-finished")
    )
