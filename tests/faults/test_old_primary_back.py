"""The old primary comes back after another one took over, while clients still list it first.

Its unit has the drop-in that is shipped. Clean, crashed or with log that nobody else has: it acknowledges no write any
more, never leads, and is brought back as a standby with what clients lost of its log listed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.failover_site import NODES, Client, assert_one_writer_at_a_time, now
from tests.pair_shells import PairShells
from tests.postgres_lab import Cluster
from tests.postgres_pair import Pair, lost
from tests.run_ends import REJOIN, assert_it_ends
from tests.stranded_log import listed
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
OLD, NEW = NODES
UNANSWERED = (
    "SELECT backend_xid::text::bigint FROM pg_stat_activity"
    " WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT INTO written%'"
)
"""The transactions of clients that wait for the standby's word."""


@dataclass
class Site:
    """The pair, the shells of its hosts, and drd."""

    orders: Pair
    shells: PairShells
    watcher: Watcher


@pytest.fixture
def site(machine: Machine, orders: Pair, tmp_path: Path) -> Callable[..., Site]:
    def start(*, is_synchronous: bool) -> Site:
        orders.start(is_synchronous=is_synchronous)
        shells = PairShells(orders, tmp_path / "shells")
        watcher = Watcher(machine, orders, shells=shells)
        watcher.holds_on_before(REJOIN)
        watcher.start()
        return Site(orders, shells, watcher)

    return start


def shut_down_by_somebody(site: Site, clients: tuple[Client, Client]) -> set[int]:
    """In order, so that nothing of its log is missing elsewhere; drd fences it by masking its unit."""
    assert site.shells.systemctl(OLD, "stop") == 0
    return set()


def write_what_is_not_confirmed_and_lose_power(site: Site, clients: tuple[Client, Client]) -> set[int]:
    """A transaction that begins after the cut is in its log alone, and nobody is told that it is committed."""
    old = site.orders.servers[OLD]
    site.orders.host(OLD).cut_from(site.orders.host(NEW))
    wait_for(lambda: len(old.rows(UNANSWERED)) == len(clients), "both clients wait for the standby", PATIENCE)
    before = {row[0] for row in old.rows(UNANSWERED)}
    late = site.orders.start_client(site.orders.directly(OLD), 3_000_000, is_heard=False)
    wait_for(lambda: len(old.rows(UNANSWERED)) > len(before), "one more waits for it", PATIENCE)
    alone = {row[0] for row in old.rows(UNANSWERED)} - before
    site.shells.power_off(OLD)
    assert late.stop() == []
    return alone


def write_on_alone_and_lose_power(site: Site, clients: tuple[Client, Client]) -> set[int]:
    """What is written after the cut no other server ever gets, and clients are told that it is committed."""
    site.orders.host(OLD).cut_from(site.orders.host(NEW))
    before = [len(client.rows()) for client in clients]
    for client, rows in zip(clients, before, strict=True):
        wait_for(lambda client=client, rows=rows: len(client.rows()) > rows + 10, "it writes on", PATIENCE)
    alone = {row.transaction for client, rows in zip(clients, before, strict=True) for row in client.rows()[rows + 1 :]}
    site.shells.power_off(OLD)
    return alone


@pytest.mark.parametrize(
    ("end", "is_synchronous", "rejoined_by"),
    [
        (shut_down_by_somebody, True, "following"),
        (write_what_is_not_confirmed_and_lose_power, True, "rewind"),
        (write_on_alone_and_lose_power, False, "rewind"),
    ],
)
def test_an_old_primary_that_comes_back_never_leads_and_is_made_a_standby(
    site: Callable[..., Site],
    end: Callable[[Site, tuple[Client, Client]], set[int]],
    is_synchronous: bool,
    rejoined_by: str,
) -> None:
    here = site(is_synchronous=is_synchronous)
    orders, watcher = here.orders, here.watcher
    old, new = orders.servers[OLD], orders.servers[NEW]
    clients = orders.start_clients()
    alone = end(here, clients)
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    for client in clients:
        client.writes_at(orders.host(NEW).address, PATIENCE)

    is_masked = end is shut_down_by_somebody
    here.shells.power_off(OLD)
    assert here.shells.power_on(OLD) == (1 if is_masked else 0)
    if not is_masked:
        assert old.value("SELECT pg_is_in_recovery()")
    since = now()
    for client in clients:
        client.writes_again(since, PATIENCE)

    watcher.go_on()
    [run] = watcher.began()
    assert_it_ends(watcher, run)
    [told] = [each["facts"] for each in watcher.machine.events("step-finished") if "rejoined_by" in each["facts"]]
    assert told["rejoined_by"] == rejoined_by
    rows = [client.stop() for client in clients]
    missing = {number for each in rows for number in lost(each, new)}
    gone = {row.transaction for each in rows for row in each if row.id in missing}
    assert_one_writer_at_a_time(*rows)
    assert bool(gone) is (not is_synchronous)
    # Each client may have had one more in flight, and drd writes its heartbeat.
    on_the_list = listed(watcher.machine.state / "stranded" / run / OLD) if rejoined_by == "rewind" else set()
    assert gone | alone <= on_the_list
    assert len(on_the_list) == int(told["lost_transactions"])
    assert (old.value("SELECT pg_is_in_recovery()"), new.value("SELECT pg_is_in_recovery()")) == (True, False)
    wait_for(lambda: ids(old) == ids(new), "it has what the new primary has", PATIENCE)


def test_an_old_primary_without_the_drop_in_confirms_nothing_where_commits_wait_for_the_standby(
    site: Callable[..., Site],
) -> None:
    here = site(is_synchronous=True)
    orders, watcher = here.orders, here.watcher
    client = orders.start_client(orders.proxied)
    here.shells.power_off(OLD)
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    client.writes_at(orders.host(NEW).address, PATIENCE)

    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    (orders.servers[OLD].data / "drd-may-lead").write_text(boot)  # as where no drop-in is installed: it leads by itself
    assert here.shells.power_on(OLD) == 0
    wait_for(lambda: watcher.verdicts()[NEW] == "two primaries", "it is told that there are two", PATIENCE)
    late = orders.start_client(orders.directly(OLD), 3_000_000, is_heard=False)
    asks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    wait_for(lambda: orders.servers[OLD].value(asks), "it waits for an answer that does not come", PATIENCE)
    since = now()
    client.writes_again(since, PATIENCE)
    assert late.stop() == []

    watcher.go_on()
    [run] = watcher.began()
    assert_it_ends(watcher, run, without={REJOIN: f"{OLD} answers as a primary itself"})
    rows = client.stop()
    assert_one_writer_at_a_time(rows)
    assert lost(rows, orders.servers[NEW]) == []


def ids(server: Cluster) -> list[int]:
    return [row[0] for row in server.rows("SELECT id FROM written ORDER BY id")]
