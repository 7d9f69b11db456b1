"""drd is killed -9 after each journaled step of the shipped runs, and the next one goes on to the end of the run.

A failover of payments, the rejoin after one of orders (its other steps: test_daemon_killed_in_failover.py), a planned
switchover, and a restart in place. Nobody is promoted twice, nothing that was acknowledged is missing, and the old
primary follows the new one, or leads on where it was started again.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.failover_site import Client, now
from tests.network_shells import kill_postmaster
from tests.postgres_pair import lost
from tests.run_ends import PATIENCE, REJOIN, SWITCH, assert_it_ends, run_of
from tests.shipped_runs import assert_the_same, stop, wait_until_well
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
DYING = Path(__file__).parents[1] / "dying_daemon.py"
VERIFY = "Write and read one row as a client does"
START = "Start the server in its place"
BACKUP = "step started.*Take a fresh full backup"
LED = "step ordered"
"""Who is told to lead is on record, and was not told yet."""


def moments(*titles: str) -> tuple[str, ...]:
    """As drd says it when the begin and the end of these steps are on record."""
    return tuple(f"step {what}.*{title}" for title in titles for what in ("started", "finished"))


def checked(title: str) -> tuple[str, str]:
    """Killed in the midst of a step, and once more when the next one has asked whether it is done."""
    return f"step started.*{title}", f"step checked.*{title}"


FENCE = "Make sure that the old primary confirms no payment"
PROMOTE = "Promote the standby that has the most data"
HAND_OVER = "Hand the cluster over to the standby that has the most data"
FAILOVER = (
    "incident started",
    *moments("Confirm that the primary is gone, not just slow", "Tell people", FENCE, PROMOTE, SWITCH, VERIFY),
    *moments("Stop the old primary for good", REJOIN),
    LED,
    BACKUP,
    *(checked(title) for title in (FENCE, PROMOTE, SWITCH, REJOIN)),
    (LED, f"step checked.*{PROMOTE}"),
)
SWITCHOVER = (
    "incident started",
    *moments("Tell people", HAND_OVER, SWITCH, VERIFY, REJOIN),
    LED,
    BACKUP,
    *(checked(title) for title in (HAND_OVER, SWITCH, REJOIN)),
    (LED, f"step checked.*{HAND_OVER}"),
)
REJOINED = (*moments(REJOIN), BACKUP, checked(REJOIN))
RESTART = ("incident started", *moments("Tell people", START, VERIFY), checked(START))


def named(moment: str | tuple[str, ...]) -> str:
    return moment if isinstance(moment, str) else ", then ".join(moment)


@pytest.mark.parametrize("moment", FAILOVER, ids=named)
def test_a_failover_of_payments_goes_on_wherever_drd_was_killed(
    machine: Machine, shipped: Callable[[str], Any], moment: str | tuple[str, ...]
) -> None:
    restart = dying_at(machine, moment)
    with shipped("payments") as watcher:
        old, new = (watcher.pair.host(name) for name in watcher.pair.nodes)
        clients = watcher.pair.start_clients()
        old.silence()

        def is_over_after_the_silence() -> bool:
            if SWITCH in done(watcher):
                old.heal()
            return restart()

        wait_for(is_over_after_the_silence, f"drd dies at: {named(moment)}", PATIENCE)
        wait_for(lambda: SWITCH in done(watcher), "clients are sent to the new primary", PATIENCE)
        old.heal()
        assert_brought_to_its_end(watcher, "payments-failover", clients)
        for client in clients:
            client.writes_at(new.address, PATIENCE)
        if moment != "incident started":  # what was seen of the primary is on record after that
            [measured] = wait_for(lambda: machine.events("loss-measured"), "what was lost is measured", PATIENCE)
            assert measured["lost_bytes"] is not None


@pytest.mark.parametrize("moment", SWITCHOVER, ids=named)
def test_a_planned_switchover_goes_on_wherever_drd_was_killed(
    machine: Machine, shipped: Callable[[str], Any], moment: str | tuple[str, ...]
) -> None:
    restart = dying_at(machine, moment)
    with shipped("orders") as watcher:
        old, _ = watcher.pair.nodes
        clients = watcher.pair.start_clients()
        words = ("--reason", "told to", "--confirm", "orders-switchover", "--set", f"primary={old}")
        machine.command("runbook", "start", "orders-switchover", *words)
        wait_for(restart, f"drd dies at: {named(moment)}", PATIENCE)
        assert_brought_to_its_end(watcher, "orders-switchover", clients)


@pytest.mark.parametrize("moment", REJOINED, ids=named)
def test_an_old_primary_of_orders_is_brought_back_wherever_drd_was_killed(
    machine: Machine, shipped: Callable[[str], Any], moment: str | tuple[str, ...]
) -> None:
    restart = dying_at(machine, moment)
    with shipped("orders") as watcher:
        old, new = watcher.pair.nodes
        watcher.pair.synchronise(old, new)  # so that nothing may be lost
        clients = watcher.pair.start_clients()
        kill_postmaster(watcher.pair.servers[old])
        wait_for(restart, f"drd dies at: {named(moment)}", PATIENCE)
        assert_brought_to_its_end(watcher, "orders-failover", clients)


@pytest.mark.parametrize("moment", RESTART, ids=named)
def test_a_restart_in_place_goes_on_wherever_drd_was_killed_and_no_standby_takes_over(
    machine: Machine, shipped: Callable[[str], Any], moment: str | tuple[str, ...]
) -> None:
    restart = dying_at(machine, moment)
    with shipped("orders") as watcher:
        old, new = (watcher.pair.servers[name] for name in watcher.pair.nodes)
        watcher.starts_in_place_first()
        machine.drd("reload").done()
        clients = watcher.pair.start_clients()
        kill_postmaster(old)
        wait_for(restart, f"drd dies at: {named(moment)}", PATIENCE)
        run = str(wait_for(lambda: run_of(watcher, "orders-restart"), "the run is on record", PATIENCE))
        assert_it_ends(watcher, run)
        since = now()
        for client in clients:
            client.writes_again(since, PATIENCE)
        wait_until_well(watcher)
        assert (watcher.began(), watcher.acted()) == ([run], [])
        told = stop(clients)
        assert {row.server for rows in told for row in rows} == {old.address}
        assert [lost(rows, old) for rows in told] == [[], []]
        assert_the_same(old, new)
        assert new.value("SELECT pg_is_in_recovery()")
        machine.drd("journal", "verify").done()


def dying_at(machine: Machine, moment: str | tuple[str, ...]) -> Callable[[], bool]:
    """Have drd kill itself at each of these moments in turn.

    Returns what starts it anew where it has died, and says whether the last time has been.
    """
    left = [moment] if isinstance(moment, str) else [*moment]
    program = machine.program
    machine.program = (sys.executable, str(DYING), left.pop(0))

    def restart() -> bool:
        assert machine.daemon is not None
        if machine.daemon.is_alive:
            ended = machine.events("incident-finished")
            assert not ended, f"the run has ended before drd was killed: {ended}"
            return False
        was_last = not left
        machine.program = program if was_last else (sys.executable, str(DYING), left.pop(0))
        machine.launch() if not was_last else machine.start()
        return was_last

    return restart


def done(watcher: Watcher) -> set[str]:
    """The steps that have succeeded, or were found to be done."""
    events = watcher.machine.events
    ended = {event["step"] for event in events("step-finished") if event["outcome"] == "succeeded"}
    return ended | {event["step"] for event in events("step-checked") if event["answer"] == "done"}


def assert_brought_to_its_end(watcher: Watcher, runbook: str, clients: tuple[Client, ...]) -> None:
    """The one run that was begun is over, with nothing lost, and both nodes well."""
    site = watcher.pair
    old, new = (site.servers[name] for name in site.nodes)
    run = str(wait_for(lambda: run_of(watcher, runbook), "the run is on record", PATIENCE))
    assert_it_ends(watcher, run)
    for client in clients:
        client.writes_at(new.address, PATIENCE)
    wait_until_well(watcher)
    told = stop(clients)
    assert [lost(rows, new) for rows in told] == [[], []]
    assert len([each for each in watcher.machine.events("incident-started") if each["runbook"] == runbook]) == 1
    [[walfile]] = new.rows("SELECT pg_walfile_name(pg_current_wal_lsn())")
    assert walfile.startswith("00000002"), "it was promoted once"
    assert_the_same(new, old)
    watcher.machine.drd("journal", "verify").done()
