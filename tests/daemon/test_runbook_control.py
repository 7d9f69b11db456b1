"""What people ask of runbooks and order of them, answered by the engines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import pytest

from drd.core.errors import UsageError
from drd.core.policy import Outcome
from drd.core.runbook import Runbook
from drd.core.runbook_step import Choice
from drd.daemon.control import HouseControl
from drd.daemon.startup import start_up
from drd.ports.incidents import RunbookOrder
from drd.ports.steps import Step
from tests.fakes.clock import START
from tests.fakes.deeds import DEEDS, a_house, a_runbook, a_step
from tests.fakes.house import FakeHouse

pytestmark = pytest.mark.looptime

ORDER = RunbookOrder(runbook="orders-loss", by="anna", words="it burns", began=START - timedelta(minutes=1))


async def nothing_to_reload() -> tuple[str, ...]:
    return ()


@pytest.fixture(autouse=True)
def deeds() -> None:
    DEEDS.__init__()  # type: ignore[misc]


@asynccontextmanager
async def controlled(house: FakeHouse) -> AsyncIterator[HouseControl]:
    await start_up(house.house)
    try:
        yield HouseControl(house.house, START, nothing_to_reload)
    finally:
        await house.runbooks.drain(0)


async def followed(steps: AsyncIterator[Step]) -> list[Step]:
    async with asyncio.timeout(600):
        return [step async for step in steps]


async def test_a_run_is_followed_to_its_end_and_told_with_its_times() -> None:
    house = a_house(a_runbook(a_step("a", by_hand="do it"), a_step("b")), rto="10m")
    DEEDS.seconds.update(a=5, b=5)
    async with controlled(house) as control:
        steps = await followed(control.runbook_start(ORDER))
        assert [step.kind for step in steps] == ["started", *["fact"] * (len(steps) - 2), "finished"]
        assert steps[1].text == "run started by anna: it burns"
        assert (steps[-1].outcome, steps[-1].exit_code) == (Outcome.SUCCEEDED, 0)
        [status] = await control.incidents("orders")
        assert status == await control.incident("orders-loss") == await control.incident(status.run)
        assert (status.state, [step.by_hand for step in status.steps]) == ("succeeded", ["do it", ""])
        assert status.times.rta is not None
        assert status.times.is_kept
        assert (status.times.detect, status.times.decide) == (timedelta(minutes=1), timedelta())
        assert [(each.who, each.did) for each in status.who] == [
            ("anna", "started the run"),
            ("drd", "did a step, 2 times"),
        ]
        planned = await control.runbook_plan("orders-loss", {})
        assert [line.expected for line in planned.lines] == [timedelta(seconds=5)] * 2
        assert (planned.expected, planned.rto, planned.blockers) == (timedelta(seconds=10), timedelta(minutes=10), ())
        with pytest.raises(UsageError, match="there is no incident nothing"):
            await control.incident("nothing")


async def test_a_run_that_is_late_says_that_the_objective_was_missed() -> None:
    async with controlled(a_house(a_runbook(a_step("a")), rto="30s")) as control:
        steps = await followed(control.runbook_start(ORDER))
    assert (steps[-1].exit_code, steps[-1].message) == (3, "the objective was missed")


async def test_who_follows_a_run_is_told_when_it_waits_for_a_person_and_what_to_type() -> None:
    house = a_house(a_runbook(a_step("ok", waiting=("anna",)), a_step("b", on_failure="ask")))
    DEEDS.failing["b"] = UsageError("it broke", "")
    async with controlled(house) as control:
        steps = await followed(control.runbook_start(ORDER))
        run = steps[-1].run
        assert (steps[-1].exit_code, steps[-1].hint) == (4, f"drd runbook approve {run} --reason TEXT")
        [warning] = (await control.status()).warnings
        assert warning == f"the runbook orders-loss waits for a person: Do ok; type: drd incident show {run}"
        assert await control.runbook_answer("orders-loss", None, Choice.APPROVE, "anna", "go") == "Do ok"
        async with asyncio.timeout(60):
            while not (asking := [step for step in (await control.incident(run)).steps if step.state == "asking"]):
                await asyncio.sleep(0.1)
        assert asking[0].message == "it broke"
        assert (await control.incident(run)).questions[0].choices == (Choice.AGAIN, Choice.DONE)
        await control.runbook_abort("orders-loss", "anna", "enough", takes_back=True)
        async with asyncio.timeout(60):
            while (await control.incident(run)).outcome is None:
                await asyncio.sleep(0.1)
        ended = await control.incident(run)
        assert (ended.state, ended.message) == ("cancelled", "anna ended it: enough")
        assert "anna ends it and has it taken back: enough" in [line.text for line in ended.timeline]
        assert {each.who: each.did for each in ended.who} == {
            "anna": "started the run; was not reached, 2 times; said approve: Do ok; ended it",
            "drd": "failed at: Do b; took a step back, 2 times",
        }
        assert (await control.status()).warnings == ()


async def test_who_leaves_leaves_the_run_to_the_daemon() -> None:
    house = a_house(a_runbook(a_step("a")))
    DEEDS.seconds["a"] = 60
    async with controlled(house) as control:
        async with aclosing(control.runbook_start(ORDER)) as steps:
            assert (await anext(steps)).kind == "started"
        await asyncio.sleep(120)
        assert (await control.incident("orders-loss")).outcome is Outcome.SUCCEEDED


async def test_an_incident_of_another_version_of_drd_is_told_by_what_it_did() -> None:
    house = a_house(a_runbook(a_step("a")))
    async with controlled(house) as control:
        await followed(control.runbook_start(ORDER))

        def refuse(document: str) -> Runbook:
            raise UsageError("stages.0: what is that", "")

        house.read_runbook = refuse
        status = await control.incident("orders-loss")
    assert [(step.step, step.state) for step in status.steps] == [("Do a", "done")]
    assert status.outcome is Outcome.SUCCEEDED
