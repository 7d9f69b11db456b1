"""A real cluster is handed over while a client writes: nothing is lost, and writes go on at once."""

import itertools
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import pytest

from drd.actions.postgres_rejoin import PostgresRejoin
from drd.actions.postgres_switchover import PostgresSwitchover
from drd.clients.postgres_node import PostgresNode
from drd.core.errors import PermanentError
from drd.core.postgres.grants import Use, grants
from drd.core.runbook_step import Answer
from drd.ports.action import Situation
from tests.database_nodes import DatabaseNodes
from tests.postgres_lab import Cluster, Lab
from tests.waiting import until

SWITCH = PostgresSwitchover()
PATIENCE = 90


@dataclass
class Client:
    """Writes row after row to whichever server takes writes."""

    conninfo: str
    acknowledged: list[tuple[float, int]] = field(default_factory=list)
    ends: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        number = 0
        while not self.ends.is_set():
            try:
                with psycopg.connect(self.conninfo, autocommit=True, connect_timeout=2) as connection:
                    while not self.ends.is_set():
                        number += 1
                        connection.execute("INSERT INTO orders VALUES (%s)", (number,))
                        self.acknowledged.append((time.monotonic(), number))
                        time.sleep(0.005)  # the pace of a client, not a wait
            except psycopg.Error:
                time.sleep(0.005)

    @property
    def longest_gap(self) -> float:
        moments = [at for at, _ in self.acknowledged]
        return max(after - before for before, after in itertools.pairwise(moments))


def conninfo(*clusters: Cluster) -> str:
    hosts, ports = ",".join(str(each.sockets) for each in clusters), ",".join(str(each.port) for each in clusters)
    return f"host={hosts} port={ports} user=owner dbname=postgres target_session_attrs=read-write"


@pytest.mark.slow
async def test_a_cluster_is_handed_over_and_back_while_a_client_writes(
    postgres_lab: Lab, nodes: DatabaseNodes, at: Situation, tmp_path: Path
) -> None:
    one = postgres_lab.new("one", segment_mib=1)
    one.execute("CREATE TABLE orders (id int)")
    two = postgres_lab.standby(one, "orders_2")
    for statement in grants(Use("drd", "postgres", has_standbys=True, recovers=True)).sql:
        one.execute(statement.replace("…", "the-password"))  # drd may do what `drd grants` says, and nothing else
    machines = {
        name: nodes.add(name, cluster, cluster.dsn("drd", "the-password"))
        for name, cluster in (("orders-1", one), ("orders-2", two))
    }
    here = replace(
        at,
        machines=machines,
        members=tuple(machines),
        variables={"primary": "orders-1"},
        world=replace(at.world, stranded=tmp_path / "stranded"),
    )
    one.execute("ALTER SYSTEM SET synchronous_standby_names = 'orders_2'")
    one.reload()
    await until(lambda: one.rows("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"), "it counts", PATIENCE)

    may = "SELECT has_function_privilege('drd', 'pg_promote(boolean, integer)', 'EXECUTE')"
    one.execute("REVOKE EXECUTE ON FUNCTION pg_promote FROM drd")
    await until(lambda: not two.value(may), "the right is gone", PATIENCE)
    with pytest.raises(PermanentError, match="does not let drd promote it"):
        await SWITCH.apply(here)
    one.execute("GRANT EXECUTE ON FUNCTION pg_promote TO drd")
    await until(lambda: bool(two.value(may)), "the right is back", PATIENCE)
    assert one.is_running

    two.rows("SELECT pg_wal_replay_pause()")
    await until(lambda: two.value("SELECT pg_get_wal_replay_pause_state()") == "paused", "it is paused", PATIENCE)
    with pytest.raises(PermanentError, match="the replay of orders-2 is paused"):
        await SWITCH.apply(here)
    with pytest.raises(PermanentError, match="orders-1 is the primary already"):
        await PostgresSwitchover(to="orders-1").apply(here)
    two.rows("SELECT pg_wal_replay_resume()")
    assert await SWITCH.rehearse(here) == {}
    assert "systemctl mask --now orders-1" in (await SWITCH.preview(here)).commands[0]
    assert await SWITCH.is_done(here) is Answer.NOT_DONE
    assert one.is_running

    client = Client(conninfo(one, two))
    writer = threading.Thread(target=client.work)
    writer.start()
    try:
        await until(lambda: len(client.acknowledged) > 20, "it writes", PATIENCE)
        facts = await SWITCH.apply(here)
        after = len(client.acknowledged)
        await until(lambda: len(client.acknowledged) > after + 20, "it writes on", PATIENCE)
    finally:
        client.ends.set()
        writer.join()
    assert {name: facts[name] for name in ("new_primary", "old_primary", "fenced")} == {
        "new_primary": "orders-2",
        "old_primary": "orders-1",
        "fenced": "orders-1",
    }
    assert facts["note"].startswith("no other member is there")  # said, and not done in silence
    assert await SWITCH.is_done(here) is Answer.DONE
    written = {number for _, number in client.acknowledged}
    assert written <= {each for (each,) in two.rows("SELECT id FROM orders")}
    assert client.longest_gap < PATIENCE  # how long it is, bench measures

    here = replace(here, variables={**here.variables, **facts})
    rejoined = await PostgresRejoin(node="old_primary").apply(here)
    assert rejoined["rejoined_by"] == "following"
    assert two.value("SHOW synchronous_standby_names") == 'FIRST 1 ("orders_1")'

    # And back, with drd ended in the middle: the next one finds the primary shut down, and goes on from there.
    later = replace(here, variables={"primary": "orders-2"}, run="02INCIDENT")
    one.rows("SELECT pg_wal_replay_pause()")
    await until(lambda: one.value("SELECT pg_get_wal_replay_pause_state()") == "paused", "it is paused", PATIENCE)
    await PostgresNode(at.world.runner, machines["orders-2"]).fence()
    assert await SWITCH.is_done(later) is Answer.NOT_DONE

    # Nobody knows what that drd had ordered, so that the old primary never leads again by itself.
    with pytest.raises(PermanentError, match="orders-2 was shut down, and orders-1 did not get the last"):
        await SWITCH.apply(later)
    assert not two.is_running
    assert await PostgresNode(at.world.runner, machines["orders-2"]).is_masked()
    one.rows("SELECT pg_wal_replay_resume()")
    assert (await SWITCH.apply(later))["new_primary"] == "orders-1"
    assert (await SWITCH.apply(later))["new_primary"] == "orders-1"  # one that leads already is not handed over from
    one.execute("INSERT INTO orders VALUES (0)")


async def test_without_a_primary_nothing_is_handed_over(at: Situation) -> None:
    assert (await SWITCH.preview(at)).unchecked == ("no node of the policy is a primary",)
    with pytest.raises(PermanentError, match="no node of the policy is a primary"):
        await SWITCH.rehearse(at)
    assert [each.name for each in PostgresSwitchover(to="orders-2").references()] == ["orders-2"]
