"""What follows from the events, one rule a test."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from drd.core.encoding import Fact, moment_text, plain
from drd.core.events import (
    AnchorsForgotten,
    Body,
    CopyCreated,
    DaemonStopped,
    HeadAnchored,
    HoldPlaced,
    HoldReleased,
    IncidentFinished,
    IncidentStarted,
    NewBaseWanted,
    Paused,
    PolicyAdded,
    PolicyRemoved,
    PrimarySeen,
    RestoreFinished,
    RestoreStarted,
    Resumed,
    RetentionApplied,
    RunFinished,
    RunStarted,
    ServiceFailed,
    ServiceRestored,
    ServiceUnseen,
    SnapshotCreated,
    SnapshotFound,
    SnapshotMissing,
    SnapshotsForgotten,
    StepFinished,
    StoreCameBack,
    StoreChecked,
    StoreCreated,
    StorePruned,
    StoreReconciled,
    StoreWentAway,
    SuspicionRaised,
    SuspicionReleased,
    WalGapClosed,
    WalGapFound,
)
from drd.core.incident import incident_of
from drd.core.policy import Cause, Mode, Outcome
from drd.core.projections import fold
from drd.core.projections.policies import OUTAGES_KEPT, UNSEEN_KEPT
from drd.core.projections.restores import RESTORES_KEPT
from drd.core.projections.runs import RUNS_KEPT
from drd.core.projections.stores import FORGOTTEN_ANCHORS_KEPT
from drd.core.rows import (
    IncidentRow,
    MemoryShelf,
    PauseRow,
    PlaceRow,
    PointRow,
    PolicyRow,
    RestoresRow,
    RunRow,
    StoreRow,
    WalRow,
)
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.core.runbook_progress import StepState
from drd.core.runbook_step import Doing, StepOutcome

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@dataclass
class Told:
    """Tables in memory, and a history that is told event by event, one a minute."""

    policies: MemoryShelf[PolicyRow] = field(default_factory=MemoryShelf)
    runs: MemoryShelf[RunRow] = field(default_factory=MemoryShelf)
    open_runs: MemoryShelf[RunRow] = field(default_factory=MemoryShelf)
    points: MemoryShelf[PointRow] = field(default_factory=MemoryShelf)
    places: MemoryShelf[PlaceRow] = field(default_factory=MemoryShelf)
    stores: MemoryShelf[StoreRow] = field(default_factory=MemoryShelf)
    restores: MemoryShelf[RestoresRow] = field(default_factory=MemoryShelf)
    incidents: MemoryShelf[IncidentRow] = field(default_factory=MemoryShelf)
    pauses: MemoryShelf[PauseRow] = field(default_factory=MemoryShelf)
    wal: MemoryShelf[WalRow] = field(default_factory=MemoryShelf)
    sequence: int = 0

    def tell(self, *bodies: Body, run: str | None = None) -> str:
        """Fold the events, and return when the last one happened."""
        for body in bodies:
            self.sequence += 1
            fold(self, Fact(self.sequence, self.now, run, body.KIND, plain(body)))
        return self.now

    @property
    def now(self) -> str:
        return moment_text(NOON + timedelta(minutes=self.sequence))

    def point(self, run: str) -> PointRow:
        row = self.points.get(("web", run))
        assert row is not None
        return row

    def policy(self) -> PolicyRow:
        row = self.policies.get(("web",))
        assert row is not None
        return row

    def store(self, name: str = "local") -> StoreRow:
        row = self.stores.get((name,))
        assert row is not None
        return row


def started(mode: Mode = Mode.FULL) -> RunStarted:
    return RunStarted("web", mode, Cause.SCHEDULE, None)


def saved(snapshot_id: str, part: str = "files", outcome: Outcome = Outcome.SUCCEEDED, **other: Any) -> SnapshotCreated:
    fields: dict[str, Any] = {"store": "local", "moment": NOON, "mode": Mode.FULL} | other
    return SnapshotCreated(
        policy="web", part=part, snapshot_id=snapshot_id, outcome=outcome,
        total_bytes=100, total_files=5, added_bytes=10, seconds=1.0, **fields,
    )  # fmt: skip


def finished(outcome: Outcome = Outcome.SUCCEEDED, mode: Mode = Mode.FULL, total_bytes: int = 100) -> RunFinished:
    return RunFinished("web", mode, outcome, "said", "type", 1.0, total_bytes, 10, "local")


def test_failures_are_counted_by_the_store_and_the_mode() -> None:
    told = Told()
    for number, (store, mode, outcome) in enumerate(
        [
            ("local", Mode.FULL, Outcome.FAILED),
            ("local", Mode.INCREMENTAL, Outcome.INCOMPLETE),
            ("offsite", Mode.FULL, Outcome.FAILED),
            ("local", Mode.FULL, Outcome.FAILED),
            ("local", Mode.FULL, Outcome.SUCCEEDED),
            ("local", Mode.FULL, Outcome.CANCELLED),
        ]
    ):
        told.tell(started(mode), replace(finished(outcome, mode), store=store), run=f"0{number}")
    assert told.policy()["failures"] == {"local": {"full": 2, "incremental": 1}, "offsite": {"full": 1}}


def test_the_figures_of_a_restore_are_those_of_all_its_parts_in_its_last_try() -> None:
    told = Told()
    begun = RestoreStarted("web", "01", "offsite", "a", "anna")
    told.tell(begun, replace(restored(outcome=Outcome.FAILED), bytes=0, seconds=60.0), run="02")
    told.tell(begun, replace(restored(), bytes=70, seconds=7.0), replace(restored(), bytes=30, seconds=3.0), run="02")
    row = told.restores.get(("web",))
    assert row is not None
    [record] = row["restores"]
    assert (record["bytes"], record["seconds"], record["whole"], record["outcome"]) == (100, 10.0, True, "succeeded")


def copied(snapshot_id: str = "b", point_run: str = "") -> CopyCreated:
    return CopyCreated("web", "files", "offsite", snapshot_id, "local", NOON, point_run)


def restored(whole: bool = True, outcome: Outcome = Outcome.SUCCEEDED, snapshot_id: str = "a") -> RestoreFinished:
    return RestoreFinished("web", "r1", "local", outcome, "", "", 1.0, 100, 5, whole, snapshot_id)


def test_a_success_moves_all_that_the_scheduler_decides_by() -> None:
    told = Told()
    told.tell(PolicyAdded("web"))
    begun = told.tell(started(), run="r1")
    ended = told.tell(finished(total_bytes=777), run="r1")
    policy = told.policy()
    assert policy["protected"]
    assert policy["last_start"] == {"full": begun}
    assert policy["last_success_start"] == {"full": begun}
    assert policy["last_success_finished"] == ended
    assert (policy["runs"], policy["failures"], policy["failures_in_a_row"]) == (1, {}, 0)
    assert policy["last_total_bytes"] == 777
    assert policy["last_run"] is not None
    assert policy["last_run"]["outcome"] == "succeeded"


def test_only_the_last_start_moves_when_a_run_fails_or_is_incomplete() -> None:
    told = Told()
    for number, outcome in enumerate((Outcome.FAILED, Outcome.INCOMPLETE)):
        told.tell(started(), finished(outcome), run=f"r{number}")
    policy = told.policy()
    assert policy["last_success_start"] == {}
    assert policy["last_total_bytes"] is None
    assert (policy["runs"], policy["failures"], policy["failures_in_a_row"]) == (2, {"local": {"full": 2}}, 2)
    told.tell(started(), finished(), run="r3")
    assert (told.policy()["failures"], told.policy()["failures_in_a_row"]) == ({"local": {"full": 2}}, 0)


def test_a_cancelled_run_is_no_failure() -> None:
    told = Told()
    told.tell(started(), finished(Outcome.CANCELLED), run="r1")
    assert (told.policy()["failures"], told.policy()["failures_in_a_row"]) == ({}, 0)


def test_a_new_base_is_wanted_until_a_full_succeeds_that_was_started_after_it_was() -> None:
    told = Told()
    told.tell(started(), run="r1")
    wanted = told.tell(NewBaseWanted("web", "timeline:7:2", "the server went over from timeline 1 to 2"))
    told.tell(finished(), run="r1")
    found = told.policy()["new_base"]
    assert found is not None
    assert (found["key"], found["since"]) == ("timeline:7:2", wanted)
    told.tell(started(mode=Mode.INCREMENTAL), finished(mode=Mode.INCREMENTAL), run="r2")
    told.tell(started(), finished(Outcome.FAILED), run="r3")
    assert told.policy()["new_base"] is not None
    told.tell(started(), finished(), run="r4")
    assert told.policy()["new_base"] is None
    assert told.policy()["last_new_base"] == "timeline:7:2"


def test_lost_wal_is_on_record_once_until_it_is_there_or_not_needed_any_more() -> None:
    told = Told()
    for first in ("05", "05", "09"):
        told.tell(WalGapFound("web", "7", first, first, 1, "", ""))
    assert [each["first"] for each in told.policy()["lost_wal"]] == ["05", "09"]
    told.tell(WalGapClosed("web", "7", "05", "05", has_arrived=True))
    assert [each["first"] for each in told.policy()["lost_wal"]] == ["09"]


def test_the_first_suspicion_is_what_is_told_until_a_person_has_looked() -> None:
    told = Told()
    since = told.tell(SuspicionRaised("web", "90 % of the files are gone"), run="r1")
    told.tell(SuspicionRaised("web", "99 % of the data is new"), run="r2")
    assert told.policy()["suspicion"] == {"message": "90 % of the files are gone", "since": since, "run": "r1"}
    told.tell(SuspicionReleased("web", "ann"))
    assert told.policy()["suspicion"] is None


def test_an_outage_is_open_until_the_service_answers_again_and_only_so_many_are_kept() -> None:
    told = Told()
    for number in range(OUTAGES_KEPT + 2):
        told.tell(ServiceFailed("web", NOON + timedelta(hours=number), None, "refused"))
    bad = NOON + timedelta(hours=OUTAGES_KEPT + 1)
    told.tell(ServiceRestored("web", bad, bad + timedelta(minutes=5)))
    outages = told.policy()["outages"]
    assert len(outages) == OUTAGES_KEPT
    assert [each["up"] for each in outages[-2:]] == [None, moment_text(bad + timedelta(minutes=5))]


def test_times_that_nobody_saw_are_kept_and_the_oldest_become_one() -> None:
    told = Told()
    for number in range(UNSEEN_KEPT + 1):
        since = NOON + timedelta(hours=number)
        told.tell(ServiceUnseen("web", since, since + timedelta(minutes=5)))
    unseen = told.policy()["unseen"]
    assert len(unseen) == UNSEEN_KEPT
    assert unseen[0] == {"since": moment_text(NOON), "until": moment_text(NOON + timedelta(hours=1, minutes=5))}
    assert unseen[-1]["until"] == moment_text(NOON + timedelta(hours=UNSEEN_KEPT, minutes=5))


def test_what_changes_no_row_leaves_none() -> None:
    told = Told()
    told.tell(DaemonStopped("signal"), PolicyRemoved("web"), SnapshotMissing("web", "local", "never-known"))
    assert told.policies.rows == {}
    assert told.points.rows == {}


def test_the_modes_are_told_apart() -> None:
    told = Told()
    full = told.tell(started(), run="r1")
    told.tell(finished(), run="r1")
    incremental = told.tell(started(Mode.INCREMENTAL), run="r2")
    assert told.policy()["last_start"] == {"full": full, "incremental": incremental}
    assert told.policy()["last_success_start"] == {"full": full}


def test_a_run_is_unfinished_until_its_end_is_told() -> None:
    told = Told()
    told.tell(started(), run="r1")
    told.tell(started(), run="r2")
    told.tell(finished(Outcome.CANCELLED), run="r1")
    assert list(told.open_runs.rows) == [("r2",)]


def test_the_newest_runs_of_a_policy_stay() -> None:
    told = Told()
    for number in range(RUNS_KEPT + 3):
        told.tell(started(), finished(), run=f"r{number}")
    names = {row["run"] for row in told.runs.rows.values()}
    assert names == {f"r{number}" for number in range(3, RUNS_KEPT + 3)}


def test_a_run_that_outlives_its_place_in_the_ring_does_not_push_a_newer_one_out() -> None:
    told = Told()
    told.tell(started(), run="slow")
    for number in range(RUNS_KEPT):
        told.tell(started(), finished(), run=f"r{number}")
    told.tell(finished(), run="slow")
    assert f"r{RUNS_KEPT - 1}" in {row["run"] for row in told.runs.rows.values()}
    assert told.open_runs.rows == {}


def test_an_end_without_a_beginning_is_a_run_all_the_same() -> None:
    told = Told()
    told.tell(finished(Outcome.SKIPPED), run="r1")
    assert [row["outcome"] for row in told.runs.rows.values()] == ["skipped"]
    assert told.policy()["last_start"] == {}


def test_a_removed_policy_keeps_its_history_and_a_new_beginning_its_own_date() -> None:
    told = Told()
    told.tell(PolicyAdded("web"))
    told.tell(started(), saved("a"), finished(), run="r1")
    told.tell(PolicyRemoved("web"))
    assert not told.policy()["protected"]
    assert told.point("r1")["copies"]
    added = told.tell(PolicyAdded("web"))
    assert (told.policy()["protected"], told.policy()["created"], told.policy()["runs"]) == (True, added, 1)
    told.tell(PolicyAdded("web"))
    assert told.policy()["created"] == added


def test_a_point_has_a_copy_in_every_store_and_goes_with_the_last() -> None:
    told = Told()
    told.tell(started(), saved("a"), copied("b"), finished(), run="r1")
    assert [(copy["store"], copy["snapshot_id"]) for copy in told.point("r1")["copies"]] == [
        ("local", "a"),
        ("offsite", "b"),
    ]
    told.tell(SnapshotMissing("web", "local", "a"))
    assert [copy["store"] for copy in told.point("r1")["copies"]] == ["offsite"]
    told.tell(SnapshotsForgotten("web", "offsite", ("b", "never-known"), "retention"))
    assert told.points.rows == {}
    assert told.places.rows == {}


def test_the_parts_of_a_point_add_up_and_the_worst_of_them_counts() -> None:
    told = Told()
    earlier = NOON - timedelta(minutes=5)
    told.tell(saved("a", outcome=Outcome.INCOMPLETE), saved("b", part="dump", moment=earlier), run="r1")
    point = told.point("r1")
    assert (point["total_bytes"], point["total_files"]) == (200, 10)
    assert point["outcome"] == "incomplete"
    assert point["moment"] == moment_text(earlier)


def test_a_point_that_lost_one_of_its_parts_everywhere_is_whole_no_more() -> None:
    told = Told()
    told.tell(started(), saved("a"), saved("b", part="dump"), saved("c", part="dump", store="offsite"), run="r1")
    told.tell(finished(), run="r1")
    told.tell(SnapshotMissing("web", "local", "b"))
    assert told.point("r1")["outcome"] == "succeeded"
    told.tell(SnapshotMissing("web", "offsite", "c"))
    assert told.point("r1")["outcome"] == "incomplete"


def test_the_end_of_a_run_decides_what_its_point_is_worth() -> None:
    told = Told()
    told.tell(started(), saved("a"), finished(Outcome.FAILED), run="r1")
    assert told.point("r1")["outcome"] == "failed"


def test_a_copy_that_is_caught_up_later_names_its_point_or_is_known_by_its_snapshot() -> None:
    told = Told()
    told.tell(saved("a"), run="r1")
    told.tell(saved("c"), run="r2")
    told.tell(copied("b", point_run="r1"), run="r9")
    told.tell(copied("c"))
    assert [copy["store"] for copy in told.point("r1")["copies"]] == ["local", "offsite"]
    assert [copy["store"] for copy in told.point("r2")["copies"]] == ["local", "offsite"]


def test_a_copy_of_a_forgotten_point_is_never_called_complete() -> None:
    told = Told()
    told.tell(copied("b"), run="r1")
    assert told.point("r1")["outcome"] == "incomplete"


def test_a_snapshot_that_was_found_is_a_point_again() -> None:
    told = Told()
    found = SnapshotFound("web", "r1", "files", "offsite", "b", NOON, Mode.FULL, Outcome.SUCCEEDED, "other")
    told.tell(found, found)
    assert told.point("r1")["outcome"] == "succeeded"
    assert len(told.point("r1")["copies"]) == 1


def test_only_a_whole_successful_restore_proves_a_copy() -> None:
    told = Told()
    told.tell(saved("a"), copied("b"), run="r1")
    told.tell(restored(whole=False), restored(outcome=Outcome.FAILED), restored(snapshot_id="other"))
    assert {copy["standing"] for copy in told.point("r1")["copies"]} == {"claimed"}
    at = told.tell(restored())
    assert [(c["standing"], c["proven_at"]) for c in told.point("r1")["copies"]] == [("proven", at), ("claimed", None)]


def test_a_restore_that_does_not_say_which_of_two_parts_it_read_proves_neither() -> None:
    told = Told()
    told.tell(saved("a"), saved("b", part="dump"), run="r1")
    told.tell(restored(snapshot_id=""))
    assert {copy["standing"] for copy in told.point("r1")["copies"]} == {"claimed"}


def test_a_store_is_away_since_it_was_first_missed_until_it_comes_back() -> None:
    told = Told()
    told.tell(StoreCreated("local", "id", None))
    since = told.tell(StoreWentAway("local", "refused"))
    told.tell(StoreWentAway("local", "refused"))
    assert told.store()["away_since"] == since
    told.tell(StoreCameBack("local"))
    assert told.store()["away_since"] is None
    assert told.store()["repository_id"] == "id"


def test_damage_stays_until_a_check_that_covers_it_is_sound() -> None:
    told = Told()
    told.tell(StoreChecked("local", "2/20", False, 1, "pack", 1.0))
    told.tell(StoreChecked("local", "", True, 0, "", 1.0))
    assert told.store()["unsound"] == ["2/20"]
    told.tell(StoreChecked("local", "2/20", True, 0, "", 1.0))
    assert told.store()["unsound"] == []
    told.tell(StoreChecked("local", "", False, 1, "index", 1.0), StoreChecked("local", "100%", True, 0, "", 1.0))
    assert told.store()["unsound"] == []


def test_a_store_owes_a_prune_from_the_first_removal_to_the_next_prune() -> None:
    told = Told()
    told.tell(StoreCreated("local", "id", None))
    told.tell(SnapshotsForgotten("web", "local", (), "retention"))
    assert not told.store()["is_prune_owed"]
    told.tell(SnapshotsForgotten("web", "local", ("a",), "retention"))
    assert told.store()["is_prune_owed"]
    told.tell(StorePruned("local", 1.0))
    assert not told.store()["is_prune_owed"]
    told.tell(SnapshotMissing("web", "local", "b"))
    assert told.store()["is_prune_owed"]


def test_retention_that_removed_nothing_leaves_a_trace_all_the_same() -> None:
    told = Told()
    at = told.tell(RetentionApplied("local", 1000, 0, 0))
    assert told.store()["last_retained"] == at
    assert not told.store()["is_prune_owed"]


def test_the_anchors_of_a_store_are_known_until_they_are_forgotten_or_its_repository_is_another() -> None:
    told = Told()
    told.tell(StoreCreated("local", "id", None))
    first, second = (told.tell(HeadAnchored("local", each, 7, "ff")) for each in ("a", "b"))
    told.tell(StoreCreated("local", "id", None))
    assert told.store()["anchors"] == [{"snapshot_id": "a", "at": first}, {"snapshot_id": "b", "at": second}]
    told.tell(AnchorsForgotten("local", ("a",)))
    assert told.store()["anchors"] == [{"snapshot_id": "b", "at": second}]
    assert told.store()["forgotten_anchors"] == ["a"]
    told.tell(StoreCreated("local", "another", None))
    assert told.store()["anchors"] == []


def test_only_so_many_forgotten_anchors_are_remembered() -> None:
    told = Told()
    for number in range(FORGOTTEN_ANCHORS_KEPT + 3):
        told.tell(AnchorsForgotten("local", (str(number),)))
    remembered = [str(number) for number in range(3, FORGOTTEN_ANCHORS_KEPT + 3)]
    assert told.store()["forgotten_anchors"] == remembered


def test_prune_reconcile_and_hold_are_noted() -> None:
    told = Told()
    pruned = told.tell(StorePruned("local", 1.0))
    reconciled = told.tell(StoreReconciled("local", 3, 0, 0))
    told.tell(HoldPlaced("local", "another daemon"))
    assert (told.store()["last_pruned"], told.store()["last_reconciled"]) == (pruned, reconciled)
    assert told.store()["hold"] == "another daemon"
    released = told.tell(HoldReleased("local", "ann"))
    assert (told.store()["hold"], told.store()["last_released"]) == (None, released)


def test_damage_is_that_of_the_repository_in_which_it_was_found() -> None:
    told = Told()
    told.tell(StoreCreated("local", "id", None), StoreChecked("local", "", False, 1, "damage", 1.0))
    assert told.store()["unsound"] == [""]
    told.tell(StoreCreated("local", "another", None))
    assert told.store()["unsound"] == []


def test_a_pause_lasts_until_it_is_ended() -> None:
    told = Told()
    told.tell(Paused("web", "backup", NOON, "moving", "ann"))
    assert told.pauses.get(("web", "backup")) == {"until": moment_text(NOON), "reason": "moving", "by": "ann"}
    told.tell(Resumed("web", "backup", "ann"))
    assert told.pauses.rows == {}


def test_the_primary_that_was_seen_last_is_remembered() -> None:
    told = Told()
    told.tell(PolicyAdded("web"), PrimarySeen("web", "one", "c1", 1), PrimarySeen("web", "two", "c1", 2, "ANY 1 (a)"))
    row = told.policies.get(("web",))
    assert row is not None
    assert row["last_primary"] is not None
    known = {"node": "two", "cluster": "c1", "timeline": 2, "synchronous": "ANY 1 (a)"}
    assert row["last_primary"] == {**known, "since": row["last_primary"]["since"]}


def a_restore(run: str) -> tuple[Body, Body]:
    begun = RestoreStarted("web", "r1", "local", "1f", "eva")
    return begun, RestoreFinished("web", "r1", "local", Outcome.SUCCEEDED, "", "", 1.0, 1, 1, True, "1f")


def test_the_newest_restores_are_known_and_every_one_without_an_end() -> None:
    told = Told()
    told.tell(a_restore("open")[0], run="open")
    for number in range(RESTORES_KEPT + 2):
        told.tell(*a_restore(f"r{number}"), run=f"r{number}")
    row = told.restores.get(("web",))
    assert row is not None
    names = [each["run"] for each in row["restores"]]
    assert names == ["open", *(f"r{number}" for number in range(2, RESTORES_KEPT + 2))]


def test_a_restore_that_goes_on_in_another_store_is_one_restore() -> None:
    told = Told()
    begun, ended = a_restore("r9")
    first = told.tell(begun, run="r9")
    told.tell(replace(ended, outcome=Outcome.FAILED), replace(begun, store="offsite"), run="r9")
    row = told.restores.get(("web",))
    assert row is not None
    assert [(each["started"], each["store"], each["outcome"]) for each in row["restores"]] == [(first, "offsite", None)]


def test_a_point_that_is_found_is_as_large_as_its_snapshots_say() -> None:
    told = Told()
    for part, store in (("files", "local"), ("files", "offsite"), ("database", "local")):
        found = SnapshotFound(
            "web", "r1", part, store, f"{part}-{store}", NOON, Mode.FULL, Outcome.SUCCEEDED, "", 50, 2
        )
        told.tell(found, run="r1")
    point = told.point("r1")
    assert (point["total_bytes"], point["total_files"]) == (100, 4)


def test_an_incident_keeps_its_facts_in_order_and_none_is_made_of_what_has_no_start() -> None:
    told = Told()
    lost = (StepFinished("Look", Doing.APPLY, StepOutcome.SUCCEEDED), IncidentFinished("web", "loss", Outcome.FAILED))
    told.tell(*lost, run="lost")
    assert told.incidents.get(("lost",)) is None
    start = IncidentStarted(
        "web", "loss", "hardware", "5e", "{}", Cause.MANUAL, "anna", "", NOON, False, ("web-1",), {"place": "/srv"}
    )
    began = told.tell(start, run="a")
    ended = told.tell(*lost, run="a")
    row = told.incidents.get(("a",))
    assert row is not None
    assert (row["policy"], row["runbook"], row["started"], row["finished"], row["outcome"]) == (
        *("web", "loss", began, ended),
        "failed",
    )
    assert [kind for _, kind, _ in row["facts"]] == ["incident-started", "step-finished", "incident-finished"]
    record = incident_of(row)
    assert record.start == start
    progress = record.progress(
        RunPlan((PlannedStage("detect", "ann", timedelta(hours=1)),), (PlannedStep("Look", "detect"),))
    )
    assert (progress.began, progress.of("Look").state, progress.finished) == (NOON, StepState.DONE, Outcome.FAILED)
