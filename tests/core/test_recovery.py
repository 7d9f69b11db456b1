"""What a recovery's time was made of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from drd.core.events import (
    Body,
    IncidentFinished,
    IncidentStarted,
    LossMeasured,
    StepAnswered,
    StepChecked,
    StepFinished,
    StepStarted,
)
from drd.core.incident import IncidentFact, IncidentRecord
from drd.core.outage import Outage
from drd.core.policy import Cause, Outcome
from drd.core.recovery import RecoveryTimes, expected, promoted_at, recovery_times
from drd.core.runbook import OnFailure
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.core.runbook_step import Answer, Choice, Doing, StepOutcome, Waiting

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

PLAN = RunPlan(
    (PlannedStage("recover", "anna", timedelta(hours=1)),),
    (
        PlannedStep("fence", "recover", on_failure=OnFailure.ASK),
        PlannedStep("ask", "recover", waits=Waiting(("anna",))),
        PlannedStep("pause", "recover", waits=Waiting(within=SECOND)),
        PlannedStep("use", "recover", action="verify"),
        PlannedStep("later", "recover"),
    ),
)


def began(step: str, action: str = "") -> StepStarted:
    return StepStarted("recover", step, Doing.APPLY, action, "")


def found_done(step: str, **facts: str) -> StepChecked:
    return StepChecked(step, Doing.APPLY, Answer.DONE, facts)


def ended(step: str, outcome: StepOutcome = StepOutcome.SUCCEEDED, **facts: str) -> StepFinished:
    return StepFinished(step, Doing.APPLY, outcome, facts=facts)


def incident(*told: tuple[float, Body], rto: float | None = 60.0) -> IncidentRecord:
    """Events by their second since the outage began; the run began after ten."""
    start = IncidentStarted(
        "orders", "loss", "hardware", "5e", "{}", Cause.MANUAL, "anna", "", NOON, False, (), {}, rto_seconds=rto
    )
    facts = tuple(IncidentFact(NOON + SECOND * at, body) for at, body in ((10.0, start), *told))
    return IncidentRecord("01RUN", "orders", "loss", False, facts[0].at, None, None, facts)


def test_the_parts_add_up_to_the_time_that_users_were_without_the_service() -> None:
    times = recovery_times(
        incident(
            (10, began("fence")),
            (15, ended("fence", StepOutcome.FAILED)),  # a person decides for five seconds
            (20, StepAnswered("fence", Choice.AGAIN, "anna", "")),
            (20, began("fence")),
            (22, ended("fence", fenced="orders-1")),
            (22, began("ask")),
            (30, StepAnswered("ask", Choice.APPROVE, "anna", "go")),
            (30, ended("ask", new_primary="orders-2")),
            (30, began("pause")),
            (31, ended("pause")),
            (31, began("use")),
            (34, ended("use", up="orders-2")),
            (34, began("later")),
            (90, ended("later")),
            (90, IncidentFinished("orders", "loss", Outcome.SUCCEEDED)),
        ),
        PLAN,
    )
    assert times.rta == SECOND * 34
    assert (times.detect, times.decide, times.human_wait, times.act, times.verify) == (
        SECOND * 10,
        SECOND * 0,
        SECOND * 13,
        SECOND * 8,
        SECOND * 3,
    )
    assert parts_of(times) == times.rta
    assert (times.fenced, times.promoted) == (NOON + SECOND * 22, NOON + SECOND * 30)
    assert times.is_kept is True


def parts_of(times: RecoveryTimes) -> timedelta:
    return times.detect + times.decide + times.human_wait + times.act + times.verify


def test_detecting_ends_when_the_loss_was_declared_and_deciding_when_the_run_began() -> None:
    def declared(second: float, *outages: Outage) -> RecoveryTimes:
        told = incident((12, began("use")), (20, ended("use", up="orders-2")))
        start = replace(told.start, declared=NOON + SECOND * second)
        facts = (IncidentFact(told.facts[0].at, start), *told.facts[1:])
        times = recovery_times(replace(told, facts=facts, finished=NOON + SECOND * 21), PLAN, outages)
        assert parts_of(times) == times.rta
        return times

    seen = declared(4)
    assert (seen.declared, seen.detect, seen.decide) == (NOON + SECOND * 4, SECOND * 4, SECOND * 6)
    before = declared(4, Outage(NOON + SECOND * 5, None, NOON + SECOND * 25))
    assert (before.detect, before.decide) == (timedelta(), SECOND * 5), "users noticed later than drd"
    early = declared(4, Outage(NOON, None, NOON + SECOND * 3))
    assert (early.detect, early.decide) == (SECOND * 3, timedelta())


def test_an_outage_that_is_not_over_has_no_time_and_keeps_no_promise() -> None:
    open_one = recovery_times(incident((12, began("fence"))), PLAN)
    assert (open_one.rta, open_one.up, open_one.is_kept) == (None, None, None)
    late = recovery_times(incident((12, began("use")), (75, ended("use", up="orders-2"))), PLAN)
    assert late.is_kept is False
    assert recovery_times(incident((12, ended("use", up="x")), rto=None), PLAN).is_kept is None


def test_what_users_saw_of_the_service_is_believed_before_the_steps() -> None:
    told = incident(
        (12, began("use")), (20, ended("use", up="orders-2")), (21, IncidentFinished("o", "l", Outcome.SUCCEEDED))
    )
    over = replace(told, finished=NOON + SECOND * 21)
    seen = Outage(NOON - SECOND * 2, NOON - SECOND * 3, NOON + SECOND * 25)
    times = recovery_times(over, PLAN, [Outage(NOON - SECOND * 90, up=NOON - SECOND * 80), seen])
    assert (times.bad, times.good, times.up, times.rta) == (seen.bad, seen.good, seen.up, SECOND * 27)
    assert times.rta_at_most == SECOND * 28
    assert parts_of(times) == times.rta
    assert (times.detect, times.decide) == (SECOND * 12, timedelta())
    lasting = recovery_times(over, PLAN, [replace(seen, up=None)])
    assert (lasting.rta, lasting.is_kept) == (None, None), "a step saw it answer, its users do not"
    early = recovery_times(over, PLAN, [replace(seen, up=NOON + SECOND * 5)])
    assert (early.rta, early.detect, early.verify) == (SECOND * 7, SECOND * 7, timedelta())
    others = [Outage(NOON - SECOND * 90, up=NOON - SECOND * 80), Outage(NOON + SECOND * 30)]
    assert recovery_times(over, PLAN, others) == recovery_times(over, PLAN)
    assert recovery_times(over, PLAN).rta_at_most is None, "nobody looked as its users do"
    assert recovery_times(replace(over, is_drill=True), PLAN, [seen]).rta == SECOND * 20


def test_a_step_is_expected_to_take_what_it_took_last() -> None:
    first = incident((10, began("fence")), (15, ended("fence")))
    newer = incident(
        (10, StepChecked("fence", Doing.APPLY, Answer.NOT_DONE)),
        (10, began("fence")),
        (12, ended("fence", StepOutcome.FAILED)),
        (13, began("fence")),
        (16, ended("fence")),
    )
    assert expected((newer, first), "fence") == SECOND * 3
    assert expected((first,), "fence") == SECOND * 5
    assert expected((newer, first), "use") is None


def test_what_was_lost_is_counted_from_the_newest_record_until_the_old_primary_took_no_writes() -> None:
    lost = LossMeasured("orders", "orders-2", 800, NOON + SECOND * 8, 1.0)
    told = incident((22, ended("fence", fenced="orders-1")), (30, ended("ask", new_primary="orders-2")), (31, lost))
    times = recovery_times(told, PLAN)
    assert (times.rpa, times.rpa_doubt, times.lost_bytes, times.is_rpo_kept) == (SECOND * 14, SECOND, 800, None)

    def started(**more: object) -> IncidentRecord:
        first = IncidentFact(told.facts[0].at, replace(told.start, **more))  # type: ignore[arg-type]
        return replace(told, facts=(first, *told.facts[1:]))

    assert recovery_times(started(rpo_seconds=5.0), PLAN).is_rpo_kept is False
    dead = recovery_times(started(rpo_seconds=5.0, was_dead=True), PLAN)
    assert (dead.rpa, dead.is_rpo_kept) == (timedelta(), True), "it took no writes after its death"
    unfenced = recovery_times(incident((31, lost)), PLAN)
    assert (unfenced.rpa, unfenced.lost_bytes) == (None, 800)
    assert recovery_times(incident((22, ended("fence", fenced="orders-1"))), PLAN).rpa is None


def test_which_transactions_were_lost_is_known_once_the_old_primary_s_own_log_was_read() -> None:
    promoted = (30, ended("ask", new_primary="orders-2"))
    assert recovery_times(incident(promoted), PLAN).lost_transactions is None
    read = (40, ended("later", rejoined="orders-1", lost_transactions="3", stranded="/state/stranded/01RUN/orders-1"))
    times = recovery_times(incident(promoted, read), PLAN)
    assert (times.lost_transactions, times.stranded) == (3, "/state/stranded/01RUN/orders-1")
    bound = "what was committed between 0/3 and 0/4 cannot be told"
    torn = (40, ended("later", rejoined="orders-1", lost=bound, stranded="/state/stranded/01RUN/orders-1"))
    times = recovery_times(incident(promoted, torn), PLAN)
    assert (times.lost_transactions, times.lost_bound) == (None, bound)
    assert times.stranded == "/state/stranded/01RUN/orders-1"


def test_only_a_real_run_that_is_over_counts_as_a_failover_and_only_where_a_node_was_promoted() -> None:
    over = replace(incident((30, ended("ask", new_primary="orders-2"))), finished=NOON + SECOND * 90)
    assert promoted_at(over) == NOON + SECOND * 30
    assert promoted_at(replace(over, finished=None)) is None
    assert promoted_at(replace(over, is_drill=True)) is None
    assert promoted_at(replace(incident((22, ended("fence"))), finished=NOON)) is None


def test_what_was_found_done_counts_as_what_a_step_has_ended_with() -> None:
    told = incident(
        (10, began("fence")),
        (12, ended("fence", StepOutcome.FAILED)),
        (14, found_done("fence", fenced="orders-1")),
        (15, began("ask", "postgres_promote")),
        (20, ended("ask", StepOutcome.FAILED)),
        (22, found_done("ask", new_primary="orders-2")),
        (23, LossMeasured("orders", "orders-2", 800, NOON + SECOND * 8)),
        (40, found_done("later", lost_transactions="3", stranded="/state/stranded")),
        (50, found_done("use", up="orders-2")),
    )
    times = recovery_times(told, PLAN)

    assert (times.fenced, times.promoted, times.up) == (NOON + SECOND * 14, NOON + SECOND * 22, NOON + SECOND * 50)
    assert (times.rpa, times.lost_transactions) == (SECOND * 6, 3)
    assert promoted_at(replace(told, finished=NOON + SECOND * 90)) == NOON + SECOND * 22


def test_a_handover_in_order_is_no_failover() -> None:
    for done in (ended("ask", new_primary="orders-2"), found_done("ask", new_primary="orders-2")):
        moved = replace(incident((10, began("ask", "postgres_switchover")), (30, done)), finished=NOON + SECOND * 90)
        assert promoted_at(moved) is None
        assert recovery_times(moved, PLAN).promoted == NOON + SECOND * 30
