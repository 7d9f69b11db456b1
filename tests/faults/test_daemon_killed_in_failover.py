"""drd is killed -9 after each journaled step of the shipped runbook, in the middle of a real failover.

The next one goes on: nothing is promoted twice, no row went to both servers, and none that was acknowledged is missing.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.failover_site import NODES
from tests.postgres_pair import Pair, assert_taken_over
from tests.run_ends import BY_HAND, assert_it_ends
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
OLD, _ = NODES
DYING = Path(__file__).parents[1] / "dying_daemon.py"
STEPS = (
    "Confirm that the primary is gone, not just slow",
    "Tell people",
    "Make sure that the old primary accepts no write",
    "Promote the standby that has the most data",
    "Send clients to the new primary",
    "Write and read one row as a client does",
)
MOMENTS = ("incident started", *(f"step {what}.*{title}" for title in STEPS for what in ("started", "finished")))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_failover_in_which_drd_is_killed_after_any_step_of_its_journal_is_brought_to_its_end(
    machine: Machine, orders: Pair, watched: Callable[..., Watcher], moment: str
) -> None:
    program, machine.program = machine.program, (sys.executable, str(DYING), moment)
    watcher = watched(is_synchronous=True)
    clients = orders.start_clients()
    dying = machine.daemon
    assert dying is not None
    orders.host(OLD).silence()
    wait_for(lambda: not dying.is_alive, f"drd dies at: {moment}", PATIENCE)
    machine.program = program
    machine.start()
    wait_for(lambda: watcher.is_done(STEPS[-1]), "the service is seen to answer", PATIENCE)
    assert_taken_over(orders, clients, may_lose=0)
    [run] = watcher.began()
    assert_it_ends(watcher, run, without=BY_HAND)
    assert watcher.began() == [run]
    assert orders.host(OLD).pids() == []
    [[walfile]] = orders.survivor().rows("SELECT pg_walfile_name(pg_current_wal_lsn())")
    assert walfile.startswith("00000002"), "it was promoted once"
    machine.drd("journal", "verify").done()
