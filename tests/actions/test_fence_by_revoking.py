"""A primary whose standbys are cut off confirms no commit, on real servers; and is given back when it lives."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from drd.actions.fence import Fence, Rung
from drd.actions.postgres_promote import PostgresPromote
from drd.clients.postgres import Dsn
from drd.clients.postgres.watched import WatchedServer
from drd.core.errors import PermanentError
from drd.core.health import ClusterView, Hysteresis, NodeView
from drd.core.probing import Failure, ProbeResult
from drd.core.runbook_step import Answer
from drd.core.secrets import SecretReference
from drd.ports.action import Situation
from drd.ports.machines import Machine
from tests.actions.conftest import FakeServices
from tests.postgres_lab import Cluster, Lab, children
from tests.waiting import until

FENCE = Fence(node="primary", by=(Rung.REVOKE,))
PATIENCE = 90


@pytest.fixture
def pair(postgres_lab: Lab) -> Iterator[tuple[Cluster, Cluster]]:
    primary = postgres_lab.new("one", segment_mib=1)
    primary.execute("CREATE TABLE orders (id int)")
    standby = postgres_lab.standby(primary, "orders_2")
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'orders_2'")
    primary.reload()
    yield primary, standby
    if primary.is_running:
        send(primary, signal.SIGCONT)
        primary.kill()


def send(cluster: Cluster, number: int) -> None:
    """A signal to all processes of a server, the postmaster first, so that it starts no more of them."""
    os.kill(cluster.pid, number)
    for pid in children(cluster.pid):
        with suppress(ProcessLookupError):  # one may end as soon as the postmaster goes on
            os.kill(pid, number)


def counts(primary: Cluster) -> bool:
    return bool(primary.rows("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))


async def the_view(at: Situation, clusters: dict[str, Cluster]) -> ClusterView:
    """What drd's own probe sees, at the moment at which it saw the primary."""
    nodes = []
    for name, cluster in clusters.items():
        server = WatchedServer(Dsn.parse(cluster.dsn()), "orders", at.world.clock, timedelta(seconds=30))
        nodes.append(NodeView(name).after(await server.look(), Hysteresis()))
        await server.close()
    nodes = [replace(node, seen_at=nodes[0].seen_at) for node in nodes]
    return ClusterView(nodes[0].seen_at, tuple(nodes), primary="orders-1")


@pytest.mark.slow
async def test_a_silent_primary_is_fenced_by_cutting_its_standby_off_and_given_back_when_it_wakes(
    pair: tuple[Cluster, Cluster], at: Situation, services: FakeServices, tmp_path: Path
) -> None:
    primary, standby = pair
    machines = {}
    for name, cluster in (("orders-1", primary), ("orders-2", standby)):
        secret = tmp_path / name
        secret.write_bytes(cluster.dsn())
        secret.chmod(0o600)
        machines[name] = Machine(name, "127.0.0.1", dsn=SecretReference(file=secret))
    here = replace(at, machines=machines, members=tuple(machines), variables={"primary": "orders-1"})
    await until(lambda: counts(primary), "the standby counts", PATIENCE)
    with pytest.raises(PermanentError, match="the nodes of the policy are not watched"):
        await FENCE.apply(here)
    services.seen = await the_view(at, {"orders-1": primary, "orders-2": standby})
    assert await FENCE.rehearse(here) == {}
    with pytest.raises(PermanentError, match="orders-1 answers, so its standbys receive again"):
        await FENCE.apply(here)
    services.seen = replace(services.seen, at=services.seen.at + 60)
    with pytest.raises(PermanentError, match="the last look at the primary is 60 s old"):
        await FENCE.apply(here)
    services.seen = replace(services.seen, at=services.seen.at - 60)

    # A probe has just waited for it in vain: the fence does not wait once more, and the promotion does.
    silence = ProbeResult("postgres", services.seen.at, 0.5, Failure.TIMEOUT, "no answer within 0.5 s")
    silent = services.seen.node("orders-1").after(silence, Hysteresis())
    view, services.seen = services.seen, replace(services.seen, nodes=(silent, services.seen.node("orders-2")))
    facts = await FENCE.apply(here)
    assert standby.value("SHOW primary_slot_name") == "drd_cut_orders_2"
    fenced = replace(here, variables={**here.variables, **facts}, done=frozenset({"fence"}))
    with pytest.raises(PermanentError, match="orders-1 answers again, so its standbys receive again"):
        await PostgresPromote(node="best_standby").apply(fenced)
    services.seen = view

    send(primary, signal.SIGSTOP)
    facts = await FENCE.apply(here)
    assert facts == {"fenced": "orders-1", "fenced_by": "revoke", "revoked": "orders-2"}
    fenced = replace(here, variables={**here.variables, **facts}, done=frozenset({"fence"}))
    assert standby.value("SHOW primary_slot_name") == "drd_cut_orders_2"
    assert await FENCE.is_done(fenced) is Answer.DONE
    assert await FENCE.found(fenced) == {"fenced": "orders-1", "fenced_by": "revoke"}
    assert await FENCE.is_done(here) is Answer.UNKNOWN  # of what was broken off nobody can tell

    # It wakes, as a machine that was paused: a client writes, and gets no confirmation.
    send(primary, signal.SIGCONT)
    confirmed = threading.Event()

    def write() -> None:
        with psycopg.connect(primary.dsn().decode(), autocommit=True) as connection:
            connection.execute("INSERT INTO orders VALUES (1)")
        confirmed.set()

    client = threading.Thread(target=write)
    client.start()
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    await until(lambda: bool(primary.rows(waits)), "the commit waits", PATIENCE)
    assert not confirmed.is_set()
    found = (await the_view(at, {"orders-1": primary, "orders-2": standby})).node("orders-2").seen
    assert found is not None
    assert found.is_cut_off
    with pytest.raises(PermanentError, match="orders-1 was fenced by revoke, and leads again since"):
        await FENCE.apply(fenced)  # once more, as after a long time
    told = replace(fenced, variables={**fenced.variables, "ordered_to_lead": "orders-2"})
    with pytest.raises(PermanentError, match="answers again, and orders-2 has been told to take over already"):
        await PostgresPromote(node="best_standby").apply(told)
    for again in (FENCE.undo, FENCE.apply):
        with pytest.raises(PermanentError, match=r"told to take over already|leads again since"):
            await again(told)
    assert standby.value("SHOW primary_slot_name") == "drd_cut_orders_2"
    assert not confirmed.is_set()
    with pytest.raises(PermanentError, match="orders-1 answers again, so its standbys receive again"):
        await PostgresPromote(node="best_standby").apply(fenced)
    await until(confirmed.is_set, "the commit is confirmed", PATIENCE)
    assert await FENCE.is_done(fenced) is Answer.NOT_DONE
    client.join()
    assert standby.value("SELECT pg_is_in_recovery()")

    # It goes for good: fenced the same way, and this time the standby takes over with all that was confirmed.
    await until(lambda: counts(primary), "the standby counts", PATIENCE)
    services.seen = await the_view(at, {"orders-1": primary, "orders-2": standby})
    send(primary, signal.SIGSTOP)
    await FENCE.apply(here)
    standby.rows("ALTER SYSTEM SET primary_slot_name = 'orders_2'")  # somebody has given it back meanwhile
    standby.reload()
    await until(lambda: standby.value("SHOW primary_slot_name") == "orders_2", "it is in force", PATIENCE)
    with pytest.raises(PermanentError, match="orders-2 is cut off no longer"):
        await PostgresPromote(node="best_standby").apply(fenced)
    await FENCE.apply(here)
    services.seen = replace(services.seen, at=services.seen.at + 60)
    with pytest.raises(PermanentError, match="the last look at the primary is 60 s old"):
        await FENCE.apply(here)  # as one that is tried again
    assert standby.value("SHOW primary_slot_name") == "orders_2"
    services.seen = replace(services.seen, at=services.seen.at - 60)
    await FENCE.apply(here)
    assert (await PostgresPromote(node="best_standby").apply(fenced))["new_primary"] == "orders-2"
    assert standby.rows("SELECT id FROM orders") == [(1,)]
    assert standby.value("SHOW primary_slot_name") == "orders_2"
    standby.execute("INSERT INTO orders VALUES (2)")

    # It wakes once more, as a primary. Now that another one leads it is stopped for good, also a second time.
    send(primary, signal.SIGCONT)
    assert not primary.value("SELECT pg_is_in_recovery()")
    machines["orders-1"] = replace(machines["orders-1"], power=("true",))
    over = replace(fenced, machines=machines, variables={**fenced.variables, "new_primary": "orders-2"})
    for_good = Fence(node="primary", by=(Rung.SSH, Rung.POWER))
    facts = await for_good.apply(over)
    assert facts == {"fenced": "orders-1", "fenced_by": "power"}
    assert await for_good.apply(replace(over, variables={**over.variables, **facts})) == facts
