"""Runbooks that start by themselves, in virtual time: when, with what, and never a second one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from drd.core.errors import AtWork, PermanentError, RefusedByGuard, UsageError
from drd.core.events import (
    FailoverHeld,
    IncidentFinished,
    IncidentStarted,
    Paused,
    PeopleTold,
    PolicyAdded,
    PrimarySeen,
    Resumed,
)
from drd.core.health import Hysteresis
from drd.core.incident import IncidentRecord
from drd.core.policy import Cause, Disaster, DisasterClass, Maintenance, Outcome
from drd.core.probing import DatabaseSeen, Failure, Quorum, Sign
from drd.core.runbook import Runbook
from drd.core.runbook_step import Choice
from drd.core.secrets import SecretReference
from drd.daemon.control import HouseControl
from drd.daemon.incidents import incident_status
from drd.engines.runbook_admission import StartOrder
from drd.ports.action import Facts, Situation
from drd.ports.incidents import RunbookOrder
from drd.ports.machines import Contact
from drd.ports.probe import Target, Watch
from tests.core.watched import primary, standby
from tests.fakes.deeds import DEEDS, Deed, Deeds, a_runbook, a_step
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.probe import Answers, FakeProbe

pytestmark = pytest.mark.looptime
RULES = Hysteresis(every_seconds=1.0, timeout_seconds=0.5)


class FakePromotion(Deed):
    """A promotion, as the rules know one by its name; `two` is the primary afterwards."""

    kind: ClassVar[str] = "postgres_promote"
    SEEN: ClassVar[dict[str, DatabaseSeen]] = {}
    """What a node is seen to be afterwards."""

    async def apply(self, at: Situation) -> Facts:
        assert "fence" in at.done
        told = await super().apply(at)
        FakeProbe.ANSWERS["two"].seen = self.SEEN.get("two", primary(2000, timeline=2))
        return {**told, "new_primary": "two"}


class FakeFence(Deed):
    """A fence, as the rules know one by its name."""

    kind: ClassVar[str] = "fence"
    by: tuple[str, ...] = ("power",)


class FakeApproval(Deed):
    """An approval, as the rules know one by its name."""

    kind: ClassVar[str] = "approve"


PROMOTION = {"step": "Promote", "action": FakePromotion(mark="promote")}
FENCE = {"step": "Fence", "action": FakeFence(mark="fence")}


@pytest.fixture(autouse=True)
def deeds() -> Deeds:
    DEEDS.__init__()  # type: ignore[misc]
    FakePromotion.SEEN.clear()
    return DEEDS


def a_failover(*steps: dict[str, Any], name: str = "orders-loss", mode: str = "automatic", **guards: Any) -> Runbook:
    found = a_runbook(*(steps or (FENCE, PROMOTION)), name=name).model_dump(exclude={"stages"})
    stages = a_runbook(*(steps or (FENCE, PROMOTION))).stages
    health = {"health": {"node": "primary", "is": "down"}}
    return Runbook.model_validate({**found, "mode": mode, "guards": guards, "triggers": [health], "stages": stages})


def a_restart(*steps: dict[str, Any], mode: str = "automatic") -> Runbook:
    found = a_failover(*(steps or (a_step("restart"),)), name="orders-restart", mode=mode)
    return found.model_copy(update={"disaster": DisasterClass.PROCESS})


@dataclass
class Cluster:
    house: FakeHouse
    answers: dict[str, Answers]

    def die(self, node: str = "one") -> None:
        """The process is gone, and its sessions are closed."""
        found = self.answers[node]
        found.failure, found.signs = Failure.REFUSED, (Sign.SESSION_CLOSED,)
        self.answers["two"].seen = standby(heard_seconds_ago=None, is_receiving=False)
        found.on_closed()

    def come_back(self, node: str = "one") -> None:
        """It runs again, as a primary."""
        found = self.answers[node]
        found.failure, found.signs, found.seen = None, (), primary()

    @property
    def started(self) -> list[IncidentStarted]:
        return self.house.journal.of(IncidentStarted)

    @property
    def held(self) -> list[FailoverHeld]:
        return self.house.journal.of(FailoverHeld)


async def until(claim: Callable[[], bool], seconds: float = 600) -> None:
    async with asyncio.timeout(seconds):
        while not claim():
            await asyncio.sleep(0.05)


async def record_of(house: FakeHouse, run: str) -> IncidentRecord:
    found = await house.journal.incident(run)
    assert found is not None
    return found


@asynccontextmanager
async def watched(
    *runbooks: Runbook,
    after: FakeHouse | None = None,
    answers: dict[str, Answers] | None = None,
    has_power: bool = True,
    **objectives: Any,
) -> AsyncIterator[Cluster]:
    """A primary `one` and a standby `two`, and a daemon that acts, killed at the end of the block."""
    answers = answers or {"one": Answers(primary()), "two": Answers(standby(heard_seconds_ago=0.05))}
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS.update(answers)
    targets = tuple(Target("orders", name, "127.0.0.1", has_power=has_power) for name in answers)
    disasters = {each.disaster: Disaster(runbook=each.name) for each in runbooks}
    plan = a_policy(objectives=objectives).model_copy(update={"disasters": disasters, "nodes": tuple(answers)})
    policy = replace(protected(plan), watch=Watch(targets, (FakeProbe(),), RULES))
    house = FakeHouse(*(() if after else (policy,)), after=after)
    house.in_force.replace(
        replace(house.in_force(), policies={"orders": policy}, runbooks={each.name: each for each in runbooks})
    )
    if after is None:
        await house.journal.append(PolicyAdded("orders"))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(house.watching.serve("orders")),
            group.create_task(house.watching.serve_record()),
            group.create_task(house.acting.serve()),
        ]
        await house.runbooks.resume_open()
        yield Cluster(house, answers)
        for task in tasks:
            task.cancel()
        await house.runbooks.drain(0)


async def test_a_dead_primary_is_replaced_at_once_and_the_run_knows_why_it_was_started() -> None:
    async with watched(a_failover()) as it:
        await asyncio.sleep(3.3)
        died = it.house.clock.now()
        it.die()
        await until(lambda: "promote" in DEEDS.done, seconds=0.3)
        await asyncio.sleep(30)

        [started] = it.started
        assert (started.cause, started.by, started.variables["primary"]) == (Cause.HEALTH, "drd", "one")
        assert started.began - died < timedelta(seconds=0.1)
        assert started.declared is not None
        assert died <= started.declared < died + timedelta(seconds=0.3), "when the primary was judged, not before"
        assert "one is lost: process dead; one is fenced before a standby is promoted; two in about" in started.words
        assert DEEDS.done == ["fence", "promote"]
        assert it.held == []


async def test_a_plan_and_a_drill_look_as_if_the_best_standby_had_been_promoted() -> None:
    steps = (FENCE, PROMOTION, a_step("to ${new_primary} from ${primary}", drilled=True), a_step("${primary}"))
    async with watched(a_failover(*steps)) as it:
        await asyncio.sleep(3.3)
        control = HouseControl(it.house.house, it.house.clock.now(), nothing_to_reload)
        planned = (await control.runbook_plan("orders-loss", {})).lines
        assert planned[2].commands == ("do to two from one",)
        assert planned[2].unchecked == ("looked at as if two had been promoted",)
        assert (planned[3].commands, planned[3].unchecked) == (("do one",), ())
        told = (await control.runbook_plan("orders-loss", {"new_primary": "six"})).lines[2]
        assert (told.commands, told.unchecked) == (("do to six from one",), ())

        order = RunbookOrder(runbook="orders-loss", by="anna", is_drill=True)
        told_of = [step async for step in control.runbook_start(order)]
        assert told_of[-1].outcome is Outcome.INCOMPLETE  # a fence and a promotion have no form for a drill here
        assert DEEDS.rehearsed == ["to two from one"]
        assert DEEDS.done == []


async def nothing_to_reload() -> tuple[str, ...]:
    return ()


@pytest.mark.parametrize("mode", ["manual", "automatic"])
async def test_what_holds_it_back_is_told_once_and_when_it_lets_go_the_run_begins(mode: str) -> None:
    async with watched(a_failover(mode=mode)) as it:
        until_later = it.house.clock.now() + timedelta(hours=2)
        await it.house.journal.append(Paused("orders", "failover", until_later, "kernel", "bob"))
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(30)

        [held] = it.held
        assert held.guards == (("paused", "mode") if mode == "manual" else ("paused",))
        assert "by bob: kernel" in held.message
        assert it.started == []
        await it.house.journal.append(Resumed("orders", "failover", "bob"))
        await asyncio.sleep(30)
        assert len(it.started) == (mode == "automatic")
        assert [each.guards for each in it.held[1:]] == ([("mode",)] if mode == "manual" else [])


async def test_a_run_that_failed_is_not_started_again_in_the_same_outage_not_by_the_next_daemon_either() -> None:
    DEEDS.failing["fence"] = PermanentError("no answer", "")
    async with watched(a_failover()) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: bool(it.house.journal.of(IncidentFinished)))
        await asyncio.sleep(30)
        assert len(it.started) == 1
        assert [each.guards for each in it.held] == [("tried before",)]
    async with watched(a_failover(), after=it.house, answers=it.answers) as again:
        await asyncio.sleep(30)
        assert len(again.started) == 1
        again.come_back()
        await asyncio.sleep(30)
        again.die()
        await asyncio.sleep(30)
        assert len(again.started) == 2


@asynccontextmanager
async def after_an_order_in_vain() -> AsyncIterator[Cluster]:
    """The primary was lost, and the run has ended that told the standby to lead, which it did not do in time."""
    DEEDS.orders["promote"] = {"ordered_to_lead": "two"}
    DEEDS.failing["promote"] = PermanentError("two is not the primary in time", "")
    async with watched(a_failover()) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: bool(it.house.journal.of(IncidentFinished)))
        yield it


async def test_after_a_run_has_told_somebody_to_lead_who_may_do_so_yet_drd_promotes_nobody_in_the_next_outage() -> None:
    async with after_an_order_in_vain() as it:
        it.come_back()
        await asyncio.sleep(30)
        it.die()
        await asyncio.sleep(30)
        assert len(it.started) == 1
        assert it.held[-1].guards == ("tried before",)
        assert "has told two to take over, which may do so yet" in it.held[-1].message
        order = StartOrder("orders-loss", "anna")
        with pytest.raises(RefusedByGuard, match="has told two to take over, which may do so yet") as refused:
            await it.house.runbooks.start(order)
        assert "one has led since, which has to be fenced as well" in refused.value.message
        assert "--fenced two" in refused.value.hint
        with pytest.raises(RefusedByGuard, match="one has led since"):
            await it.house.runbooks.start(replace(order, variables={"primary": "two"}))
        with pytest.raises(UsageError, match="no earlier run has told one to take over"):
            await it.house.runbooks.start(replace(order, fenced="one"))
        assert len(it.started) == 1
        drill = await it.house.runbooks.start(replace(order, is_drill=True))
        await until(lambda: any(each.run == drill for each in it.house.journal.events))
        await it.house.runbooks.start(replace(order, fenced="two"))
        assert it.started[-1].fenced == "two"
        assert "two was told to take over before, and is fenced as anna says" in it.started[-1].against


async def test_who_may_lead_by_an_earlier_order_is_fenced_by_the_run_that_promotes_another_one() -> None:
    async with after_an_order_in_vain() as it:
        with pytest.raises(RefusedByGuard, match="has told two to take over, which may do so yet") as refused:
            await it.house.runbooks.start(StartOrder("orders-loss", "anna"))
        assert "--set primary=two" in refused.value.hint
        assert "--fenced two" in refused.value.hint
        await it.house.runbooks.start(StartOrder("orders-loss", "anna", variables={"primary": "two"}))
        assert it.started[-1].variables["primary"] == "two"


async def test_a_daemon_that_is_killed_in_the_middle_goes_on_and_starts_nothing_twice() -> None:
    DEEDS.seconds["fence"] = 5
    async with watched(a_failover()) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: DEEDS.done == ["fence"])
    async with watched(a_failover(), after=it.house, answers=it.answers) as again:
        await until(lambda: bool(again.house.journal.of(IncidentFinished)))
        await asyncio.sleep(30)
        assert len(again.started) == 1
        assert again.house.journal.of(IncidentFinished)[0].outcome is Outcome.SUCCEEDED


async def test_a_primary_that_dies_while_drd_is_away_is_known_from_the_journal_and_replaced() -> None:
    async with watched(a_failover()) as it:
        await asyncio.sleep(3.3)
    it.die()
    async with watched(a_failover(), after=it.house, answers=it.answers) as again:
        await asyncio.sleep(30)
        assert DEEDS.done == ["fence", "promote"]
        assert [each.variables["primary"] for each in again.started] == ["one"]
        assert [each.node for each in again.house.journal.of(PrimarySeen)] == ["one", "two"]


async def test_a_synchronous_primary_that_dies_while_drd_is_away_is_replaced_whatever_may_be_lost_at_most() -> None:
    failover = a_failover(max_lag="16 MiB")
    quorum = Quorum(1, ("two",))
    answers = {"one": Answers(primary(quorum=quorum)), "two": Answers(standby(replicates_as="two"))}
    async with watched(failover, answers=answers, rpo="5s") as it:
        await asyncio.sleep(3.3)
        assert [each.synchronous for each in it.house.journal.of(PrimarySeen)] == ['FIRST 1 ("two")']
        it.answers["one"].seen = primary(quorum=replace(quorum, lowered_by=("a role",)))
        await asyncio.sleep(3)
        it.answers["one"].seen = primary(quorum=quorum)
        await asyncio.sleep(3)
        assert [bool(each.synchronous) for each in it.house.journal.of(PrimarySeen)] == [True, False, True]
    it.die()
    it.answers["two"].seen = standby(replicates_as="two", heard_seconds_ago=None, is_receiving=False)
    async with watched(failover, after=it.house, answers=it.answers, rpo="5s") as again:
        await until(lambda: "promote" in DEEDS.done, 20)
        assert again.started[-1].variables["primary"] == "one"


async def test_a_policy_that_is_changed_while_its_primary_is_lost_is_served_all_the_same() -> None:
    async with watched(a_failover()) as it:
        await it.house.journal.append(
            Paused("orders", "failover", it.house.clock.now() + timedelta(hours=1), "x", "anna")
        )
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(10)
        before = await it.house.acting.decision("orders")
        assert before is not None
        assert before.candidate is not None
        changed = asyncio.create_task(it.house.watching.serve("orders"))
        await asyncio.sleep(10)
        found = await it.house.acting.decision("orders")
        assert found is not None
        assert (found.primary, found.candidate) == ("one", before.candidate)
        await it.house.journal.append(Resumed("orders", "failover", "anna"))
        await until(lambda: "promote" in DEEDS.done, 20)
        changed.cancel()


async def test_a_dead_process_is_started_again_first_and_replaced_when_that_does_not_help() -> None:
    async with watched(a_failover(), a_restart()) as it:
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(30)
        assert DEEDS.done == ["restart", "fence", "promote"]
        assert [each.runbook for each in it.started] == ["orders-restart", "orders-loss"]


async def test_a_process_that_comes_back_is_not_replaced_and_a_second_outage_is_another_one() -> None:
    async with watched(a_failover(), a_restart(a_step("restart", repeatable=True))) as it:
        DEEDS.seconds["restart"] = 1
        for count in (1, 2):
            await asyncio.sleep(10)
            it.die()
            await until(lambda: DEEDS.done == ["restart"] * count)  # noqa: B023 - it is called at once
            it.come_back()
        await asyncio.sleep(30)
        assert DEEDS.done == ["restart"] * 2


async def test_what_commits_waited_for_is_told_to_whoever_goes_on_with_the_run() -> None:
    awaiting = primary(quorum=Quorum(1, ("two",)), peers=())
    answers = {"one": Answers(awaiting), "two": Answers(standby(heard_seconds_ago=0.05))}
    async with watched(a_failover(), answers=answers) as it:
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(30)
        assert [each.variables["synchronous"] for each in it.started] == ['FIRST 1 ("two")']


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_clock_that_is_set_makes_no_outage_an_earlier_one_and_none_a_new_one(hours: int) -> None:
    async with watched(a_failover()) as it:
        DEEDS.failing["promote"] = PermanentError("no standby can be promoted", "")
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: bool(it.house.journal.of(IncidentFinished)))
        it.house.clock.step(timedelta(hours=hours))
        await asyncio.sleep(60)
        assert len(it.started) == 1

        it.come_back()
        await asyncio.sleep(60)
        it.die()
        await asyncio.sleep(60)
        assert len(it.started) == 2


async def test_a_second_failover_waits_for_the_hold_down() -> None:
    async with watched(a_failover(hold_down="30m")) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: bool(it.house.journal.of(IncidentFinished)))
        it.answers["one"].seen, it.answers["one"].failure = standby(2000, timeline=2), None
        await asyncio.sleep(30)
        two = it.answers["two"]
        two.failure, two.signs = Failure.REFUSED, (Sign.SESSION_CLOSED,)
        it.answers["one"].seen = standby(2000, timeline=2, heard_seconds_ago=None, is_receiving=False)
        two.on_closed()
        await asyncio.sleep(60)
        assert [each.guards for each in it.held] == [("hold-down",)]
        await asyncio.sleep(1800)
        assert [each.variables["primary"] for each in it.started] == ["one", "two"]


async def test_after_a_run_that_a_person_began_while_the_primary_was_well_nothing_starts_on_older_looks() -> None:
    DEEDS.seconds["promote"] = 5
    async with watched(a_failover()) as it:
        await asyncio.sleep(3.3)
        await it.house.runbooks.start(StartOrder("orders-loss", "anna"))
        assert it.started[-1].declared is None, "she did so herself"
        await asyncio.sleep(2)
        it.die()
        it.answers["two"].latency = 0.1  # what it has become is seen after the run is over
        await until(lambda: bool(it.house.journal.of(IncidentFinished)))
        await asyncio.sleep(60)
        assert [each.by for each in it.started] == ["anna"]


async def test_a_start_that_is_refused_is_told_and_not_repeated_in_the_journal() -> None:
    asks = a_failover(FENCE, PROMOTION, a_step("in ${place}"))
    async with watched(asks) as it:
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(30)
        assert it.started == []
        [held] = it.held
        assert "orders-loss does not start: orders-loss has to be told: place" in held.message


async def test_nothing_starts_while_a_person_runs_another_runbook_with_the_nodes() -> None:
    by_hand = a_runbook(a_step("wait", waiting=("anna",)), name="by-hand")
    async with watched(a_failover()) as it:
        force = it.house.in_force()
        it.house.in_force.replace(replace(force, runbooks={**force.runbooks, "by-hand": by_hand}))
        await asyncio.sleep(3.3)
        run = await it.house.runbooks.start(StartOrder("by-hand", "bob"))
        it.die()
        await asyncio.sleep(10)
        assert [each.runbook for each in it.started] == ["by-hand"]
        assert [each.guards for each in it.held] == [("run under way",)]
        await it.house.runbooks.abort(run, "bob", "enough", takes_back=False)
        await asyncio.sleep(10)
        assert [each.runbook for each in it.started] == ["by-hand", "orders-loss"]


async def test_with_mode_approve_the_incident_opens_and_waits_and_those_asked_are_told_the_cost() -> None:
    asking = a_step("ask", waiting=("anna",), within=timedelta(minutes=10))
    async with watched(a_failover(asking, FENCE, PROMOTION, mode="approve")) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: bool(it.house.journal.of(PeopleTold)))
        await asyncio.sleep(30)
        [started] = it.started
        assert "a person has to approve: mode: the runbook's mode is approve" in started.words
        assert "two in about 500ms: it lacks 0 B" in started.words
        assert "fence by power: available" in started.words
        [run] = it.house.runbooks.under_way()
        [question] = (await incident_status(it.house.house, await record_of(it.house, run.run))).questions
        assert "it lacks 0 B" in question.why
        assert DEEDS.done == []
        await it.house.runbooks.answer(run.run, None, Choice.APPROVE, "anna", "go")
        await until(lambda: DEEDS.done == ["fence", "promote"])


async def test_who_approves_what_a_person_has_started_is_told_what_it_costs_now() -> None:
    asking = a_step("ask", waiting=("anna",), within=timedelta(minutes=10))
    async with watched(a_failover(asking, FENCE, PROMOTION, mode="manual")) as it:
        anna = Contact("Anna", (SecretReference(credential="anna"),))
        it.house.in_force.replace(replace(it.house.in_force(), contacts={"anna": anna}))
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(1)
        run = await it.house.runbooks.start(StartOrder("orders-loss", "bob", "it burns", variables={"primary": "one"}))
        await until(lambda: bool(it.house.messenger.sent))
        told = it.house.messenger.sent[0][1]
        assert "now: two in about 500ms: it lacks 0 B" in told
        assert "fence by power: available" in told
        [question] = (await incident_status(it.house.house, await record_of(it.house, run))).questions
        assert "now: two in about 500ms: it lacks 0 B" in question.why


@pytest.mark.parametrize("on_its_way", [(), (Sign.RESTARTING,)], ids=["at once", "by way of a recovery"])
async def test_a_primary_that_is_well_again_ends_a_run_that_has_changed_nothing_and_no_other(
    on_its_way: tuple[Sign, ...],
) -> None:
    asking = a_step("ask", waiting=("anna",))
    asking["action"] = FakeApproval(mark="ask", waiting=("anna",))
    async with watched(a_failover(asking, FENCE, PROMOTION, mode="approve")) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: bool(it.started))
        if on_its_way:
            it.answers["one"].failure, it.answers["one"].signs = Failure.WRONG_ANSWER, on_its_way
            await asyncio.sleep(10)
            assert not it.house.journal.of(IncidentFinished)
        it.come_back()
        await until(lambda: bool(it.house.journal.of(IncidentFinished)))
        [over] = it.house.journal.of(IncidentFinished)
        assert (over.outcome, over.message) == (Outcome.CANCELLED, "drd ended it: one is well again")
        assert DEEDS.done == []


async def test_without_a_fence_an_automatic_runbook_is_not_used_up_but_held_and_told() -> None:
    async with watched(a_failover(), has_power=False) as it:
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(30)
        assert it.started == []
        assert [each.guards for each in it.held] == [("fence",)]


async def test_without_a_fence_a_runbook_that_asks_there_is_started_and_a_person_may_fence_by_hand() -> None:
    DEEDS.failing["fence"] = PermanentError("no rung is confirmed", "")
    async with watched(a_failover({**FENCE, "on_failure": "ask"}, PROMOTION), has_power=False) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: bool(it.house.journal.of(PeopleTold)))
        assert "a person has to approve: fence" in it.started[0].words
        [run] = it.house.runbooks.under_way()
        await it.house.runbooks.answer(run.run, None, Choice.DONE, "anna", "its plug is pulled")
        await until(lambda: DEEDS.done == ["fence", "promote"])


async def test_a_primary_that_is_well_again_ends_a_run_whose_fence_was_confirmed_by_nothing() -> None:
    DEEDS.failing["fence"] = PermanentError("no rung is confirmed", "")
    async with watched(a_failover({**FENCE, "on_failure": "ask"}, PROMOTION)) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: bool(it.house.journal.of(PeopleTold)))
        it.come_back()
        await until(lambda: bool(it.house.journal.of(IncidentFinished)))
        [over] = it.house.journal.of(IncidentFinished)
        assert (over.outcome, over.message) == (Outcome.CANCELLED, "drd ended it: one is well again")
        assert DEEDS.done == ["fence"]


async def test_a_second_loss_while_the_first_run_still_works_is_told() -> None:
    async with watched(a_failover(FENCE, PROMOTION, a_step("rebuild", waiting=("anna",)))) as it:
        await asyncio.sleep(3.3)
        it.die()
        await until(lambda: "promote" in DEEDS.done)
        it.answers["two"].seen = primary(6000, timeline=2, forks=((1, 4200),))
        await asyncio.sleep(30)
        assert it.held == []
        it.answers["two"].failure, it.answers["two"].signs = Failure.REFUSED, (Sign.SESSION_CLOSED,)
        it.answers["two"].on_closed()
        await asyncio.sleep(30)
        [held] = it.held
        assert (held.node, "run under way" in held.guards) == ("two", True)


async def test_two_policies_that_act_by_themselves_over_one_cluster_hold_each_other() -> None:
    async with watched(a_failover()) as it:
        force = it.house.in_force()
        other = force.policies["orders"]
        billing = replace(other, policy=other.policy.model_copy(update={"policy": "billing"}))
        it.house.in_force.replace(replace(force, policies={"orders": other, "billing": billing}))
        also = asyncio.create_task(it.house.watching.serve("billing"))
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(10)
        assert it.started == []
        assert {each.guards for each in it.held} == {("shared cluster",)}
        also.cancel()


async def test_runs_of_two_policies_over_one_cluster_exclude_each_other_whatever_their_nodes_are_called() -> None:
    also = {"other-one": Answers(primary()), "other-two": Answers(standby(heard_seconds_ago=0.05))}
    foreign = {"far-one": Answers(replace(primary(), cluster="another"))}
    async with watched(a_failover(a_step("a"), mode="manual")) as it:
        FakeProbe.ANSWERS.update({**also, **foreign})
        force = it.house.in_force()
        policies, runbooks = dict(force.policies), dict(force.runbooks)
        for name, nodes in (("billing", also), ("archive", foreign)):
            plan = a_policy(name).model_copy(update={"nodes": tuple(nodes)})
            targets = tuple(Target(name, node, "127.0.0.1") for node in nodes)
            policies[name] = replace(protected(plan), watch=Watch(targets, (FakeProbe(),), RULES))
            runbooks[name] = a_runbook(a_step(name), name=name).model_copy(update={"policy": name})
        it.house.in_force.replace(replace(force, policies=policies, runbooks=runbooks))
        watching = [asyncio.create_task(it.house.watching.serve(name)) for name in ("billing", "archive")]
        await asyncio.sleep(3.3)
        DEEDS.seconds["a"] = 60
        run = await it.house.runbooks.start(StartOrder("orders-loss", "anna"))
        [started] = it.started
        assert started.locks == ("one", "two", f"cluster {primary().cluster}")
        with pytest.raises(AtWork, match=f"works with cluster {primary().cluster} already, run {run}"):
            await it.house.runbooks.start(StartOrder("billing", "bob"))
        await it.house.runbooks.start(StartOrder("archive", "bob"))
        await until(lambda: it.house.journal.of(IncidentFinished)[1:] != [], seconds=120)
        await it.house.runbooks.start(StartOrder("billing", "bob"))
        await until(lambda: "billing" in DEEDS.done, seconds=60)
        assert set(DEEDS.done) == {"a", "archive", "billing"}
        for task in watching:
            task.cancel()


async def test_a_person_who_starts_it_all_the_same_overrides_what_holds_it_and_that_is_on_record() -> None:
    async with watched(a_failover(hold_down="30m")) as it:
        await asyncio.sleep(3.3)
        assert await it.house.acting.overridden("orders-loss") == ("primary answers: one answers",)
        assert await it.house.acting.overridden("nothing") == ()
        order = StartOrder("orders-loss", "anna", against=("primary answers: one answers",))
        await it.house.runbooks.start(order)
        [started] = it.started
        assert (started.against, started.variables["primary"]) == (("primary answers: one answers",), "one")
        assert started.locks == ("one", "two", "cluster c1")
        await until(lambda: bool(it.house.journal.of(IncidentFinished)))


async def test_in_planned_downtime_nothing_starts_and_afterwards_it_does() -> None:
    async with watched(a_failover()) as it:
        force = it.house.in_force()
        found = force.policies["orders"]
        now = it.house.clock.now()
        window = f"{now:%H:%M}-{now + timedelta(minutes=2):%H:%M}"
        planned = found.policy.model_copy(update={"maintenance": (Maintenance(every=window, reason="kernel"),)})
        it.house.in_force.replace(replace(force, policies={"orders": replace(found, policy=planned)}))
        await asyncio.sleep(3.3)
        it.die()
        await asyncio.sleep(20)
        assert it.started == []
        assert [each.guards for each in it.held] == [("paused",)]
        assert f"maintenance, {window}: kernel" in it.held[0].message
        await asyncio.sleep(180)
        assert DEEDS.done == ["fence", "promote"]
