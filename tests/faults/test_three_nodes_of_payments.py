"""A primary with two synchronous standbys goes silent: one takes over, and the other one follows and is waited for."""

import os
from pathlib import Path

import pytest

from drd.core.postgres.synchronous import quorum_of
from drd.core.probing import Quorum
from tests.network_shells import NetworkShells
from tests.postgres_lab import Lab
from tests.postgres_pair import lost, pair
from tests.run_ends import FOLLOW, PATIENCE, assert_it_ends, run_of
from tests.shipped_runs import assert_the_same, stop
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
AWAITED = "SHOW synchronous_standby_names"
SLOTS = "SELECT slot_name FROM pg_replication_slots"
NOBODY = Quorum(0, ())


def test_the_other_standby_of_a_synchronous_primary_follows_the_new_one_and_is_waited_for(
    laboratory: Lab, tmp_path: Path, haproxy: Path, machine: Machine
) -> None:
    with pair(laboratory, tmp_path, "payments", servers=3) as site:
        site.start_proxy(haproxy)
        site.start(is_synchronous=True)
        old, *others = (site.servers[name] for name in site.nodes)
        old.configure({"synchronous_standby_names": "ANY 1 (payments_2, payments_3)"})
        old.reload()
        shells = NetworkShells(site)
        watcher = Watcher(machine, site, "payments", shells=shells)
        watcher.start()
        clients = site.start_clients()
        site.host(old.name).silence()
        run = wait_for(lambda: run_of(watcher, "payments-failover"), "the run has begun", PATIENCE)
        wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
        site.host(old.name).heal()  # it leads still when the other standby is brought over, and nobody hears it
        wait_for(lambda: watcher.is_done(FOLLOW), "the other standby follows", PATIENCE)
        [told_to] = [each["facts"]["ordered_to_lead"] for each in machine.events("step-ordered")]
        new = site.servers[told_to]
        [other] = {each.name for each in others} - {new.name}
        assert other.replace("-", "_") in (quorum_of(new.value(AWAITED)) or NOBODY).named
        assert_it_ends(watcher, run)
        for client in clients:
            client.writes_at(site.host(new.name).address, PATIENCE)
        told = stop(clients)
        assert [lost(rows, new) for rows in told] == [[], []]
        members = sorted({each.name.replace("-", "_") for each in (old, *others)} - {new.name.replace("-", "_")})
        assert quorum_of(new.value(AWAITED)) == quorum_of(f"ANY 1 ({', '.join(members)})")
        for each in (each for each in (old, *others) if each is not new):
            assert_the_same(each, new)
        assert {name for [name] in new.rows(SLOTS)} == {*members, "drd_payments"}
        shells.close()
        shells.assert_only_what_grants_allow()
