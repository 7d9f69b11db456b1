"""A primary is lost while its standby lags, is paused, hangs, or dies in the middle of its promotion."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.failover_site import NODES
from tests.postgres_pair import Pair, assert_taken_over, lost
from tests.run_ends import BY_HAND, assert_it_ends, assert_it_fails, is_switched_by, run_of
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
OLD, NEW = NODES
FAILOVER = "orders-failover"
MEBIBYTE = 2**20
TOO_MUCH = 24 * MEBIBYTE
"""Of log, where the runbook allows 16 MiB."""


def kill(orders: Pair) -> None:
    os.kill(orders.servers[OLD].pid, signal.SIGKILL)


def held_by(watcher: Watcher, guard: str) -> bool:
    """Whether the last word on record is that this guard keeps the failover from beginning."""
    told = watcher.machine.events("failover-held", watcher.policy)
    return guard in told[-1]["guards"] if told else False


def assert_nothing_was_done(watcher: Watcher, orders: Pair) -> None:
    assert watcher.began() == []
    assert orders.servers[NEW].value("SELECT pg_is_in_recovery()")


def test_a_standby_that_lacks_too_much_is_not_promoted_and_the_old_primary_has_all_when_it_is_back(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=False)
    clients = orders.start_clients()
    orders.host(OLD).cut_from(orders.host(NEW))
    for _ in range(TOO_MUCH // MEBIBYTE):
        orders.servers[OLD].execute("SELECT pg_logical_emit_message(false, 'lag', repeat('x', 1024 * 1024))")
    wait_for(lambda: "held back by lag" in watcher.explained(), "drd says beforehand what would be lost", PATIENCE)
    orders.servers[OLD].kill()
    wait_for(lambda: held_by(watcher, "lag"), "it is told why nothing is done", PATIENCE)
    assert "MiB are allowed" in watcher.explained()
    assert_nothing_was_done(watcher, orders)

    orders.host(OLD).heal()
    orders.servers[OLD].start()
    wait_for(lambda: set(watcher.verdicts().values()) == {"well"}, "both are well again", PATIENCE)
    for client in clients:
        client.writes_at(orders.host(OLD).address, PATIENCE)
        assert not lost(client.stop(), orders.servers[OLD])
    assert_nothing_was_done(watcher, orders)


def test_a_standby_whose_replay_is_paused_waits_for_whoever_paused_it(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True)
    clients = orders.start_clients()
    orders.servers[NEW].execute("SELECT pg_wal_replay_pause()")
    kill(orders)
    wait_for(lambda: held_by(watcher, "candidate"), "it is told why nothing is done", PATIENCE)
    assert "no standby can be promoted: orders-2: its replay is paused" in watcher.explained()
    assert_nothing_was_done(watcher, orders)

    orders.servers[NEW].execute("SELECT pg_wal_replay_resume()")
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    assert_taken_over(orders, clients, may_lose=0)
    assert_it_ends(watcher, run_of(watcher, FAILOVER), without=BY_HAND)


def hold_up_restoring(orders: Pair, folder: Path) -> Path:
    """Give the standby a restore_command that hangs as long as a file is there."""
    mark = folder / "archive-is-away"
    mark.touch()
    command = folder / "restore"
    command.write_text(f"#!/bin/sh\nwhile [ -e {mark} ]; do sleep 0.1; done\nexit 1\n")
    command.chmod(0o755)
    standby = orders.servers[NEW]
    standby.configure({"restore_command": str(command)})
    standby.reload()
    wait_for(lambda: standby.value("SHOW restore_command") == str(command), "the setting is in force", PATIENCE)
    return mark


def promotion(watcher: Watcher, kind: str) -> list[dict[str, object]]:
    return [
        event for event in watcher.machine.events(kind, None) if str(event["step"]).startswith("Promote the standby")
    ]


def test_a_restore_command_that_hangs_is_told_beforehand_and_named_and_the_run_goes_on_when_it_ends(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True)
    clients = orders.start_clients()
    mark = hold_up_restoring(orders, orders.lab.folder)
    wait_for(lambda: "orders-2 may take longer: its restore_command" in watcher.explained(), "told before", PATIENCE)
    kill(orders)
    wait_for(lambda: promotion(watcher, "step-finished"), "a try of the promotion has an end", PATIENCE)
    assert "it waits for its restore_command" in str(promotion(watcher, "step-finished")[0]["message"])
    assert orders.servers[NEW].value("SELECT pg_is_in_recovery()")
    mark.unlink()
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    assert_taken_over(orders, clients, may_lose=0)
    assert_it_ends(watcher, run_of(watcher, FAILOVER), without=BY_HAND)


def test_a_standby_that_dies_while_it_is_promoted_leaves_no_second_primary_and_is_promoted_when_it_is_back(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=True)
    clients = orders.start_clients()
    mark = hold_up_restoring(orders, orders.lab.folder)
    kill(orders)
    wait_for(lambda: promotion(watcher, "step-ordered"), "the standby has been told to take over", PATIENCE)
    orders.host(NEW).lose_power()
    wait_for(lambda: promotion(watcher, "step-finished"), "the try has failed", PATIENCE)
    first = run_of(watcher, FAILOVER)
    assert_it_fails(watcher, first, "orders-2 does not answer any more, and this run has told it to take over")
    assert orders.host(OLD).pids() == []

    mark.unlink()
    orders.servers[NEW].kill()
    orders.servers[NEW].start()
    wait_for(lambda: watcher.verdicts()[NEW] == "well", "the standby is back", PATIENCE)
    wait_for(lambda: held_by(watcher, "tried before"), "it is told that a person is waited for", PATIENCE)
    watcher.begin(FAILOVER, OLD, fenced=NEW)  # it was started anew
    second = wait_for(lambda: watcher.began()[1:], "the run has begun", PATIENCE)[0]
    wait_for(lambda: is_switched_by(watcher, second), "clients are sent to the new primary", PATIENCE)
    assert_taken_over(orders, clients, may_lose=0)
    assert_it_ends(watcher, run_of(watcher, FAILOVER), without=BY_HAND)
