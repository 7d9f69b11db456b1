"""The journal held against what the stores really hold."""

import asyncio
from datetime import datetime, timedelta

import pytest

from drd.core.events import (
    Body,
    DamageFound,
    Event,
    ForgetStarted,
    HoldPlaced,
    HoldReleased,
    RunFinished,
    RunStarted,
    SnapshotFound,
    SnapshotMissing,
    StoreCreated,
    WalShipped,
)
from drd.core.events.healing import BY_LISTING
from drd.core.policy import Cause, Mode, Outcome
from drd.core.postgres.groups import Group
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import Switch
from drd.core.postgres.wal import Segment
from drd.core.tags import read_tags
from drd.engines.reconcile import FOUND_AT_ONCE
from drd.ports.repository import Snapshot
from tests.fakes.clock import START
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.source import FakeSource

pytestmark = pytest.mark.looptime


async def test_what_journal_and_store_agree_on_is_neither_found_nor_missing() -> None:
    house = FakeHouse()
    await house.run()
    assert await house.reconcile.reconcile("local") == (0, 0)


async def test_a_snapshot_that_the_journal_does_not_know_is_found() -> None:
    house = FakeHouse()
    await house.run(run="01RUN")
    house.local.plant(house.foreign(daemon="01DAEMON"))
    assert await house.reconcile.reconcile("local") == (1, 0)
    assert [point.run for point in await house.journal.points("orders") if point.is_good] == ["01OTHERRUN", "01RUN"]
    assert await house.reconcile.reconcile("local") == (0, 0)


async def test_what_is_found_is_as_large_as_the_store_says() -> None:
    house = FakeHouse()
    await house.repository("local").create()
    house.local.plant(house.foreign(daemon="01DAEMON", total_bytes=605, total_files=2))
    await house.reconcile.reconcile("local")
    [point] = await house.journal.points("orders")
    assert (point.total_bytes, point.total_files) == (605, 2)


async def test_what_a_source_said_of_its_part_is_known_again_on_a_new_machine() -> None:
    ended = START - timedelta(minutes=5)
    old = FakeHouse(protected(a_policy(), main=FakeSource(moment=ended, facts=("source=fake", "of=it"))))
    await old.run(run="01RUN")
    new = FakeHouse()
    await new.repository("local").create()
    for snapshot in old.local.snapshots.values():
        new.local.plant(snapshot)
    await new.reconcile.reconcile("local")
    [before], [after] = await old.journal.points("orders"), await new.journal.points("orders")
    assert (after.moment, after.facts) == (before.moment, before.facts) == (ended, {"main": ("of=it", "source=fake")})


async def test_a_snapshot_that_somebody_else_made_with_restic_is_left_alone() -> None:
    house = FakeHouse()
    await house.run()
    house.local.plant(house.foreign(tags=("laptop",)))
    house.local.plant(
        house.foreign(run="01B", tags=("drd", "policy=orders", "run=1", "part=a", "kind=full", "at=2026-01-01"))
    )
    assert await house.reconcile.reconcile("local") == (0, 0)


async def test_a_snapshot_that_is_gone_without_drd_is_damage_told_once_and_its_point_does_not_count() -> None:
    house = FakeHouse()
    await house.run()
    [lost] = house.local.snapshots
    house.local.snapshots.clear()
    assert await house.reconcile.reconcile("local") == (0, 1)
    assert await house.reconcile.reconcile("local") == (0, 1)
    [found] = house.journal.of(DamageFound)
    assert (found.subset, found.files) == (BY_LISTING, (f"snapshots/{lost}",))
    assert "is gone from there: drd did not remove it" in found.message
    record = (await house.journal.stores())["local"]
    assert (record.hold, record.is_damaged) == ("1 snapshot is gone from there that drd did not forget", True)
    assert house.journal.of(SnapshotMissing) == []
    assert len(await house.journal.points("orders")) == 1


async def test_a_person_can_give_up_a_snapshot_that_is_gone() -> None:
    house = FakeHouse()
    await house.run()
    house.local.snapshots.clear()
    await house.reconcile.reconcile("local")
    await house.journal.append(HoldReleased("local", "sre"))
    assert await house.reconcile.reconcile("local") == (0, 1)
    record = (await house.journal.stores())["local"]
    assert (record.damage, record.hold, record.leaving) == (None, None, frozenset())
    assert len(house.journal.of(SnapshotMissing)) == 1
    assert await house.journal.points("orders") == ()


async def test_what_drd_was_about_to_forget_when_it_was_killed_is_no_damage() -> None:
    house = FakeHouse()
    await house.run(run="01A")
    await house.run(run="01B")
    lost, kept = house.local.snapshots
    await house.journal.append(ForgetStarted("orders", "local", (lost, kept)))
    del house.local.snapshots[lost]
    assert await house.reconcile.reconcile("local") == (0, 1)
    assert house.journal.of(DamageFound) == []
    assert [point.run for point in await house.journal.points("orders")] == ["01B"]
    del house.local.snapshots[kept]
    await house.reconcile.reconcile("local")
    [found] = house.journal.of(DamageFound)
    assert found.files == (f"snapshots/{kept}",), "what was listed since did not leave then"


async def test_a_snapshot_that_was_tagged_elsewhere_is_the_same_under_another_id() -> None:
    house = FakeHouse()
    await house.run()
    [old] = house.local.snapshots.values()
    await house.repository("local").mark(old.id, "note=kept")
    assert await house.reconcile.reconcile("local") == (1, 1)
    assert house.journal.of(DamageFound) == []
    [point] = await house.journal.points("orders")
    assert [copy.snapshot_id for copy in point.copies] == list(house.local.snapshots)


async def test_another_repository_that_a_person_accepted_lacks_nothing() -> None:
    house = FakeHouse()
    await house.run()
    house.local.snapshots.clear()
    await house.journal.append(StoreCreated("local", "another", None))
    assert await house.reconcile.reconcile("local") == (0, 1)
    assert house.journal.of(DamageFound) == []


async def test_a_run_under_way_is_left_to_its_own_engine() -> None:
    house = FakeHouse()
    await house.run()
    await house.journal.append(RunStarted("orders", Mode.FULL, Cause.SCHEDULE, None), run="01OTHERRUN")
    house.local.plant(house.foreign(daemon="01DAEMON"))
    assert await house.reconcile.reconcile("local") == (0, 0)
    await house.reconcile.mark("local")
    assert len(house.local.snapshots) == 2


async def test_a_run_that_ends_while_a_store_is_listed_is_not_found() -> None:
    house = FakeHouse()
    await house.run()
    house.repository("local").seconds["snapshots"] = 20
    house.repository("local").seconds["save"] = 10
    _, counts = await asyncio.gather(house.run(), house.reconcile.reconcile("local"))
    assert counts == (0, 0)


async def test_another_live_daemon_holds_the_store() -> None:
    house = FakeHouse()
    await house.run()
    await asyncio.sleep(60)
    house.local.plant(house.foreign(daemon="01ANOTHER"))
    await house.reconcile.reconcile("local")
    assert "another live daemon (NOTHER)" in house.journal.of(HoldPlaced)[0].reason
    await house.reconcile.reconcile("local")
    assert len(house.journal.of(HoldPlaced)) == 1


async def test_a_store_that_a_person_released_is_held_again_only_when_the_other_daemon_writes_again() -> None:
    house = FakeHouse()
    await house.run()
    await asyncio.sleep(60)
    house.local.plant(house.foreign(daemon="01ANOTHER"))
    await house.reconcile.reconcile("local")
    await asyncio.sleep(60)
    await house.journal.append(HoldReleased("local", "anna"))
    await house.reconcile.reconcile("local")
    assert (await house.journal.stores())["local"].hold is None
    await asyncio.sleep(60)
    house.local.plant(house.foreign(daemon="01ANOTHER", run="02OTHERRUN"))
    await house.reconcile.reconcile("local")
    assert "another live daemon" in str((await house.journal.stores())["local"].hold)


async def test_a_daemon_with_other_policies_may_share_a_store() -> None:
    house = FakeHouse()
    await house.run()
    await asyncio.sleep(60)
    house.local.plant(house.foreign(daemon="01ANOTHER", policy="mail"))
    await house.reconcile.reconcile("local")
    assert house.journal.of(HoldPlaced) == []


async def test_a_daemon_that_wrote_before_this_start_is_an_earlier_state_and_no_other_daemon() -> None:
    house = FakeHouse()
    await house.run()
    old = house.foreign(daemon="01EARLIER")
    house.local.plant(house.foreign(daemon="01EARLIER", time=old.time - timedelta(hours=1)))
    assert await house.reconcile.reconcile("local") == (1, 0)
    assert house.journal.of(HoldPlaced) == []


async def test_what_a_crash_left_unjudged_is_found_as_cancelled_and_marked_in_the_store() -> None:
    house = FakeHouse()
    await house.run(run="01GOOD")
    await house.journal.append(RunStarted("orders", Mode.FULL, Cause.SCHEDULE, None), run="01OTHERRUN")
    house.local.plant(house.foreign(daemon="01DAEMON"))  # saved; then the daemon was killed
    await house.dispatch.end_interrupted_runs()
    assert await house.reconcile.reconcile("local") == (1, 0)
    assert house.journal.of(SnapshotFound)[0].outcome is Outcome.CANCELLED
    assert (await house.journal.newest_points())["orders", "local"].run == "01GOOD"
    await house.reconcile.mark("local")
    told = {each.id: read_tags(each.tags) for each in house.local.snapshots.values()}
    assert sorted(origin.outcome for origin in told.values() if origin) == ["cancelled", "succeeded"]
    assert await house.reconcile.reconcile("local") == (0, 0)
    assert not house.reconcile.has_unmarked("local")


async def test_an_incomplete_snapshot_says_so_in_the_store_after_it_was_marked() -> None:
    house = FakeHouse()
    house.disk.unreadable["/srv"] = 1
    await house.run(run="01RUN")
    await house.reconcile.reconcile("local")
    assert house.reconcile.has_unmarked("local")
    await house.reconcile.mark("local")
    [snapshot] = house.local.snapshots.values()
    assert snapshot.tag("outcome") == "incomplete"
    [point] = await house.journal.points("orders")
    assert [copy.snapshot_id for copy in point.copies] == [snapshot.id]
    assert (point.outcome, point.total_bytes) == (Outcome.INCOMPLETE, 605)


async def test_a_catalogue_that_is_rebuilt_from_a_store_says_the_same() -> None:
    house = FakeHouse()
    await house.run(run="01GOOD")
    await asyncio.sleep(3600.25)
    house.disk.unreadable["/srv"] = 1
    await house.run(run="02BAD")
    await house.reconcile.reconcile("local")
    await house.reconcile.mark("local")
    known = await house.journal.points("orders")
    fresh = FakeHouse()
    fresh.local.identity, fresh.local.passwords = house.local.identity, house.local.passwords
    fresh.local.snapshots, fresh.local.trees = house.local.snapshots, house.local.trees
    await fresh.reconcile.reconcile("local")
    rebuilt = await fresh.journal.points("orders")
    assert [(point.run, point.moment, point.outcome, point.total_bytes) for point in rebuilt] == [
        (point.run, point.moment, point.outcome, point.total_bytes) for point in known
    ]


async def test_a_run_that_was_cut_off_between_its_parts_is_no_recovery_point_anywhere() -> None:
    house = FakeHouse()
    await house.run(run="01GOOD")
    house.local.plant(house.foreign(run="02CUT", part="files", parts=2))
    assert await house.reconcile.reconcile("local") == (0, 0)
    house.local.plant(house.foreign(run="02CUT", part="database", parts=2))
    assert await house.reconcile.reconcile("local") == (2, 0)
    assert (await house.journal.points("orders"))[-1].is_good


async def test_a_part_that_was_saved_before_another_was_refused_never_looks_good() -> None:
    refused = FakeSource(program="pg_dump")
    house = FakeHouse(protected(a_policy(), files=FakeSource(), database=refused))
    result = await house.run(run="01RUN")
    assert result.outcome is Outcome.FAILED
    assert len(house.local.snapshots) == 1
    await house.reconcile.reconcile("local")
    await house.reconcile.mark("local")
    assert [point.is_good for point in await house.journal.points("orders")] == [False]
    [snapshot] = house.local.snapshots.values()
    assert snapshot.tag("outcome") == "failed"


async def test_a_store_that_lets_nothing_be_replaced_is_marked_once_and_not_each_hour() -> None:
    house = FakeHouse()
    house.disk.unreadable["/srv"] = 1
    house.local.append_only = True
    await house.run(run="01RUN")
    for _ in range(3):
        await house.reconcile.reconcile("local")
        if house.reconcile.has_unmarked("local"):
            with pytest.raises(Exception, match="append-only"):
                await house.reconcile.mark("local")
    assert len(house.local.snapshots) == 2
    assert all(not point.is_good for point in await house.journal.points("orders"))


async def test_marking_waits_until_it_has_the_repository_alone() -> None:
    house = FakeHouse()
    house.disk.unreadable["/srv"] = 1
    await house.run(run="01RUN")
    await house.reconcile.reconcile("local")
    house.repository("local").seconds["save"] = 600
    running = asyncio.create_task(house.run(run="02RUN"))
    await asyncio.sleep(60)
    await house.reconcile.mark("local")
    assert asyncio.get_running_loop().time() == 600
    await running


async def test_a_run_that_the_journal_calls_failed_is_found_as_failed() -> None:
    house = FakeHouse()
    await house.run(run="01GOOD")
    await house.journal.append(RunStarted("orders", Mode.FULL, Cause.SCHEDULE, None), run="01OTHERRUN")
    await house.journal.append(
        RunFinished("orders", Mode.FULL, Outcome.FAILED, "the disk was full", "", 1.0, 0, 0), run="01OTHERRUN"
    )
    house.local.plant(house.foreign(daemon="01DAEMON"))
    await house.reconcile.reconcile("local")
    assert house.journal.of(SnapshotFound)[0].outcome is Outcome.FAILED


async def test_thousands_of_snapshots_are_found_some_hundreds_at_a_time_each_with_its_run() -> None:
    house = FakeHouse()
    await house.repository("local").create()
    for number in range(2 * FOUND_AT_ONCE + 7):
        house.local.plant(house.foreign(run=f"{number:05}RUN"))
    under_way, together = 0, set()
    append = house.journal.append

    async def watch(*bodies: Body, run: str | None = None) -> tuple[Event, ...]:
        nonlocal under_way
        under_way += 1
        together.add(under_way)
        try:
            return await append(*bodies, run=run)
        finally:
            under_way -= 1

    house.journal.append = watch  # type: ignore[method-assign]
    assert await house.reconcile.reconcile("local") == (2 * FOUND_AT_ONCE + 7, 0)
    assert max(together) == FOUND_AT_ONCE
    found = [event for event in house.journal.events if isinstance(event.body, SnapshotFound)]
    assert all(event.run == event.body.run for event in found if isinstance(event.body, SnapshotFound))
    assert len(await house.journal.points("orders")) == 2 * FOUND_AT_ONCE + 7


async def test_wal_that_the_journal_does_not_know_is_found_with_how_far_it_goes() -> None:
    house = FakeHouse()
    await house.run()
    first = Segment(1, 3, 2**20)
    old = house.clock.now() - timedelta(hours=1)

    def batch(name: str, through: int, at: datetime = old) -> Snapshot:
        tags = Group("7000", first, Lsn(through), at, (Switch(1, Lsn(5)),)).tags("orders")
        return Snapshot(name, at, ("/spool",), "drd", tags)

    for name, through in (("b", 4 * 2**20 + 9), ("a", 4 * 2**20)):
        house.local.plant(batch(name, through))
    await house.reconcile.reconcile("local")
    [found] = await house.journal.wal("orders")
    assert (found.snapshot_id, found.superseded, found.group.through) == ("b", ("a",), Lsn(4 * 2**20 + 9))
    assert found.group.switches == (Switch(1, Lsn(5)),)
    house.local.plant(batch("young", 6 * 2**20, house.clock.now()))
    house.local.plant(batch("not recorded", 9 * 2**20))
    await house.reconcile.reconcile("local")
    [found] = await house.journal.wal("orders")
    assert (found.snapshot_id, found.superseded) == ("b", ("a", "not recorded"))
    await house.reconcile.reconcile("local")
    assert len(house.journal.of(WalShipped)) == 3
    del house.local.snapshots["b"]
    await house.reconcile.reconcile("local")
    assert await house.journal.wal("orders") == ()


async def test_a_young_batch_of_a_known_group_is_left_to_who_brings_it_also_in_a_new_store() -> None:
    house = FakeHouse()
    await house.repository("local").create()
    now = house.clock.now()
    groups = {name: Group("7000", Segment(1, 3, 2**20), Lsn(through), now) for name, through in (("a", 5), ("b", 9))}
    for name, group in groups.items():
        house.local.plant(Snapshot(name, now, ("/spool",), "drd", group.tags("orders")))
    known = groups["a"]
    shipped = WalShipped("orders", "local", "a", "7000", known.name, 2**20, str(known.through), now, ())
    await house.journal.append(shipped)
    await house.reconcile.reconcile("local")
    [found] = await house.journal.wal("orders")
    assert (found.snapshot_id, found.superseded) == ("a", ())


async def test_what_says_to_be_a_part_that_drd_has_saved_itself_never_counts_beside_it() -> None:
    house = FakeHouse()
    await house.run(run="01RUN")
    [own] = house.local.snapshots
    house.local.plant(house.foreign(run="01RUN", daemon="01DAEMON", time=START + timedelta(days=9000)))
    assert await house.reconcile.reconcile("local") == (0, 0)
    [point] = await house.journal.points("orders")
    assert [each.snapshot_id for each in point.copies_in("local")] == [own]
    assert not house.journal.of(SnapshotFound)
