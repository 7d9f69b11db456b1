"""What every journal with its catalogue keeps to, the real one and the one in memory: subclass with a `journal`."""

from datetime import UTC, datetime, timedelta
from typing import Any

from drd.core.events import (
    AnchorsForgotten,
    Body,
    CopyCreated,
    DamageFound,
    Event,
    ForgetStarted,
    HeadAnchored,
    HoldPlaced,
    HoldReleased,
    Paused,
    PolicyAdded,
    PolicyRemoved,
    RestoreFinished,
    RestoreStarted,
    Resumed,
    RetentionApplied,
    RunFinished,
    RunStarted,
    SnapshotCreated,
    SnapshotFound,
    SnapshotMissing,
    SnapshotsForgotten,
    StoreCameBack,
    StoreChecked,
    StoreCreated,
    StorePruned,
    StoreReconciled,
    StoreWentAway,
    WalForgotten,
    WalShipped,
)
from drd.core.events.healing import BY_LISTING
from drd.core.points import Standing
from drd.core.policy import Cause, Mode, Outcome
from drd.core.projections.wal import MARKS_KEPT

MOMENT = datetime(2026, 3, 2, 8, tzinfo=UTC)


def created(part: str = "main", outcome: Outcome = Outcome.SUCCEEDED, store: str = "local", hour: int = 0) -> Body:
    moment = MOMENT + timedelta(hours=hour)
    return SnapshotCreated("orders", part, store, f"{hour}{part}", moment, Mode.FULL, outcome, 100, 2, 50, 1.0)


def finished(outcome: Outcome = Outcome.SUCCEEDED) -> Body:
    return RunFinished("orders", Mode.FULL, outcome, "", "", 2.0, 100, 50, "local")


async def a_run(journal: Any, run: str, *bodies: Body, outcome: Outcome = Outcome.SUCCEEDED) -> None:
    await journal.append(RunStarted("orders", Mode.FULL, Cause.SCHEDULE, None), run=run)
    await journal.append(*(bodies or (created(outcome=outcome),)), run=run)
    await journal.append(finished(outcome), run=run)


def shipped(snapshot: str, through: str, store: str = "local", minute: int = 0) -> Body:
    moment, first = MOMENT + timedelta(minutes=minute), "000000010000000000000003"
    return WalShipped("orders", f"{store}.wal", snapshot, "7000", first, 2**24, through, moment, ())


class JournalContract:
    """The tests; each begins with an empty journal."""

    async def test_events_are_numbered_and_chained(self, journal: Any) -> None:
        first = (await journal.head()).sequence
        written = await journal.append(PolicyAdded("orders"), PolicyAdded("logs"), run="01RUN")
        assert [event.sequence for event in written] == [first + 1, first + 2]
        head = await journal.head()
        assert (head.sequence, head.digest) == (written[-1].sequence, written[-1].head)
        assert written[0].head != written[1].head
        assert {event.run for event in written} == {"01RUN"}

    async def test_observers_have_seen_an_event_before_its_append_returns(self, journal: Any) -> None:
        seen: list[Event] = []
        stop = journal.observe(seen.append)
        written = await journal.append(PolicyAdded("orders"))
        assert tuple(seen) == written
        stop()
        await journal.append(PolicyAdded("logs"))
        assert len(seen) == 1

    async def test_a_policy_is_there_from_its_addition_to_its_removal(self, journal: Any) -> None:
        assert await journal.policy("orders") is None
        await journal.append(PolicyAdded("orders"))
        assert list(await journal.policies()) == ["orders"]
        await journal.append(PolicyRemoved("orders"))
        assert await journal.policies() == {}

    async def test_a_good_run_moves_what_the_scheduler_decides_by(self, journal: Any) -> None:
        await journal.append(PolicyAdded("orders"))
        await a_run(journal, "01RUN")
        record = await journal.policy("orders")
        assert (record.runs, record.failures, record.last_total_bytes) == (1, {}, 100)
        assert set(record.last_success_start) == {Mode.FULL}
        assert record.last_run.outcome is Outcome.SUCCEEDED
        await a_run(journal, "02RUN", outcome=Outcome.INCOMPLETE)
        record = await journal.policy("orders")
        assert (record.runs, record.failures, record.failures_in_a_row) == (2, {"local": {"full": 1}}, 1)
        assert record.last_success_start[Mode.FULL] < record.last_start[Mode.FULL]

    async def test_a_run_without_an_end_is_unfinished(self, journal: Any) -> None:
        await journal.append(RunStarted("orders", Mode.FULL, Cause.SCHEDULE, None), run="01RUN")
        assert [record.run for record in await journal.unfinished()] == ["01RUN"]
        await journal.append(finished(), run="01RUN")
        assert await journal.unfinished() == ()
        assert [record.run for record in await journal.runs("orders")] == ["01RUN"]

    async def test_points_are_oldest_first_and_the_newest_good_one_is_known(self, journal: Any) -> None:
        await a_run(journal, "02RUN", created(hour=2))
        await a_run(journal, "01RUN", created(hour=1))
        await a_run(journal, "03RUN", created(hour=3, outcome=Outcome.INCOMPLETE), outcome=Outcome.INCOMPLETE)
        assert [point.run for point in await journal.points("orders")] == ["01RUN", "02RUN", "03RUN"]
        newest = await journal.newest_points()
        assert {key: point.run for key, point in newest.items()} == {("orders", "local"): "02RUN"}

    async def test_the_newest_proven_point_stays_known_when_newer_ones_are_not_proven(self, journal: Any) -> None:
        await a_run(journal, "01RUN", created(hour=1))
        assert await journal.newest_proven_points() == {}
        [copy] = (await journal.points("orders"))[0].copies
        read = RestoreFinished(
            "orders", "01RUN", "local", Outcome.SUCCEEDED, "", "", 1.0, 100, 1, whole=True, snapshot_id=copy.snapshot_id
        )
        await journal.append(read, run="0RESTORE")
        await a_run(journal, "02RUN", created(hour=2))
        proven = await journal.newest_proven_points()
        assert {key: point.run for key, point in proven.items()} == {("orders", "local"): "01RUN"}

    async def test_what_retention_removed_from_a_store_is_not_lacking_there(self, journal: Any) -> None:
        await a_run(journal, "01RUN", created())
        [copy] = (await journal.points("orders"))[0].copies
        await journal.append(CopyCreated("orders", copy.part, "offsite", "0far", "local", MOMENT), run="01RUN")
        await journal.append(SnapshotsForgotten("orders", "local", (copy.snapshot_id,), "schedule"))
        assert await journal.uncopied("orders", "local") == ()
        [point] = await journal.points("orders")
        assert (point.stores, point.forgotten_in) == (("offsite",), ("local",))
        await journal.append(CopyCreated("orders", copy.part, "local", "0back", "offsite", MOMENT), run="01RUN")
        [point] = await journal.points("orders")
        assert (set(point.stores), point.forgotten_in) == ({"local", "offsite"}, ())

    async def test_a_copy_of_one_part_is_no_copy_of_the_point(self, journal: Any) -> None:
        await a_run(journal, "01RUN", created("files"), created("database"))
        for part, left in (("files", 1), ("database", 0)):
            copy = CopyCreated("orders", part, "offsite", f"0{part}", "local", MOMENT)
            await journal.append(copy, run="01RUN")
            assert len(await journal.uncopied("orders", "offsite")) == left
        [point] = await journal.points("orders")
        assert point.stores == ("local", "offsite")
        assert point.total_bytes == 200

    async def test_what_is_forgotten_or_missing_is_held_no_more(self, journal: Any) -> None:
        await a_run(journal, "01RUN", created(hour=1))
        await a_run(journal, "02RUN", created(hour=2))
        assert await journal.holdings("local") == {"1main": "orders", "2main": "orders"}
        await journal.append(SnapshotsForgotten("orders", "local", ("1main",), "anna"))
        await journal.append(SnapshotMissing("orders", "local", "2main"))
        assert await journal.holdings("local") == {}
        assert await journal.points("orders") == ()

    async def test_a_snapshot_that_got_another_id_leaves_its_point_as_it_was(self, journal: Any) -> None:
        await a_run(journal, "01RUN", outcome=Outcome.INCOMPLETE)
        found = SnapshotFound(
            "orders", "01RUN", "main", "local", "marked", MOMENT, Mode.FULL, Outcome.INCOMPLETE, "01DAEMON"
        )
        await journal.append(found, SnapshotMissing("orders", "local", "0main"), run="01RUN")
        [point] = await journal.points("orders")
        assert ([copy.snapshot_id for copy in point.copies], point.total_bytes) == (["marked"], 100)
        assert point.outcome is Outcome.INCOMPLETE

    async def test_a_whole_restore_proves_its_copy(self, journal: Any) -> None:
        await a_run(journal, "01RUN")
        await journal.append(
            RestoreFinished("orders", "01RUN", "local", Outcome.SUCCEEDED, "", "", 1.0, 100, 2, True, "0main")
        )
        [point] = await journal.points("orders")
        assert [copy.standing for copy in point.copies] == [Standing.PROVEN]

    async def test_a_restore_is_known_from_its_beginning_and_open_until_its_end_is_told(self, journal: Any) -> None:
        await journal.append(RestoreStarted("orders", "01RUN", "offsite", "0main", "eva"), run="02R")
        await journal.append(RestoreStarted("orders", "01RUN", "local", "0main", "eva"), run="03R")
        end = RestoreFinished("orders", "01RUN", "local", Outcome.SUCCEEDED, "", "", 1.0, 100, 2, True, "0main")
        await journal.append(end, run="03R")
        first, second = await journal.restores()
        assert (first.run, first.policy, first.store, first.outcome) == ("02R", "orders", "offsite", None)
        assert (second.run, second.outcome, second.finished is not None) == ("03R", Outcome.SUCCEEDED, True)

    async def test_a_store_is_remembered_with_all_that_happened_to_it(self, journal: Any) -> None:
        await journal.append(StoreCreated("local", "5e" * 32, None), StoreWentAway("local", "unplugged"))
        assert (await journal.stores())["local"].away_since is not None
        await journal.append(StoreCameBack("local"), StoreReconciled("local", 0, 0, 0), StorePruned("local", 1.0))
        await journal.append(StoreChecked("local", "", False, 1, "damage", 1.0), HoldPlaced("local", "damage"))
        record = (await journal.stores())["local"]
        assert (record.repository_id, record.away_since) == ("5e" * 32, None)
        assert (record.check_sound, record.hold) == (False, "damage")
        assert record.last_reconciled is not None
        assert record.last_pruned is not None
        assert (record.last_retained, record.is_prune_owed, record.anchors) == (None, False, ())

    async def test_what_one_store_forgot_is_named_as_long_as_another_holds_it(self, journal: Any) -> None:
        copy = CopyCreated("orders", "main", "offsite", "0main", "local", MOMENT)
        independent = CopyCreated("orders", "main", "nas", "0nas", "local", MOMENT)
        await a_run(journal, "01RUN", created(), copy, independent)
        await a_run(journal, "02RUN", created(hour=1))
        assert await journal.withheld("offsite") == frozenset()
        await journal.append(SnapshotsForgotten("orders", "offsite", ("0main",), "schedule"))
        assert await journal.withheld("offsite") == {"0main", "0nas"}
        assert await journal.withheld("local") == frozenset()
        await journal.append(SnapshotsForgotten("orders", "local", ("0main",), "schedule"))
        await journal.append(SnapshotsForgotten("orders", "nas", ("0nas",), "schedule"))
        assert await journal.withheld("offsite") == frozenset()

    async def test_what_a_person_gave_up_in_one_store_is_not_carried_there_again(self, journal: Any) -> None:
        copy = CopyCreated("orders", "main", "offsite", "0main", "local", MOMENT)
        await a_run(journal, "01RUN", created(), copy)
        found = DamageFound("offsite", BY_LISTING, ("snapshots/0main",), "gone")
        await journal.append(found, HoldPlaced("offsite", "gone", is_damage=True), HoldReleased("offsite", "sre"))
        await journal.append(SnapshotMissing("orders", "offsite", "0main"))
        [point] = await journal.points("orders")
        assert (point.stores, point.forgotten_in) == (("local",), ("offsite",))
        assert await journal.withheld("offsite") == {"0main"}
        assert await journal.uncopied("orders", "offsite") == ()

    async def test_what_two_stores_marked_by_themselves_is_not_carried_from_one_to_the_other(
        self, journal: Any
    ) -> None:
        bad = Outcome.INCOMPLETE
        copy = CopyCreated("orders", "main", "offsite", "0main", "local", MOMENT)
        await a_run(journal, "01RUN", created(outcome=bad), copy, outcome=bad)
        await a_run(journal, "02RUN", created(hour=1, outcome=bad), outcome=bad)
        assert await journal.withheld("offsite") == frozenset()
        marked = SnapshotFound("orders", "01RUN", "main", "local", "0marked", MOMENT, Mode.FULL, bad, "d")
        await journal.append(marked, SnapshotMissing("orders", "local", "0main"), run="01RUN")
        assert await journal.withheld("offsite") == {"0marked"}

    async def test_what_a_store_owes_and_when_it_was_looked_at_is_remembered(self, journal: Any) -> None:
        await journal.append(
            SnapshotsForgotten("orders", "local", ("1main",), "schedule"),
            RetentionApplied("local", 1, 1, 0),
            HeadAnchored("local", "old", 1, "ff"),
            HeadAnchored("local", "new", 2, "ff"),
            AnchorsForgotten("local", ("old",)),
        )
        record = (await journal.stores())["local"]
        assert record.is_prune_owed
        assert [anchor.snapshot_id for anchor in record.anchors] == ["new"]
        assert record.forgotten_anchors == ("old",)
        assert record.last_anchored is not None
        assert record.last_retained is not None
        await journal.append(HoldReleased("local", "anna"))
        assert (await journal.stores())["local"].hold is None

    async def test_pauses_last_until_they_are_ended(self, journal: Any) -> None:
        until = MOMENT + timedelta(hours=2)
        await journal.append(Paused("orders", "backup", until, "a migration", "anna"))
        [pause] = await journal.pauses()
        assert (pause.policy, pause.what, pause.until, pause.by) == ("orders", "backup", until, "anna")
        await journal.append(Resumed("orders", "all", "anna"))
        assert len(await journal.pauses()) == 1
        await journal.append(Resumed("orders", "backup", "anna"))
        assert await journal.pauses() == ()

    async def test_wal_of_a_group_supersedes_what_stood_there_of_it_and_only_that(self, journal: Any) -> None:
        await journal.append(shipped("a", "0/3000100"), shipped("b", "0/3000200", minute=1))
        await journal.append(shipped("c", "0/3000200", store="offsite", minute=1), shipped("d", "0/3000150"))
        offsite, local = sorted(await journal.wal("orders"), key=lambda each: each.snapshot_id, reverse=True)
        assert (local.snapshot_id, local.superseded, str(local.group.through)) == ("b", ("a", "d"), "0/3000200")
        assert (offsite.store, offsite.superseded) == ("offsite.wal", ())
        assert [str(mark.lsn) for mark in local.marks] == ["0/3000100", "0/3000200"]
        assert set(await journal.holdings("local.wal")) == {"a", "b", "d"}
        await journal.append(WalForgotten("orders", "local.wal", ("a", "d")))
        assert {each.superseded for each in await journal.wal("orders")} == {()}
        assert set(await journal.holdings("local.wal")) == {"b"}
        assert (await journal.stores())["local.wal"].is_prune_owed
        await journal.append(SnapshotMissing("orders", "local.wal", "b"))
        assert [each.store for each in await journal.wal("orders")] == ["offsite.wal"]
        assert await journal.points("orders") == ()

    async def test_what_is_about_to_be_forgotten_is_known_until_the_store_is_listed(self, journal: Any) -> None:
        await journal.append(StoreCreated("local", "id", None), ForgetStarted("orders", "local", ("a", "b", "c")))
        await journal.append(SnapshotsForgotten("orders", "local", ("a",), "schedule"))
        assert (await journal.stores())["local"].leaving == {"b", "c"}
        await journal.append(StoreReconciled("local", 1, 0, 0))
        assert (await journal.stores())["local"].leaving == frozenset()
        found = DamageFound("local", BY_LISTING, ("snapshots/b", "data/aa/aa"), "gone")
        await journal.append(found, StoreChecked("local", "1/1", True, 0, "", 1.0))
        assert (await journal.stores())["local"].is_damaged, "no check misses what is not listed"
        await journal.append(HoldReleased("local", "sre"), StoreCreated("local", "another", None))
        record = (await journal.stores())["local"]
        assert (record.damage, record.leaving, record.is_replaced) == (None, {"b"}, True)

    async def test_a_long_group_of_wal_keeps_few_marks_and_always_the_newest(self, journal: Any) -> None:
        for minute in range(3 * MARKS_KEPT):
            await journal.append(shipped(f"{minute}", f"0/{0x3000000 + minute:X}", minute=minute))
        [group] = await journal.wal("orders")
        assert MARKS_KEPT // 2 <= len(group.marks) <= MARKS_KEPT
        assert group.marks[-1].lsn == group.group.through
        assert group.group.moment == group.marks[-1].moment
