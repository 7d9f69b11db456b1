"""Runs of runbooks by the engine, over the fakes: killed, resumed, answered, aborted, paused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from drd.core.errors import Busy, PermanentError, RefusedByGuard, TransientError, UsageError
from drd.core.events import (
    BugFound,
    IncidentFinished,
    IncidentStarted,
    Paused,
    PeopleTold,
    RunbookEdited,
    StepAnswered,
    StepChecked,
    StepFinished,
    StepOrdered,
    StepStarted,
)
from drd.core.incident import IncidentRecord
from drd.core.policy import Outcome
from drd.core.runbook import Runbook
from drd.core.runbook_step import Answer, Choice, Doing, StepOutcome
from drd.daemon.incidents import incident_status
from drd.engines.runbook_admission import StartOrder
from drd.ports.machines import Contact
from tests.fakes.clock import START
from tests.fakes.deeds import DEEDS, Deed, Deeds, a_house, a_runbook, a_step
from tests.fakes.house import FakeHouse, a_policy, protected

pytestmark = pytest.mark.looptime


@pytest.fixture(autouse=True)
def deeds() -> Deeds:
    DEEDS.__init__()  # type: ignore[misc]
    return DEEDS


ORDER = StartOrder("orders-loss", "anna", "it burns")


async def over(house: FakeHouse, run: str, seconds: float = 3600) -> IncidentRecord:
    """The incident, as soon as it is over."""
    async with asyncio.timeout(seconds):
        while (record := await house.journal.incident(run)) is None or record.finished is None:
            await asyncio.sleep(0.05)
    return record


async def until(claim: Callable[[], bool], seconds: float = 600) -> None:
    async with asyncio.timeout(seconds):
        while not claim():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def left(house: FakeHouse) -> AsyncIterator[FakeHouse]:
    """The house, which is killed at the end of the block."""
    yield house
    await house.runbooks.drain(0)


async def test_a_run_journals_each_intent_before_and_each_outcome_after() -> None:
    async with left(a_house(a_runbook(a_step("a"), a_step("b")))) as house:
        record = await over(house, await house.runbooks.start(ORDER))
    kinds = [fact.body.KIND for fact in record.facts]
    assert kinds == [
        "incident-started",
        *(["step-started", "step-finished"] * 2),
        "incident-finished",
    ]
    assert (record.outcome, DEEDS.done) == (Outcome.SUCCEEDED, ["a", "b"])
    start = record.start
    assert (start.by, start.words, start.began, start.digest) == ("anna", "it burns", START, "5e" * 32)
    assert start.locks == ("policy orders",)


@pytest.mark.parametrize("events", range(1, 5))
async def test_a_daemon_that_dies_after_any_event_goes_on_at_the_first_step_that_is_not_done(events: int) -> None:
    first = a_house(a_runbook(a_step("a"), a_step("b")))
    DEEDS.seconds.update(a=5, b=5)
    run = await first.runbooks.start(ORDER)
    await until(lambda: len(first.journal.events) >= events)
    await first.runbooks.drain(0)
    written = len(first.journal.events)
    async with left(a_house(after=first)) as second:
        [resumed] = await second.runbooks.resume_open()
        assert resumed.run == run
        record = await over(second, run)
    assert record.outcome is Outcome.SUCCEEDED
    assert len(second.journal.of(IncidentStarted)) == 1
    cut = written in (2, 4)  # in the middle of a step: it had no effect yet, so it is asked about and done again
    assert [body.answer for body in second.journal.of(StepChecked)] == [Answer.NOT_DONE] * cut
    assert set(DEEDS.done) == {"a", "b"}
    assert len(DEEDS.done) <= 2 + cut


async def test_what_took_effect_before_the_daemon_died_is_not_done_again() -> None:
    first = a_house(a_runbook(a_step("a")))
    DEEDS.seconds["a"] = 5
    run = await first.runbooks.start(ORDER)
    await until(lambda: DEEDS.done == ["a"])
    await first.runbooks.drain(0)
    DEEDS.is_there.add("a")
    async with left(a_house(after=first)) as second:
        await second.runbooks.resume_open()
        assert (await over(second, run)).outcome is Outcome.SUCCEEDED
    assert DEEDS.done == ["a"]


async def test_what_a_step_orders_is_on_record_before_and_known_in_every_later_try_also_of_another_daemon() -> None:
    DEEDS.orders["a"] = {"ordered_to_lead": "orders-2"}
    DEEDS.failing["a"] = TransientError("no answer", "")
    async with left(a_house(a_runbook(a_step("a", retry=2)))) as first:
        await first.runbooks.start(ORDER)
        await until(lambda: not DEEDS.failing)
        DEEDS.seconds["a"] = 5
        await until(lambda: len(DEEDS.done) == 2, 60)
        assert [each.facts for each in first.journal.of(StepOrdered)] == 2 * [DEEDS.orders["a"]]
    async with left(a_house(after=first)) as second:
        await second.runbooks.resume_open()
        await until(lambda: len(DEEDS.done) == 3)
    told = [at.variables.get("ordered_to_lead") for at in DEEDS.situations]
    assert told == [None, "orders-2", "orders-2"]
    assert [at.is_again for at in DEEDS.situations] == [False, True, True]


async def test_a_person_is_asked_where_nothing_tells_whether_a_step_was_done() -> None:
    first = a_house(a_runbook(a_step("a")))
    DEEDS.seconds["a"], DEEDS.answers["a"] = 5, Answer.UNKNOWN
    run = await first.runbooks.start(ORDER)
    await until(lambda: DEEDS.done == ["a"])
    await first.runbooks.drain(0)
    async with left(a_house(after=first)) as second:
        await second.runbooks.resume_open()
        await until(lambda: bool(second.journal.of(PeopleTold)))
        assert second.journal.of(PeopleTold)[0].failures == ("anna has no address",)
        with pytest.raises(UsageError, match=r"no step of .* waits for this"):
            await second.runbooks.answer(run, None, Choice.APPROVE, "anna", "")
        assert await second.runbooks.answer(run, None, Choice.DONE, "anna", "I saw it") == "Do a"
        assert (await over(second, run)).outcome is Outcome.SUCCEEDED
    assert DEEDS.done == ["a"]


async def test_what_a_person_has_done_is_looked_at_and_known_to_later_steps() -> None:
    steps = (a_step("a", on_failure="ask"), a_step("b ${new_primary}"))
    async with left(a_house(a_runbook(*steps))) as house:
        DEEDS.failing["a"] = PermanentError("no", "")
        DEEDS.found["a"] = {"new_primary": "orders-2"}
        run = await house.runbooks.start(ORDER)
        await until(lambda: bool(house.journal.of(PeopleTold)))
        await house.runbooks.answer(run, None, Choice.DONE, "anna", "by hand")
        record = await over(house, run)
    assert (record.outcome, DEEDS.done) == (Outcome.SUCCEEDED, ["a", "b orders-2"])
    assert record.found["new_primary"] == "orders-2"


@pytest.mark.parametrize("error", [PermanentError("no answer", ""), ZeroDivisionError("oh")])
async def test_what_a_person_has_done_and_nobody_sees_is_done_all_the_same(error: Exception) -> None:
    async with left(a_house(a_runbook(a_step("a", on_failure="ask")))) as house:
        DEEDS.failing.update({"a": PermanentError("no", ""), "found a": error})
        run = await house.runbooks.start(ORDER)
        await until(lambda: bool(house.journal.of(PeopleTold)))
        await house.runbooks.answer(run, None, Choice.DONE, "anna", "by hand")
        assert (await over(house, run)).outcome is Outcome.SUCCEEDED
    assert bool(house.log) is isinstance(error, PermanentError)


async def test_a_run_goes_on_by_the_runbook_that_it_began_with() -> None:
    first = a_house(a_runbook(a_step("a"), a_step("b")))
    DEEDS.seconds["a"] = 5
    run = await first.runbooks.start(ORDER)
    await until(lambda: DEEDS.done == ["a"])
    await first.runbooks.drain(0)
    second = a_house(a_runbook(a_step("other")), after=first)
    pinned = first.in_force().runbooks
    second.read_runbook = lambda document: pinned[document]
    async with left(second):
        await second.runbooks.resume_open()
        await over(second, run)
    assert DEEDS.done == ["a", "a", "b"]


async def test_a_run_whose_runbook_is_edited_says_that_it_goes_on_by_what_it_began_with() -> None:
    house = a_house(a_runbook(a_step("a", waiting=("anna",)), a_step("b")))
    async with left(house):
        began = house.in_force()
        run = await house.runbooks.start(ORDER)
        assert await house.runbooks.note_edits() == ()
        edited = began.runbooks["orders-loss"].model_copy(update={"digest": "5f" * 32})
        house.in_force.replace(replace(began, runbooks={"orders-loss": edited}))
        assert await house.runbooks.note_edits() == (f"run {run} of orders-loss goes on by what it began with",)
        assert await house.runbooks.note_edits() == (), "it is said once"
        await until(lambda: any(each.topic.startswith("edited 5f") for each in house.journal.of(PeopleTold)))
        record = await house.journal.incident(run)
        assert record is not None
        status = await incident_status(house.house, record)
        assert "was changed since: this run goes on by what it began with" in status.edited
        assert any("file changed to 5f5f" in line.text for line in status.timeline)
        house.in_force.replace(replace(began, runbooks={}))
        assert len(await house.runbooks.note_edits()) == 1
        house.in_force.replace(began)
        assert await house.runbooks.note_edits() == ()
        assert [each.is_as_begun for each in house.journal.of(RunbookEdited)] == [False, False, True]
        record = await house.journal.incident(run)
        assert record is not None
        assert (await incident_status(house.house, record)).edited == ""


async def test_a_runbook_that_this_drd_cannot_read_ends_its_run_with_a_sentence() -> None:
    first = a_house(a_runbook(a_step("a", waiting=("anna",))))
    run = await first.runbooks.start(ORDER)
    await first.runbooks.drain(0)
    second = a_house(after=first)

    def refuse(document: str) -> Runbook:
        raise UsageError("stages.0: what is that", "")

    second.read_runbook = refuse
    async with left(second):
        await second.runbooks.resume_open()
        record = await over(second, run)
    assert record.outcome is Outcome.FAILED
    assert "stages.0: what is that" in second.journal.of(IncidentFinished)[0].message


async def test_an_approval_is_waited_for_and_its_words_are_kept() -> None:
    async with left(a_house(a_runbook(a_step("ok", waiting=("anna", "bob")), a_step("b")))) as house:
        run = await house.runbooks.start(ORDER)
        await until(lambda: bool(house.journal.of(PeopleTold)))
        assert house.journal.of(PeopleTold)[0].people == ("anna", "bob")
        assert DEEDS.done == []
        with pytest.raises(UsageError, match="no incident nothing"):
            await house.runbooks.answer("nothing", None, Choice.APPROVE, "anna", "")
        await house.runbooks.answer(run, None, Choice.APPROVE, "bob", "go on")
        record = await over(house, run)
        with pytest.raises(UsageError, match="no incident"):
            await house.runbooks.answer(run, None, Choice.APPROVE, "anna", "")
    assert record.outcome is Outcome.SUCCEEDED
    assert record.facts[-3].body.KIND == "step-started"
    assert house.journal.of(StepFinished)[0].message == "bob approved: go on"


async def test_only_who_speaks_for_those_asked_may_approve_and_the_refusal_names_them() -> None:
    house = a_house(a_runbook(a_step("ok", waiting=("anna",)), a_step("b", on_failure="ask")))
    contacts = {"anna": Contact("Anna", (), "bob", ("anna", "ann")), "bob": Contact("Bob", users=("bob",))}
    house.in_force.replace(replace(house.in_force(), contacts=contacts))
    DEEDS.failing["b"] = PermanentError("no", "")
    async with left(house):
        run = await house.runbooks.start(ORDER)
        await until(lambda: bool(house.journal.of(PeopleTold)))
        for choice in (Choice.APPROVE, Choice.REFUSE):
            with pytest.raises(RefusedByGuard, match="anna is asked, for whom eve does not speak") as refused:
                await house.runbooks.answer(run, None, choice, "eve", "why not")
            assert "who may answer: anna, ann, bob" in refused.value.hint
        assert house.journal.of(StepAnswered) == []
        record = await house.journal.incident(run)
        assert record is not None
        assert "who may answer: anna, ann, bob" in (await incident_status(house.house, record)).questions[0].why
        await house.runbooks.answer(run, None, Choice.APPROVE, "bob", "she is ill")
        await until(lambda: len(house.journal.of(StepFinished)) == 2)
        await house.runbooks.answer(run, None, Choice.DONE, "eve", "by hand")  # nobody is named there
        assert (await over(house, run)).outcome is Outcome.SUCCEEDED


async def test_an_approval_that_nobody_gives_stops_the_run_also_after_a_restart() -> None:
    ok = a_step("ok", waiting=("anna",), within=timedelta(minutes=10))
    first = a_house(a_runbook(ok, a_step("b")))
    run = await first.runbooks.start(ORDER)
    await asyncio.sleep(400)
    await first.runbooks.drain(0)
    async with left(a_house(after=first)) as second:
        await second.runbooks.resume_open()
        record = await over(second, run)
    assert (record.outcome, DEEDS.done) == (Outcome.FAILED, [])
    assert record.finished is not None
    assert timedelta(minutes=10) <= record.finished - START < timedelta(minutes=11)


async def test_two_steps_that_wait_are_told_apart_by_their_titles() -> None:
    steps = (a_step("a", waiting=("anna",), parallel=True), a_step("b", waiting=("anna",), parallel=True))
    async with left(a_house(a_runbook(*steps))) as house:
        run = await house.runbooks.start(ORDER)
        await until(lambda: len(house.journal.of(StepStarted)) == 2)
        with pytest.raises(UsageError, match="several steps wait: Do a; Do b"):
            await house.runbooks.answer(run, None, Choice.APPROVE, "anna", "")
        await house.runbooks.answer(run, "Do b", Choice.APPROVE, "anna", "")
        await house.runbooks.answer(run, None, Choice.REFUSE, "anna", "no")
        assert (await over(house, run)).outcome is Outcome.FAILED


async def test_failures_are_told_retried_and_taken_back() -> None:
    steps = (a_step("a"), a_step("b", retry=1), a_step("c", on_failure="undo"))
    async with left(a_house(a_runbook(*steps))) as house:
        DEEDS.failing.update(b=TransientError("not now", ""), c=PermanentError("never", "look", "the program's words"))
        record = await over(house, await house.runbooks.start(ORDER))
    assert DEEDS.done == ["a", "b", "b", "c", "not c", "not b", "not a"]
    assert record.outcome is Outcome.FAILED
    [finished] = house.journal.of(IncidentFinished)
    assert finished.message == "Do c: never"
    assert house.log == ["Do c: the program's words"]  # nowhere else


async def test_a_step_that_takes_too_long_has_failed() -> None:
    async with left(a_house(a_runbook(a_step("a", timeout="3s")))) as house:
        DEEDS.seconds["a"] = 100
        record = await over(house, await house.runbooks.start(ORDER), seconds=30)
    assert house.journal.of(StepFinished)[0].message == "it took longer than 3s"
    assert record.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("failure", "is_known"),
    [
        (TransientError("the connection is lost", ""), False),
        (ZeroDivisionError("oh"), False),
        (None, False),
        (PermanentError("it ended with status 1", ""), True),
    ],
)
async def test_a_try_that_ended_without_an_answer_is_repeated_only_when_it_is_seen_not_to_be_done(
    failure: Exception | None, is_known: bool
) -> None:
    async with left(a_house(a_runbook(a_step("a", timeout="3s", retry=2)))) as house:
        DEEDS.answers["a"] = Answer.UNKNOWN
        if failure is None:
            DEEDS.seconds["a"] = 100
        else:
            DEEDS.failing["a"] = failure
        run = await house.runbooks.start(ORDER)
        if is_known:
            await over(house, run, seconds=30)
            assert DEEDS.done == ["a", "a"]
            return
        await until(lambda: bool(house.journal.of(PeopleTold)), 30)
        assert (DEEDS.done, house.journal.of(StepFinished)[0].outcome) == (["a"], StepOutcome.UNKNOWN)
        DEEDS.answers["a"] = Answer.DONE
        await house.runbooks.answer(run, None, Choice.AGAIN, "anna", "I see nothing")
        assert (await over(house, run, seconds=30)).outcome is Outcome.SUCCEEDED
    assert DEEDS.done == ["a"], "it had come meanwhile"


async def test_a_mistake_of_drds_own_fails_the_step_and_is_journaled() -> None:
    async with left(a_house(a_runbook(a_step("a")))) as house:
        DEEDS.failing["a"] = ZeroDivisionError("oh")
        record = await over(house, await house.runbooks.start(ORDER))
    assert record.outcome is Outcome.FAILED
    assert house.journal.of(BugFound)[0].error == "ZeroDivisionError"


async def test_an_abort_stops_what_runs_and_takes_back_what_was_done() -> None:
    async with left(a_house(a_runbook(a_step("a"), a_step("b"), a_step("c")))) as house:
        DEEDS.seconds["b"] = 1000
        run = await house.runbooks.start(ORDER)
        await until(lambda: DEEDS.done == ["a", "b"])
        await house.runbooks.abort(run, "anna", "wrong night", takes_back=True)
        record = await over(house, run, seconds=60)
    assert record.outcome is Outcome.CANCELLED
    assert DEEDS.done == ["a", "b", "not b", "not a"]
    outcomes = [(each.step, each.doing, each.outcome) for each in house.journal.of(StepFinished)]
    assert outcomes[1] == ("Do b", Doing.APPLY, StepOutcome.CANCELLED)


async def test_one_run_at_a_time_works_with_a_node_and_a_drill_works_with_none() -> None:
    other = a_runbook(a_step("b"), name="orders-other")
    async with left(a_house(a_runbook(a_step("a", waiting=("anna",), drilled=True)), other)) as house:
        run = await house.runbooks.start(ORDER)
        with pytest.raises(Busy, match="orders-loss works with policy orders already"):
            await house.runbooks.start(replace(ORDER, runbook="orders-other"))
        drill = await house.runbooks.start(replace(ORDER, runbook="orders-other", is_drill=True))
        assert (await over(house, drill)).is_drill
        await house.runbooks.answer(run, None, Choice.APPROVE, "anna", "")
        await over(house, run)
        await over(house, await house.runbooks.start(replace(ORDER, runbook="orders-other")))


async def test_a_node_that_a_step_names_is_worked_at_by_one_run_alone_whichever_policy_it_is_of() -> None:
    steps = (
        a_step("a", node="proxy-1", waiting=("anna",)),
        a_step("b", node="${old_primary}"),
        a_step("c", node="primary"),
    )
    one = a_runbook(*steps)
    house = a_house(
        one, a_runbook(a_step("d", node="proxy-1"), name="shop-loss"), a_runbook(a_step("e"), name="shop-other")
    )
    both = {name: protected(a_policy(name).model_copy(update={"nodes": (f"{name}-1",)})) for name in ("orders", "shop")}
    runbooks = house.in_force().runbooks
    shops = {name: runbooks[name].model_copy(update={"policy": "shop"}) for name in ("shop-loss", "shop-other")}
    house.in_force.replace(replace(house.in_force(), policies=both, runbooks={**runbooks, **shops}))
    async with left(house):
        run = await house.runbooks.start(replace(ORDER, variables={"primary": "orders-1"}))
        assert house.journal.of(IncidentStarted)[0].locks == ("orders-1", "proxy-1")
        with pytest.raises(Busy, match="orders-loss works with proxy-1 already"):
            await house.runbooks.start(replace(ORDER, runbook="shop-loss"))
        await over(house, await house.runbooks.start(replace(ORDER, runbook="shop-other")))
        await house.runbooks.abort(run, "anna", "enough", takes_back=False)
        await over(house, run)
        await over(house, await house.runbooks.start(replace(ORDER, runbook="shop-loss")))


@pytest.mark.parametrize(
    ("variables", "sentence", "hint"),
    [
        ({"primary": "orders-9"}, "orders-9 is no node of orders, so it cannot be the primary", "its nodes: orders-1"),
        ({"primray": "orders-1"}, "no runbook can be told what primray is", "best_standby, new_primary"),
        ({"run": "1"}, "no runbook can be told what run is", "primary"),
    ],
)
async def test_what_nobody_knows_starts_nothing(variables: dict[str, str], sentence: str, hint: str) -> None:
    house = a_house(a_runbook(a_step("a")))
    nodes = a_policy().model_copy(update={"nodes": ("orders-1", "orders-2")})
    house.in_force.replace(replace(house.in_force(), policies={"orders": protected(nodes)}))
    async with left(house):
        with pytest.raises(UsageError, match=sentence) as refused:
            await house.runbooks.start(replace(ORDER, variables=variables))
        assert hint in refused.value.hint
        assert house.journal.events == []


async def test_a_drill_touches_nothing_and_says_what_it_skipped() -> None:
    steps = (a_step("a", drilled=True), a_step("b", on_failure="continue"))
    async with left(a_house(a_runbook(*steps))) as house:
        record = await over(house, await house.runbooks.start(replace(ORDER, is_drill=True)))
    assert (DEEDS.done, DEEDS.rehearsed) == ([], ["a"])
    assert [each.outcome for each in house.journal.of(StepFinished)] == [StepOutcome.SUCCEEDED, StepOutcome.SKIPPED]
    assert record.outcome is Outcome.INCOMPLETE


async def test_nothing_starts_while_it_is_paused() -> None:
    async with left(a_house(a_runbook(a_step("a")))) as house:
        until_later = START + timedelta(hours=2)
        await house.journal.append(Paused("orders", "failover", until_later, "kernel", "bob"))
        with pytest.raises(RefusedByGuard, match="paused by bob: kernel") as refused:
            await house.runbooks.start(ORDER)
        assert "--override" in refused.value.hint
        assert house.journal.of(IncidentStarted) == []
        await asyncio.sleep(7300)
        await over(house, await house.runbooks.start(ORDER))


async def test_a_person_overrides_a_pause_which_stays_on_record_but_not_the_kill_switch() -> None:
    async with left(a_house(a_runbook(a_step("a")))) as house:
        until_later = START + timedelta(hours=2)
        await house.journal.append(Paused("orders", "failover", until_later, "kernel", "bob"))
        record = await over(house, await house.runbooks.start(replace(ORDER, overrides=True)))
        assert (record.outcome, record.start.against) == (Outcome.SUCCEEDED, ("paused by bob: kernel",))
        await house.journal.append(Paused("orders", "runbooks", until_later, "stop it all", "bob"))
        with pytest.raises(RefusedByGuard, match="paused by bob: stop it all") as refused:
            await house.runbooks.start(replace(ORDER, overrides=True))
        assert refused.value.hint == "type: drd resume orders"


async def test_a_start_that_is_refused_names_all_that_stands_against_it() -> None:
    asks, waits = a_runbook(a_step("${place}"), name="asks"), a_runbook(a_step("ok", waiting=("anna",)), name="waits")
    async with left(a_house(a_runbook(a_step("a")), asks, waits)) as house:
        await house.runbooks.start(replace(ORDER, runbook="waits"))
        await house.journal.append(Paused("orders", "failover", START + timedelta(hours=2), "kernel", "bob"))
        with pytest.raises(RefusedByGuard) as refused:
            await house.runbooks.start(ORDER)
        assert "paused by bob: kernel; waits works with policy orders already" in refused.value.message
        assert "drd resume orders" in refused.value.hint
        assert "drd incident show" in refused.value.hint
        with pytest.raises(UsageError) as unknown:
            await house.runbooks.start(replace(ORDER, runbook="asks", variables={"primray": "one"}))
        told = ("asks has to be told: place", "no runbook can be told what primray is", "paused by bob: kernel")
        assert all(each in unknown.value.message for each in told)
        assert len(house.journal.of(IncidentStarted)) == 1


async def test_what_is_unknown_or_not_told_starts_nothing() -> None:
    asked = a_runbook(a_step("${place} at ${point}"), name="asks")
    async with left(a_house(a_runbook(a_step("a")), asked)) as house:
        with pytest.raises(UsageError, match="there is no runbook nothing"):
            await house.runbooks.start(replace(ORDER, runbook="nothing"))
        with pytest.raises(UsageError, match="has to be told: place, point"):
            await house.runbooks.start(replace(ORDER, runbook="asks"))
        told = replace(ORDER, runbook="asks", variables={"place": "/srv", "point": "latest"})
        await over(house, await house.runbooks.start(told))
    assert DEEDS.done == ["/srv at latest"]


async def test_nothing_is_done_that_the_journal_does_not_take() -> None:
    async with left(a_house(a_runbook(a_step("ok", waiting=("anna",)), a_step("b")))) as house:
        run = await house.runbooks.start(ORDER)
        await until(lambda: bool(house.journal.of(PeopleTold)))
        await house.runbooks.answer(run, None, Choice.APPROVE, "anna", "")
        house.journal.is_full = True
        await asyncio.sleep(60)
        assert DEEDS.done == []
        house.journal.is_full = False
        assert (await over(house, run)).outcome is Outcome.SUCCEEDED


async def test_a_missed_deadline_tells_the_deputy_and_the_run_goes_on() -> None:
    async with left(a_house(a_runbook(a_step("a"), deadline=timedelta(seconds=10)))) as house:
        DEEDS.seconds["a"] = 30
        record = await over(house, await house.runbooks.start(ORDER))
    assert record.outcome is Outcome.SUCCEEDED
    assert {each.people for each in house.journal.of(PeopleTold)} == {("bob",)}


async def test_previews_and_blockers_change_nothing() -> None:
    first = a_step("a", done_when=Deed(mark="look"), undo=Deed(mark="back ${place}"))
    async with left(a_house(a_runbook(first, a_step("in ${place}")))) as house:
        runbook = house.runbooks.demand("orders-loss")
        previews = await house.runbooks.previews(runbook, {})
        assert [preview.commands for _, _, preview in previews] == [
            ("do a", "asked whether it is done: do look", "taken back: do back ${place}"),
            ("do in ${place}",),
        ]
        assert "taken back: ${place} stands for nothing" in previews[0][2].unchecked[0]
        assert "stands for nothing" in previews[1][2].unchecked[0]
        [blocker] = await house.runbooks.blockers(runbook, {})
        assert "has to be told: place" in blocker
    assert house.journal.events == []
