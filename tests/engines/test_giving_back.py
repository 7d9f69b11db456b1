"""Standbys that a run has left cut off receive again once their primary answers, and no earlier."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from drd.core.errors import PermanentError
from drd.core.events import BugFound, StandbysGivenBack
from drd.core.health import Hysteresis
from drd.core.probing import Failure, Sign
from drd.core.runbook_step import Choice
from drd.daemon.incidents import words_of
from drd.engines.runbook_admission import StartOrder
from drd.ports.machines import Machine
from drd.ports.probe import Target, Watch
from tests.core.watched import primary, standby
from tests.fakes.deeds import DEEDS, a_runbook, a_step
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.probe import Answers, FakeProbe

pytestmark = pytest.mark.looptime
CUT = standby(is_cut_off=True, is_receiving=False, heard_seconds_ago=None)


@asynccontextmanager
async def watched() -> AsyncIterator[FakeHouse]:
    """A primary `one`, and a standby `two` that was left cut off."""
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS.update({"one": Answers(primary()), "two": Answers(CUT)})
    targets = tuple(Target("orders", name, "127.0.0.1") for name in FakeProbe.ANSWERS)
    plan = a_policy().model_copy(update={"nodes": tuple(FakeProbe.ANSWERS)})
    house = FakeHouse(replace(protected(plan), watch=Watch(targets, (FakeProbe(),), Hysteresis(1.0, 0.5))))
    by_hand = a_runbook(a_step("wait", waiting=("anna",)), name="by-hand")
    machines = {name: Machine(name, "127.0.0.1") for name in FakeProbe.ANSWERS}
    house.in_force.replace(replace(house.in_force(), machines=machines, runbooks={"by-hand": by_hand}))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (house.watching.serve("orders"), house.giving_back.serve())]
        yield house
        for task in tasks:
            task.cancel()
        await house.runbooks.drain(0)


async def test_a_standby_receives_again_when_the_primary_answers_and_its_run_has_ended() -> None:
    async with watched() as house:
        told = a_runbook(a_step("a"), name="told")
        house.in_force.replace(replace(house.in_force(), runbooks={"told": told}))
        DEEDS.failing["a"] = PermanentError("no", "")
        await house.runbooks.start(StartOrder("told", "anna"))
        await asyncio.sleep(4)
        assert house.given_back == []
        await asyncio.sleep(4)
        assert house.given_back[:1] == ["two"]
        FakeProbe.ANSWERS["two"].seen = standby()
        assert house.journal.of(StandbysGivenBack)[0] == StandbysGivenBack("orders", "one", ("two",))


async def test_it_receives_again_while_its_run_waits_for_a_person_before_anybody_was_told_to_lead() -> None:
    async with watched() as house:
        run = await house.runbooks.start(StartOrder("by-hand", "anna"))
        await asyncio.sleep(4)
        assert house.given_back == []
        await asyncio.sleep(4)
        assert house.given_back[:1] == ["two"]
        FakeProbe.ANSWERS["two"].seen = standby()
        await asyncio.sleep(2)
        record = await house.journal.incident(run)
        assert record is not None
        told = [words_of(fact.body) for fact in record.facts if isinstance(fact.body, StandbysGivenBack)]
        assert told[0] == "one answers again, so two may receive from it: a fence by revoke holds no longer"


async def test_nobody_is_given_back_in_a_run_that_has_told_somebody_to_lead_or_by_which_somebody_leads() -> None:
    async with watched() as house:
        steps = (a_step("a"), a_step("wait", waiting=("anna",)))
        told = a_runbook(*steps, name="told")
        house.in_force.replace(replace(house.in_force(), runbooks={"told": told}))
        DEEDS.orders["a"] = {"ordered_to_lead": "two"}
        run = await house.runbooks.start(StartOrder("told", "anna"))
        await asyncio.sleep(30)
        assert house.given_back == []
        await house.runbooks.abort(run, "anna", "enough", takes_back=False)
        await asyncio.sleep(1)
        DEEDS.orders.clear()
        by_hand = a_runbook(a_step("b", on_failure="ask"), a_step("wait", waiting=("anna",)), name="told")
        house.in_force.replace(replace(house.in_force(), runbooks={"told": by_hand}))
        DEEDS.failing["b"], DEEDS.found["b"] = PermanentError("no", ""), {"new_primary": "two"}
        run = await house.runbooks.start(StartOrder("told", "anna"))
        await asyncio.sleep(1)
        await house.runbooks.answer(run, "Do b", Choice.DONE, "anna", "promoted by hand")
        await asyncio.sleep(30)
        assert house.given_back == []
        FakeProbe.ANSWERS["two"].seen = standby()


async def test_nobody_is_given_back_while_somebody_looks_whether_they_are_cut_off_to_promote_one_of_them() -> None:
    async with watched() as house:
        async with house.services.deciding_on_standbys("orders"):
            await asyncio.sleep(30)
            assert house.given_back == []
        await asyncio.sleep(10)
        assert house.given_back[:1] == ["two"]
        FakeProbe.ANSWERS["two"].seen = standby()


async def test_when_somebody_was_told_to_lead_and_may_yet_nobody_receives_from_the_old_primary() -> None:
    async with watched() as house:
        told = a_runbook(a_step("a"), name="told")
        house.in_force.replace(replace(house.in_force(), runbooks={**house.in_force().runbooks, "told": told}))
        DEEDS.orders["a"] = {"ordered_to_lead": "two"}
        DEEDS.failing["a"] = PermanentError("two does not answer", "")
        await house.runbooks.start(StartOrder("told", "anna"))
        await asyncio.sleep(60)
        assert house.given_back == []
        unsaid = await house.runbooks.start(StartOrder("by-hand", "anna"))
        await house.runbooks.abort(unsaid, "anna", "nothing was looked at", takes_back=False)
        await asyncio.sleep(10)
        assert house.given_back == []
        run = await house.runbooks.start(StartOrder("by-hand", "anna", fenced="two"))
        await house.runbooks.abort(run, "anna", "the other one leads for good", takes_back=False)
        await asyncio.sleep(10)
        assert house.given_back[:1] == ["two"]
        FakeProbe.ANSWERS["two"].seen = standby()


async def test_a_drill_makes_no_order_to_lead_void() -> None:
    async with watched() as house:
        told = a_runbook(a_step("a"), name="told")
        house.in_force.replace(replace(house.in_force(), runbooks={**house.in_force().runbooks, "told": told}))
        DEEDS.orders["a"] = {"ordered_to_lead": "two"}
        DEEDS.failing["a"] = PermanentError("two does not answer", "")
        await house.runbooks.start(StartOrder("told", "anna"))
        await asyncio.sleep(30)
        DEEDS.failing.clear()
        await house.runbooks.start(StartOrder("told", "anna", is_drill=True))
        await asyncio.sleep(60)
        assert house.given_back == []


async def test_as_long_as_the_primary_is_away_it_stays_cut_off() -> None:
    async with watched() as house:
        await asyncio.sleep(2)
        one = FakeProbe.ANSWERS["one"]
        one.failure, one.signs = Failure.REFUSED, (Sign.SESSION_CLOSED,)
        one.on_closed()
        await asyncio.sleep(60)
        assert house.given_back == []
        one.failure, one.signs = None, ()
        await asyncio.sleep(10)
        assert house.given_back[:1] == ["two"]


async def test_a_standby_that_a_reload_took_away_and_a_mistake_of_drd_s_own_end_no_daemon() -> None:
    async with watched() as house:
        machines = house.in_force().machines
        house.in_force.replace(replace(house.in_force(), machines={"one": machines["one"]}))
        await asyncio.sleep(30)
        assert (house.given_back, house.journal.of(BugFound)) == ([], [])

        house.mistake_in_giving_back = ValueError("a mistake")
        house.in_force.replace(replace(house.in_force(), machines=machines))
        await asyncio.sleep(30)
        [bug] = house.journal.of(BugFound)
        assert (bug.unit, bug.error, bug.quarantined) == ("standbys of orders left cut off", "ValueError", False)
        house.mistake_in_giving_back = None
        await asyncio.sleep(2)
        assert house.given_back[:1] == ["two"]
