"""The standby that is to be promoted dies: before it was told the next one is promoted, afterwards nobody is.

The primary was shut down, so that both standbys have all of it.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.failover_site import Client, assert_one_writer_at_a_time
from tests.postgres_lab import lab
from tests.postgres_pair import Pair, lost, pair
from tests.run_ends import BY_HAND, FOLLOW, REJOIN, assert_it_ends, assert_it_fails, is_switched_by, run_of
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
OLD, BEST, NEXT = "orders-1", "orders-2", "orders-3"
FAILOVER = "orders-failover"
FENCE = "Make sure that the old primary accepts no write"


@pytest.fixture
def orders(postgres_programs: Path, tmp_path: Path, haproxy: Path) -> Iterator[Pair]:
    with lab(postgres_programs) as laboratory, pair(laboratory, tmp_path, servers=3) as made:
        made.start_proxy(haproxy)
        yield made


def begins(watcher: Watcher, step: str) -> None:
    started = watcher.machine.events
    wait_for(lambda: any(each["step"] == step for each in started("step-started")), f"it begins: {step}", PATIENCE)


def hold_up(orders: Pair, program: Path) -> Path:
    """Have a program wait as long as a file is there."""
    mark = orders.lab.folder / f"{program.name}-waits"
    mark.touch()
    first, _, rest = program.read_text().partition("\n")
    program.write_text(f"{first}\nwhile [ -e {mark} ]; do sleep 0.1; done\n{rest}")
    return mark


def assert_all_is_at(orders: Pair, name: str, clients: tuple[Client, ...]) -> None:
    for client in clients:
        client.writes_at(orders.host(name).address, PATIENCE)
    told = [client.stop() for client in clients]
    assert_one_writer_at_a_time(*told)
    assert [lost(rows, orders.servers[name]) for rows in told] == [[] for _ in clients]


def left_to_people(standby: str) -> dict[str, str]:
    """What the runbook cannot do, of the old primary and of the standby that has died."""
    return {**BY_HAND, FOLLOW: f"drd.yaml does not say where the data of {standby} lies"}


def test_a_standby_that_dies_before_it_was_told_to_lead_makes_room_for_the_next(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=False)
    clients = orders.start_clients()
    mark = hold_up(orders, watcher.machine.folder / f"switch-off-{OLD}")
    orders.servers[OLD].stop()
    begins(watcher, FENCE)
    best = watcher.machine.events("incident-started")[-1]["variables"]["best_standby"]
    [other] = {BEST, NEXT} - {best}
    orders.host(best).lose_power()
    mark.unlink()
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    assert_all_is_at(orders, other, clients)
    assert_it_ends(watcher, run_of(watcher, FAILOVER), without=left_to_people(best))
    assert orders.survivor() is orders.servers[other]


def test_a_standby_that_dies_after_it_was_told_to_lead_is_waited_for_until_a_person_decides(
    orders: Pair, watched: Callable[..., Watcher]
) -> None:
    watcher = watched(is_synchronous=False)
    clients = orders.start_clients()
    restore = orders.lab.folder / "restore"
    restore.write_text("#!/bin/sh\nexit 1\n")
    restore.chmod(0o755)
    mark = hold_up(orders, restore)
    best = orders.servers[BEST]
    best.configure({"restore_command": str(restore)})
    best.reload()
    wait_for(lambda: best.value("SHOW restore_command") == str(restore), "the setting is in force", PATIENCE)
    orders.servers[OLD].stop()
    ordered: Callable[[], list[Any]] = lambda: watcher.machine.events("step-ordered")  # noqa: E731
    wait_for(ordered, "it is told to lead", PATIENCE)
    assert BEST in ordered()[-1]["facts"].values()
    orders.host(BEST).lose_power()
    told = f"{BEST} does not answer any more, and this run has told it to take over"
    assert_it_fails(watcher, run_of(watcher, FAILOVER), told)
    assert orders.servers[NEXT].value("SELECT pg_is_in_recovery()")
    assert len(watcher.began()) == 1

    mark.unlink()
    words = ("--reason", "go on", "--confirm", FAILOVER, "--set", f"primary={OLD}")
    refused = watcher.machine.drd("runbook", "start", FAILOVER, *words).done(5).stderr
    assert "has told orders-2 to take over, which may do so yet" in refused
    assert "--set primary=orders-2" in refused
    watcher.begin(FAILOVER, BEST)  # it is fenced first, by its power
    run = wait_for(lambda: watcher.began()[1:], "the run has begun", PATIENCE)[0]
    wait_for(lambda: is_switched_by(watcher, run), "clients are sent to the new primary", PATIENCE)
    assert_all_is_at(orders, NEXT, clients)
    by_hand = {
        REJOIN: f"drd.yaml does not say where the data of {BEST} lies",
        FOLLOW: "drd.yaml does not say where the data of orders-1 lies",
    }
    assert_it_ends(watcher, run, without=by_hand)
    assert orders.survivor() is orders.servers[NEXT]
