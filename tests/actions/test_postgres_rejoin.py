"""Old primaries come back as standbys, real ones: clean, killed with log that nobody else has, and diverged."""

import os
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from drd.actions.postgres_rejoin import PostgresRejoin
from drd.clients.postgres_node import PostgresNode
from drd.core.errors import PermanentError, TransientError
from drd.core.runbook import SYNCHRONOUS, SYNCHRONOUS_NOW
from drd.core.runbook_step import Answer
from drd.ports.action import Facts, Situation
from drd.ports.machines import Machine
from tests.actions.conftest import FakeServices
from tests.database_nodes import DatabaseNodes
from tests.postgres_lab import Cluster, Lab
from tests.waiting import until

REJOIN = PostgresRejoin(node="orders-1")
PATIENCE = 90


def situation(at: Situation, machines: dict[str, Machine], folder: Path, run: str = "01INCIDENT") -> Situation:
    return replace(
        at,
        machines=machines,
        members=tuple(machines),
        run=run,
        variables={"primary": "orders-1"},
        world=replace(at.world, stranded=folder / "stranded"),
    )


def ids(cluster: Cluster) -> list[int]:
    return [each[0] for each in cluster.rows("SELECT id FROM orders ORDER BY id")]


async def comes_back(action: PostgresRejoin, here: Situation, back: Cluster, primary: Cluster, row: int) -> Facts:
    """Bring it back, and see that it has what the primary has, and gets what that writes now."""
    assert await action.is_done(here) is Answer.NOT_DONE
    facts = await action.apply(here)
    assert await action.is_done(here) is Answer.DONE
    primary.execute("INSERT INTO orders VALUES (%s)", row)
    await until(lambda: ids(back) == ids(primary), "it has what the primary has", PATIENCE)
    return facts


def lay_ready(cluster: Cluster, written: str) -> set[str]:
    """Lay files under names of segments to come: one that was another segment, one that was never written."""
    segment = cluster.data / "pg_wal" / written
    owner, names = segment.stat(), [f"{written[:16]}{int(written[16:], 16) + more:08X}" for more in (40, 41)]
    for name, content in zip(names, (segment.read_bytes(), bytes(owner.st_size)), strict=True):
        path = segment.with_name(name)
        path.touch(0o600)
        path.write_bytes(content)
        os.chown(path, owner.st_uid, owner.st_gid)
    return set(names)


@pytest.mark.slow
async def test_an_old_primary_is_rewound_and_what_only_it_had_is_saved_and_listed_first(
    postgres_lab: Lab, nodes: DatabaseNodes, at: Situation, services: FakeServices, tmp_path: Path
) -> None:
    one = postgres_lab.new("one", segment_mib=1)
    two = postgres_lab.standby(one, "orders_2")
    here = situation(at, {"orders-1": nodes.add("orders-1", one), "orders-2": nodes.add("orders-2", two)}, tmp_path)
    one.execute("CREATE TABLE orders (id int)")
    one.execute("INSERT INTO orders VALUES (1)")
    one.configure({"work_mem": "4321kB"})
    with pytest.raises(TransientError, match="no other node is a primary: orders-2: it is a standby"):
        await REJOIN.apply(here)

    # The link is cut: what is committed now, nobody else ever gets.
    at_end = one.value("SELECT pg_current_wal_flush_lsn()")
    await until(lambda: two.value("SELECT pg_last_wal_replay_lsn() >= %s", at_end), "both have the same", PATIENCE)
    two.rows("ALTER SYSTEM SET primary_slot_name = 'nobody'")
    two.reload()
    await until(lambda: not one.rows("SELECT 1 FROM pg_stat_replication"), "nobody receives", PATIENCE)
    before = one.value("SELECT clock_timestamp()")
    lost = []
    for number in range(10, 13):
        [[xid]] = one.rows("INSERT INTO orders VALUES (%s) RETURNING pg_current_xact_id()::text", number)
        lost.append(xid)
    two.promote()
    with pytest.raises(PermanentError, match="orders-1 answers as a primary itself"):
        await REJOIN.apply(here)
    written = one.value("SELECT pg_walfile_name(pg_current_wal_flush_lsn())")
    node = PostgresNode(here.world.runner, here.machines["orders-1"])
    assert [await node.runs(), await node.still_runs()] == [True, True]
    one.kill()
    assert [await node.runs(), await node.still_runs()] == [False, False]
    await node.leave_standby_signal()  # as its fence by ssh
    assert "pg_rewind" in (await REJOIN.preview(here)).commands[0]
    ready = lay_ready(one, written)
    services.keeps_in = "local"

    facts = await comes_back(REJOIN, here, one, two, 2)
    assert (facts["rejoined"], facts["rejoined_by"], facts["lost_transactions"]) == ("orders-1", "rewind", "3")
    assert ids(one) == [1, 2]
    assert one.value("SHOW work_mem") == "4321kB"  # its own settings are kept
    assert two.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'orders_1'")
    listed = (tmp_path / "stranded" / "01INCIDENT" / "orders-1" / "lost-transactions.txt").read_text().splitlines()
    assert [line.split()[1] for line in listed] == lost
    assert all(f"{before:%Y-%m-%d}" in line for line in listed) or before.hour == 23
    with tarfile.open(tmp_path / "stranded" / "01INCIDENT" / "orders-1" / "wal.tar") as saved:
        names = saved.getnames()
    assert written in names
    assert not ready & set(names)
    assert services.asked == [("keep", "orders", "stranded-orders-1")]
    assert (facts["stranded_in"], "note" in facts) == ("local", False)
    assert (await REJOIN.found(here))["lost_transactions"] == "3"
    assert not any("password" in line or "host=" in line for line in nodes.asked)

    # Shut down in order it has nothing that the other one lacks, and is started as it is. Roles have changed by now.
    back = PostgresRejoin(node="orders-2")
    later = situation(at, dict(here.machines), tmp_path, "02INCIDENT")
    two.stop()
    one.promote()
    facts = await comes_back(back, later, two, one, 3)
    assert (facts["rejoined_by"], facts["lost_transactions"]) == ("following", "0")

    # Both were promoted: without a rewind they would stream and never be the same again. This one may not be rewound.
    two.kill()
    subprocess_stop(nodes, two)
    two.start()
    two.rows("ALTER SYSTEM SET primary_slot_name = 'nobody'")
    two.promote()
    two.execute("INSERT INTO orders VALUES (99)")
    one.execute("INSERT INTO orders VALUES (4)")
    with pytest.raises(PermanentError, match="orders-2 answers as a primary itself"):
        await back.apply(later)
    two.stop()
    with pytest.raises(PermanentError, match="orders-2 is on timeline 4, and orders-1 leads only on 3"):
        await back.apply(later)  # it may be the one that has what clients wrote last
    subprocess_stop(nodes, one)
    for _ in range(2):  # another one would have been promoted once more meanwhile
        (one.data / "standby.signal").touch()
        one.start()
        one.promote()
        one.stop()
    one.start()
    (two.data.parent / ".drd-data" / "broken").touch()  # as a rewind leaves it that drd's end has broken off
    facts = await comes_back(back, situation(at, dict(here.machines), tmp_path, "03INCIDENT"), two, one, 5)
    assert facts["rejoined_by"] == "copy"
    assert Path(facts["old_data"]).is_dir()
    assert ids(two) == [1, 2, 3, 4, 5]


@pytest.mark.slow
async def test_the_other_standbys_follow_the_new_primary(
    postgres_lab: Lab, nodes: DatabaseNodes, at: Situation, tmp_path: Path
) -> None:
    first = postgres_lab.new("left_1", segment_mib=1)
    first.execute("CREATE TABLE orders (id int)")
    second, third = (postgres_lab.standby(first, f"left_{number}") for number in (2, 3))
    clusters = {"left-1": first, "left-2": second, "left-3": third}
    machines = {name: nodes.add(name, cluster) for name, cluster in clusters.items()}
    here = situation(at, machines, tmp_path)
    others = PostgresRejoin(node="other_standbys")
    first.stop()
    await until(lambda: not second.rows("SELECT 1 FROM pg_stat_wal_receiver"), "nobody is received from", PATIENCE)
    second.promote()
    here = replace(here, variables={"primary": "left-1", "old_primary": "left-1", "new_primary": "left-2"})
    assert (await others.preview(here)).commands == ("on left-3: follow the new primary",)

    facts = await comes_back(others, here, third, second, 1)
    assert (facts["rejoined"], facts["rejoined_by"]) == ("left-3", "following")
    started = third.value("SELECT pg_postmaster_start_time()")
    assert (await others.apply(here))["rejoined_by"] == "following"
    assert third.value("SELECT pg_postmaster_start_time()") == started  # who follows already is left alone
    assert third.value("SHOW primary_slot_name") == "left_3"

    facts = await comes_back(PostgresRejoin(node="old_primary"), here, first, second, 2)
    assert (facts["rejoined"], facts["lost_transactions"]) == ("left-1", "0")
    slots = "SELECT slot_name FROM pg_replication_slots ORDER BY slot_name"
    assert second.rows(slots) == [("left_1",), ("left_3",)]
    assert first.rows(slots) == []  # it keeps log for nobody who receives from the new primary

    # drd is killed when it follows, before all else.
    back = PostgresRejoin(node="old_primary")
    first.rows("SELECT pg_create_physical_replication_slot('left_3')")
    assert await back.is_done(here) is Answer.NOT_DONE
    await back.apply(here)
    assert first.rows(slots) == []
    assert await back.is_done(here) is Answer.DONE
    waits = replace(here, variables={**here.variables, SYNCHRONOUS: 'FIRST 1 ("left_2")'})
    assert await back.is_done(waits) is Answer.NOT_DONE
    assert (await back.apply(waits))[SYNCHRONOUS_NOW] == 'FIRST 1 ("left_1")'
    assert await back.is_done(waits) is Answer.DONE
    await until(lambda: "left_1" in second.value("SHOW synchronous_standby_names"), "it is waited for", PATIENCE)


@pytest.mark.slow
async def test_what_was_made_for_a_node_that_does_not_come_back_goes_again(
    postgres_lab: Lab, nodes: DatabaseNodes, at: Situation, tmp_path: Path
) -> None:
    old = postgres_lab.new("parted", segment_mib=1, has_checksums=False)
    primary = postgres_lab.standby(old, "leads")
    machines = {"orders-1": nodes.add("orders-1", old), "orders-2": nodes.add("orders-2", primary)}
    here = situation(at, machines, tmp_path)
    part(old, primary)
    old.execute("CREATE TABLE stranded (id int)")
    old.kill()
    (old.data / "pg_tblspc" / "16999").symlink_to("/nowhere")
    primary.rows("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    with pytest.raises(PermanentError, match="it has tablespaces, which drd does not copy"):
        await REJOIN.apply(here)
    assert not primary.rows("SELECT slot_name FROM pg_replication_slots")
    primary.rows("SELECT pg_create_physical_replication_slot('orders_1')")
    with pytest.raises(PermanentError, match="it has tablespaces, which drd does not copy"):
        await REJOIN.apply(here)
    assert primary.rows("SELECT slot_name FROM pg_replication_slots") == [("orders_1",)]  # it was there before


@pytest.mark.slow
async def test_a_standby_of_another_database_is_not_touched(
    postgres_lab: Lab, nodes: DatabaseNodes, at: Situation, tmp_path: Path
) -> None:
    other, primary = postgres_lab.new("other", segment_mib=1), postgres_lab.new("own", segment_mib=1)
    stranger = postgres_lab.standby(other, "stranger")
    machines = {"orders-1": nodes.add("orders-1", stranger), "orders-2": nodes.add("orders-2", primary)}
    with pytest.raises(PermanentError, match="of another database cluster"):
        await REJOIN.apply(situation(at, machines, tmp_path))
    assert stranger.rows("SELECT 1 FROM pg_stat_wal_receiver")
    assert not primary.rows("SELECT slot_name FROM pg_replication_slots")


@pytest.mark.slow
async def test_where_the_log_of_the_fork_is_gone_what_was_lost_is_bounded_and_the_node_copied(
    postgres_lab: Lab, nodes: DatabaseNodes, at: Situation, services: FakeServices, tmp_path: Path
) -> None:
    old = postgres_lab.new("recycled", segment_mib=1)
    old.execute("CREATE TABLE orders (id int)")
    primary = postgres_lab.standby(old, "heir")
    machines = {"orders-1": nodes.add("orders-1", old), "orders-2": nodes.add("orders-2", primary)}
    here = situation(at, machines, tmp_path)
    old.stop()
    (old.data / "standby.signal").touch()
    old.start()
    old.promote()
    await until(lambda: primary.rows("SELECT received_tli FROM pg_stat_wal_receiver") == [(2,)], "it follows", PATIENCE)
    part(old, primary)
    fork = primary.value("SELECT pg_last_wal_replay_lsn()") or old.value("SELECT pg_current_wal_lsn()")
    for number in range(3):
        old.execute("INSERT INTO orders VALUES (%s)", number)
        old.rows("SELECT pg_switch_wal()")
    [[forked]] = old.rows("SELECT pg_walfile_name(%s::pg_lsn + 1)", str(fork))
    last = old.value("SELECT pg_walfile_name(pg_current_wal_lsn())")
    old.kill()
    assert (old.data / "pg_wal" / f"00000001{forked[8:]}").exists()  # what was common; timeline 2 began with a copy
    (old.data / "pg_wal" / forked).unlink()

    facts = await comes_back(REJOIN, here, old, primary, 9)
    only = f"no store of orders takes what only orders-1 had: it lies in {facts['stranded']} alone, so copy that folder"
    assert facts["rejoined_by"] == "copy"
    assert facts["note"] == f"its log beyond the fork is not all there; {only}"
    assert "lost_transactions" not in facts
    assert re.fullmatch(r"what was committed between 0/\w+ and 0/\w+ cannot be told: a file .*", facts["lost"])
    with tarfile.open(Path(facts["stranded"]) / "wal.tar") as saved:
        names = saved.getnames()
    assert last in names
    assert {name[:8] for name in names if "." not in name} == {"00000002"}
    assert services.asked == [("keep", "orders", "stranded-orders-1")]
    assert await REJOIN.found(here) == {"rejoined": "orders-1", "stranded": facts["stranded"], "lost": facts["lost"]}


def part(old: Cluster, new: Cluster) -> None:
    """Cut a standby off and promote it, beside its primary."""
    new.rows("ALTER SYSTEM SET primary_slot_name = 'nobody'")
    new.promote()


def subprocess_stop(nodes: DatabaseNodes, cluster: Cluster) -> None:
    """Stop a server that its unit has started, so that the lab may start it."""
    nodes.lab.run("pg_ctl", "-D", str(cluster.data), "-m", "fast", "-w", "stop")


async def test_a_node_that_cannot_be_brought_back_says_why(at: Situation, tmp_path: Path) -> None:
    here = situation(at, {"orders-1": Machine("orders-1", "127.0.0.1")}, tmp_path)
    with pytest.raises(PermanentError, match="does not say where the data of orders-1 lies"):
        await REJOIN.apply(here)
    assert "does not say" in (await REJOIN.preview(here)).unchecked[0] or (await REJOIN.preview(here)).unchecked
    placed = replace(here.machines["orders-1"], data_directory=tmp_path)
    with pytest.raises(TransientError, match="no other node is a primary: there is none"):
        await REJOIN.apply(replace(here, machines={"orders-1": placed}))
