"""A real standby becomes the primary after a fence, and never without one."""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from drd.actions.fence import Fence, Rung
from drd.actions.postgres_promote import PostgresPromote
from drd.core.errors import DrdError, PermanentError, StateFull, TransientError
from drd.core.health import ClusterView, NodeView
from drd.core.position import Position
from drd.core.postgres.nodes import NodeRole
from drd.core.probing import DatabaseSeen, Quorum
from drd.core.runbook_step import Answer
from drd.core.secrets import SecretReference
from drd.ports.action import Facts, Situation
from drd.ports.machines import Machine
from tests.actions.conftest import FakeServices
from tests.postgres_lab import Cluster, Lab
from tests.waiting import until

BEST = PostgresPromote(node="best_standby")
PAIRS = itertools.count()
SLOW = ("wal_retrieve_retry_interval is 5000 ms, which a promotion may take longer by",)


@pytest.fixture
def pair(postgres_lab: Lab) -> Iterator[tuple[Cluster, Cluster]]:
    number = next(PAIRS)
    primary = postgres_lab.new(f"promoted-{number}", segment_mib=1)
    yield primary, postgres_lab.standby(primary, f"promoted_standby_{number}")
    for cluster in (primary,):
        cluster.kill()


def machine(name: str, cluster: Cluster, folder: Path, power: tuple[str, ...] = ()) -> Machine:
    secret = folder / name
    secret.write_bytes(cluster.dsn())
    secret.chmod(0o600)
    return Machine(name, "127.0.0.1", power=power, dsn=SecretReference(file=secret))


@pytest.mark.slow
async def test_the_standby_with_the_most_data_is_promoted_after_the_fence_and_not_before(
    pair: tuple[Cluster, Cluster], at: Situation, tmp_path: Path
) -> None:
    primary, standby = pair
    primary.execute("CREATE TABLE orders (id int)")
    primary.execute("INSERT INTO orders VALUES (1)")
    switch = tmp_path / "switch-off"
    switch.write_text(f"#!{sys.executable}\nimport os\nos.kill({primary.pid}, 9)\n")
    switch.chmod(0o700)
    machines = {
        "orders-1": machine("orders-1", primary, tmp_path, (str(switch),)),
        "orders-2": machine("orders-2", standby, tmp_path),
        "orders-3": Machine("orders-3", "127.0.0.1"),
    }
    here = replace(at, machines=machines, members=tuple(machines), variables={"primary": "orders-1"})
    assert (await BEST.preview(here)).commands == ("on orders-2: SELECT pg_promote(false)",)
    assert (await BEST.preview(here)).unchecked == SLOW
    assert await BEST.rehearse(here) == {}
    assert await BEST.is_done(here) is Answer.NOT_DONE
    (tmp_path / "orders-3").write_bytes(b"host=127.0.0.1 port=1 connect_timeout=2")
    silent = replace(machines["orders-3"], dsn=SecretReference(file=tmp_path / "orders-3"))
    lacking = replace(here, machines={**machines, "orders-3": silent})
    assert await BEST.is_done(lacking) is Answer.NOT_DONE
    with pytest.raises(DrdError, match="orders-3"):  # it has been told to take over
        await BEST.is_done(replace(lacking, variables={"primary": "orders-1", "ordered_to_lead": "orders-3"}))

    with pytest.raises(PermanentError, match="no fence of the old primary is confirmed"):
        await BEST.apply(here)
    fenced = replace(here, done=frozenset({"fence"}))
    with pytest.raises(PermanentError, match="orders-1 is a primary already"):  # nothing says which one was fenced
        await BEST.apply(replace(fenced, variables={}))
    with pytest.raises(PermanentError, match="orders-1 is a primary already"):  # whoever was named
        await PostgresPromote(node="orders-2").apply(replace(fenced, variables={}))
    with pytest.raises(PermanentError, match="orders-1 was fenced, and still answers as a primary"):
        await BEST.apply(replace(fenced, variables={**here.variables, "fenced": "orders-1"}))
    with pytest.raises(PermanentError, match="orders-1 was fenced, and still answers as a primary"):
        await BEST.apply(fenced)  # a person has confirmed the fence, and the old primary is looked at all the same
    with pytest.raises(PermanentError, match="orders-3 was fenced, and the primary is orders-1"):
        await BEST.apply(replace(fenced, variables={**here.variables, "fenced": "orders-3"}))
    assert standby.value("SELECT pg_is_in_recovery()")

    facts = await Fence(node="primary", by=(Rung.POWER,)).apply(here)
    assert facts == {"fenced": "orders-1", "fenced_by": "power"}
    fenced = replace(fenced, variables={**here.variables, **facts})
    standby.configure({"synchronous_standby_names": "*"})  # as it is inherited: writes would wait for nobody
    standby.reload()
    await until(lambda: standby.value("SHOW synchronous_standby_names") == "*", "the setting is in force", 90)
    await until(lambda: not primary.is_running, "the old primary is gone", 90)
    promoted = await BEST.apply(fenced)
    assert {name: promoted[name] for name in ("new_primary", "synchronous")} == {
        "new_primary": "orders-2",
        "synchronous": 'FIRST 1 ("*")',
    }
    assert promoted["note"] == "no other member is there: commits wait for nobody until one is back"
    assert standby.value("SHOW synchronous_standby_names") == ""
    standby.execute("INSERT INTO orders VALUES (2)")
    assert standby.rows("SELECT id FROM orders ORDER BY id") == [(1,), (2,)]
    assert await BEST.is_done(fenced) is Answer.DONE
    assert await BEST.found(fenced) == {"new_primary": "orders-2", "old_primary": "orders-1"}
    with pytest.raises(PermanentError, match="orders-2 is a primary already"):
        await BEST.apply(fenced)


def seen(
    offset: int,
    role: NodeRole = NodeRole.STANDBY,
    *,
    is_paused: bool = False,
    timeline: int = 1,
    cluster: str = "the cluster",
    quorum: Quorum | None = None,
) -> DatabaseSeen:
    return DatabaseSeen(cluster, role, Position(timeline, offset), is_paused=is_paused, quorum=quorum)


def identifier(cluster: Cluster) -> str:
    return str(cluster.value("SELECT system_identifier::text FROM pg_control_system()"))


@pytest.mark.slow
async def test_commits_do_not_wait_for_a_standby_that_still_follows_the_old_primary(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, at: Situation, tmp_path: Path
) -> None:
    primary, standby = pair
    third = postgres_lab.standby(primary, "promoted_third")
    rule = f'FIRST 1 ("{standby.folder.name}", promoted_third)'
    standby.configure({"synchronous_standby_names": rule})
    standby.reload()
    await until(lambda: standby.value("SHOW synchronous_standby_names") == rule, "the setting is in force", 90)
    primary.kill()
    clusters = {"orders-1": primary, "orders-2": standby, "orders-3": third}
    machines = {name: machine(name, cluster, tmp_path) for name, cluster in clusters.items()}
    machines["orders-2"] = replace(machines["orders-2"], priority=1)
    here = replace(at, machines=machines, members=tuple(machines), variables={"primary": "orders-1"})
    facts = await BEST.apply(replace(here, done=frozenset({"fence"})))
    assert facts["new_primary"] == "orders-2"
    assert facts["note"].startswith("no other member is there")
    assert facts["synchronous"] == f'FIRST 1 ("{standby.folder.name}", "promoted_third")'
    standby.execute("CREATE TABLE orders (id int)")  # and does not wait


@pytest.mark.slow
async def test_of_what_drd_has_chosen_nothing_is_promoted_that_it_has_judged_unfit_or_that_lacks_more(
    pair: tuple[Cluster, Cluster], at: Situation, services: FakeServices, tmp_path: Path
) -> None:
    primary, standby = pair
    cluster = identifier(primary)
    primary.kill()
    machines = {"orders-1": machine("orders-1", primary, tmp_path), "orders-2": machine("orders-2", standby, tmp_path)}
    variables = {"primary": "orders-1", "best_standby": "orders-2"}
    here = replace(at, machines=machines, members=tuple(machines), variables=variables, done=frozenset({"fence"}))
    was = NodeView("orders-1", seen=seen(0, role=NodeRole.PRIMARY, cluster=cluster))
    paused = NodeView("orders-2", seen=seen(0, is_paused=True, cluster=cluster))
    services.seen = ClusterView(60.0, (was, paused), primary="orders-1")
    with pytest.raises(PermanentError, match="no standby can be promoted: orders-2: its replay is paused"):
        await BEST.apply(here)

    services.seen = ClusterView(60.0, (was, NodeView("orders-2"), NodeView("orders-3")), primary="orders-1")
    with pytest.raises(PermanentError, match="orders-2 may lack log that orders-3 has, which does not answer now"):
        await BEST.apply(replace(here, variables={**variables, "best_standby": "orders-3"}))
    fit = NodeView("orders-2", seen=seen(0, cluster=cluster))
    gone = NodeView("orders-3", seen=seen(2**40, cluster=cluster))
    services.seen = ClusterView(60.0, (was, fit, gone), primary="orders-1")
    with pytest.raises(PermanentError, match="orders-2 lacks log that orders-3 was seen to have"):
        await BEST.apply(replace(here, variables={**variables, "best_standby": "orders-3"}))
    assert standby.value("SELECT pg_is_in_recovery()")

    # A daemon that has only just started has seen nothing yet: the one before it has judged.
    services.seen = ClusterView(60.0, (NodeView("orders-1"), NodeView("orders-2")), primary="orders-1")
    assert (await BEST.apply(here))["new_primary"] == "orders-2"


@pytest.mark.slow
async def test_what_a_standby_confirmed_that_is_gone_now_keeps_another_one_from_being_promoted_by_itself(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, at: Situation, services: FakeServices, tmp_path: Path
) -> None:
    primary, standby = pair
    third = postgres_lab.standby(primary, "promoted_ahead")
    cluster = identifier(primary)
    rule = Quorum(1, (standby.name, "promoted_ahead"), is_ranked=False)
    was = NodeView("orders-1", seen=seen(0, role=NodeRole.PRIMARY, cluster=cluster, quorum=rule))
    services.seen = ClusterView(60.0, (was, NodeView("orders-2"), NodeView("orders-3")), primary="orders-1")
    standby.rows("ALTER SYSTEM SET primary_slot_name = 'nobody'")
    standby.reload()
    await until(lambda: not standby.rows("SELECT 1 FROM pg_stat_wal_receiver"), "it receives nothing", 90)
    primary.execute("CREATE TABLE orders (id int)")
    written = primary.value("SELECT pg_current_wal_flush_lsn()")
    await until(lambda: third.value("SELECT pg_last_wal_receive_lsn() >= %s", written), "only the other has it", 90)
    primary.kill()
    third.stop()
    clusters = {"orders-1": primary, "orders-2": standby, "orders-3": third}
    machines = {name: machine(name, each, tmp_path) for name, each in clusters.items()}
    chosen = {"primary": "orders-1", "best_standby": "orders-2"}
    here = replace(at, machines=machines, members=tuple(machines), variables=chosen, done=frozenset({"fence"}))
    with pytest.raises(PermanentError, match=r"by 1 of .*, and no standby answers as promoted_ahead"):
        await BEST.apply(here)
    third.start()
    assert (await BEST.preview(here)).commands[-1] == "on orders-3: SELECT pg_promote(false)"
    with pytest.raises(PermanentError, match="no standby answers as promoted_ahead that has no more than it"):
        await PostgresPromote(node="orders-2").apply(here)
    assert standby.value("SELECT pg_is_in_recovery()")

    third.stop()
    by_hand = replace(here, variables={"primary": "orders-1"})
    assert (await BEST.apply(by_hand))["new_primary"] == "orders-2"


@pytest.mark.slow
async def test_no_node_of_another_policy_or_another_database_is_promoted(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, at: Situation, services: FakeServices, tmp_path: Path
) -> None:
    primary, standby = pair
    other = postgres_lab.new("promoted_stranger", segment_mib=1)
    strange = postgres_lab.standby(other, "promoted_strange_standby")
    cluster = identifier(primary)
    primary.kill()
    clusters = {"orders-1": primary, "orders-2": standby, "payments-2": strange}
    machines = {name: machine(name, each, tmp_path) for name, each in clusters.items()}
    named = PostgresPromote(node="payments-2")
    here = replace(at, machines=machines, variables={"primary": "orders-1"}, done=frozenset({"fence"}))
    with pytest.raises(PermanentError, match="payments-2 is no node of the policy orders"):
        await named.apply(replace(here, members=("orders-1", "orders-2")))

    listed = replace(here, members=tuple(machines))
    with pytest.raises(PermanentError, match="orders-2 and payments-2 are of different database clusters"):
        await BEST.apply(listed)
    was = NodeView("orders-1", seen=seen(0, role=NodeRole.PRIMARY, cluster=cluster))
    services.seen = ClusterView(60.0, (was, NodeView("orders-2")), primary="orders-1")
    with pytest.raises(PermanentError, match="payments-2: it is of another database cluster"):
        await named.apply(listed)
    assert strange.value("SELECT pg_is_in_recovery()")
    assert (await BEST.apply(listed))["new_primary"] == "orders-2"
    other.kill()


@pytest.mark.slow
async def test_whom_a_try_has_told_to_take_over_is_the_only_one_who_may_and_another_one_only_before_that(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, at: Situation, tmp_path: Path
) -> None:
    primary, standby = pair
    lost = postgres_lab.standby(primary, "promoted_lost")
    primary.kill()
    lost.kill()
    clusters = {"orders-1": primary, "orders-2": standby, "orders-3": lost}
    machines = {name: machine(name, cluster, tmp_path) for name, cluster in clusters.items()}
    here = replace(at, machines=machines, members=tuple(machines), variables={"primary": "orders-1"})
    here = replace(here, done=frozenset({"fence"}), is_again=True)
    told = replace(here, variables={**here.variables, "ordered_to_lead": "orders-3"})
    with pytest.raises(
        PermanentError, match="orders-3 does not answer any more, and this run has told it to take over"
    ):
        await BEST.apply(told)
    with pytest.raises(DrdError, match="does not answer"):
        await BEST.is_done(told)
    assert standby.value("SELECT pg_is_in_recovery()")

    # What comes back with more log is passed over as well: the other one may lead at any moment.
    lost.start()
    told = replace(here, variables={**here.variables, "ordered_to_lead": "orders-2"})
    machines["orders-3"] = replace(machines["orders-3"], priority=9)
    assert (await BEST.preview(told)).commands[-1] == "on orders-2: SELECT pg_promote(false)"
    assert (await BEST.preview(here)).commands[-1] == "on orders-3: SELECT pg_promote(false)"
    lost.kill()

    assert await BEST.is_done(here) is Answer.NOT_DONE
    orders: list[Facts] = []

    async def ordering(facts: Facts) -> None:
        assert standby.value("SELECT pg_is_in_recovery()")
        orders.append(facts)

    assert (await BEST.apply(replace(here, ordering=ordering)))["new_primary"] == "orders-2"
    assert orders == [{"ordered_to_lead": "orders-2"}]


async def test_a_node_that_somebody_promoted_and_that_is_silent_now_keeps_another_one_from_being_promoted(
    at: Situation, services: FakeServices
) -> None:
    lost = NodeView("orders-1", seen=seen(0, role=NodeRole.PRIMARY, timeline=5))
    here = replace(at, variables={"primary": "orders-1"}, done=frozenset({"fence"}))
    here = replace(here, machines={"orders-2": Machine("orders-2", "10.0.1.12")}, members=("orders-2",))
    for timeline, why in ((6, "orders-2 was a primary when it was seen last"), (4, "no standby can be promoted")):
        other = NodeView("orders-2", seen=seen(0, role=NodeRole.PRIMARY, timeline=timeline))
        services.seen = ClusterView(100.0, (lost, other), primary="orders-1")
        with pytest.raises(PermanentError, match=why):
            await BEST.rehearse(here)


@pytest.mark.slow
async def test_nothing_is_promoted_when_it_cannot_be_put_on_record(
    pair: tuple[Cluster, Cluster], at: Situation, tmp_path: Path
) -> None:
    primary, standby = pair
    primary.kill()
    machines = {"orders-1": machine("orders-1", primary, tmp_path), "orders-2": machine("orders-2", standby, tmp_path)}

    async def ordering(_facts: Facts) -> None:
        raise StateFull("the disk of the journal is full", "")

    here = replace(at, machines=machines, members=tuple(machines), variables={"primary": "orders-1"})
    with pytest.raises(StateFull):
        await BEST.apply(replace(here, done=frozenset({"fence"}), ordering=ordering))
    assert standby.value("SELECT pg_is_in_recovery()")


@pytest.mark.slow
async def test_a_restore_command_that_hangs_holds_a_promotion_up_by_name_until_it_ends(
    pair: tuple[Cluster, Cluster], at: Situation, tmp_path: Path
) -> None:
    primary, standby = pair
    mark = standby.folder / "archive-is-away"
    mark.touch()
    standby.configure({"restore_command": f"while [ -e {mark} ]; do sleep 0.1; done; exit 1"})
    standby.reload()
    await until(lambda: "sleep" in standby.value("SHOW restore_command"), "the setting is in force", 90)
    primary.kill()
    machines = {"orders-1": machine("orders-1", primary, tmp_path), "orders-2": machine("orders-2", standby, tmp_path)}
    here = replace(at, machines=machines, members=tuple(machines), variables={"primary": "orders-1"})
    here = replace(here, done=frozenset({"fence"}))
    assert any("has no time limit" in each for each in (await BEST.preview(here)).unchecked)
    waits = "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'"
    await until(lambda: standby.value(waits) == "RestoreCommand", "it asks for log", 90)
    with pytest.raises(TransientError, match="it waits for its restore_command, and is promoted as soon as that ends"):
        await BEST.apply(replace(here, timeout=timedelta(seconds=6)))
    assert await BEST.is_done(here) is Answer.NOT_DONE
    mark.unlink()
    await until(lambda: not standby.value("SELECT pg_is_in_recovery()"), "it is promoted", 90)
    assert await BEST.is_done(here) is Answer.DONE


async def test_where_no_standby_answers_the_reasons_are_told(at: Situation) -> None:
    here = replace(at, machines={"orders-2": Machine("orders-2", "10.0.1.12")}, members=("orders-2",))
    with pytest.raises(PermanentError, match=r"no standby can be promoted: orders-2: drd.yaml does not say"):
        await BEST.apply(replace(here, done=frozenset({"fence"})))
    assert await BEST.is_done(here) is Answer.UNKNOWN
    with pytest.raises(PermanentError, match="does not say how the database"):
        await BEST.is_done(replace(here, variables={"primary": "orders-1"}))
    assert "no standby can be promoted" in (await BEST.preview(here)).unchecked[0]
