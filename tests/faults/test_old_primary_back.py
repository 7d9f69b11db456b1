"""The old primary comes back after another one took over, while clients still list it first.

Its unit has the drop-in that is shipped. Clean, crashed or with log that nobody else has: it acknowledges no write any
more, never leads, and is brought back as a standby with what clients lost of its log listed.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.failover_site import NODES, Client, assert_one_writer_at_a_time, now
from tests.pair_shells import PairShells
from tests.postgres_lab import Cluster
from tests.postgres_pair import Pair, lost
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
REJOIN = "orders-rejoin"
RUNBOOK = {
    "runbook": REJOIN,
    "policy": "orders",
    "disaster": "hardware",
    "activate_when": "the old primary's machine is back",
    "deactivate_when": "it follows the new one",
    "stages": [
        {
            "stage": "reconstitute",
            "owner": "dba-on-call",
            "deadline": "4h",
            "steps": [{"step": "Bring it back", "postgres_rejoin": {"node": "old_primary"}, "timeout": "2m"}],
        }
    ],
}


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
        (machine.folder / "runbooks" / f"{REJOIN}.yaml").write_text(json.dumps(RUNBOOK))
        watcher.start()
        return Site(orders, shells, watcher)

    return start


def shut_down_by_somebody(site: Site, clients: tuple[Client, Client]) -> None:
    """In order, so that nothing of its log is missing elsewhere; drd fences it by masking its unit."""
    assert site.shells.systemctl(OLD, "stop") == 0


def lose_power(site: Site, clients: tuple[Client, Client]) -> None:
    site.shells.power_off(OLD)


def write_on_alone_and_lose_power(site: Site, clients: tuple[Client, Client]) -> None:
    """What is written after the cut no other server ever gets."""
    site.orders.host(OLD).cut_from(site.orders.host(NEW))
    for client in clients:
        rows = len(client.rows())
        wait_for(lambda client=client, rows=rows: len(client.rows()) > rows + 10, "it writes on", PATIENCE)
    site.shells.power_off(OLD)


@pytest.mark.parametrize(
    ("end", "is_synchronous", "rejoined_by"),
    [
        (shut_down_by_somebody, True, "following"),
        (lose_power, True, "rewind"),
        (write_on_alone_and_lose_power, False, "rewind"),
    ],
)
def test_an_old_primary_that_comes_back_never_leads_and_is_made_a_standby(
    site: Callable[..., Site],
    end: Callable[[Site, tuple[Client, Client]], None],
    is_synchronous: bool,
    rejoined_by: str,
) -> None:
    here = site(is_synchronous=is_synchronous)
    orders, watcher = here.orders, here.watcher
    old, new = orders.servers[OLD], orders.servers[NEW]
    clients = orders.start_clients()
    end(here, clients)
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

    told = brought_back(watcher)
    assert told["rejoined_by"] in (rejoined_by, "following" if is_synchronous else rejoined_by)
    rows = [client.stop() for client in clients]
    missing = [number for each in rows for number in lost(each, new)]
    assert_one_writer_at_a_time(*rows)
    assert bool(missing) is (not is_synchronous)
    # Each client may have had one more in flight, and drd writes its heartbeat.
    assert int(told.get("lost_transactions", "0")) >= len(missing)
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
    assert_one_writer_at_a_time(client.stop())


def brought_back(watcher: Watcher) -> dict[str, Any]:
    """Have a person start the runbook that brings it back; what was found out as it came back.

    The failover's own run may have brought it back before: it tries to until it is over.
    """
    wait_for(watcher.is_over, "the failover's own run is over", PATIENCE)
    watcher.begin(REJOIN, NEW, old_primary=OLD)
    ended = wait_for(
        lambda: [each for each in watcher.machine.events("step-finished") if each["step"] == "Bring it back"],
        "it is back",
        PATIENCE,
    )
    assert ended[-1]["outcome"] == "succeeded", ended[-1]["message"]
    facts = [each["facts"] for each in watcher.machine.events("step-finished")]
    first: dict[str, Any] = next(each for each in facts if "rejoined_by" in each)
    return first


def ids(server: Cluster) -> list[int]:
    return [row[0] for row in server.rows("SELECT id FROM written ORDER BY id")]
