"""Runs of runbooks that are held: by a pause, by the kill switch, or because nobody was reached."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from drd.core.errors import PermanentError
from drd.core.events import IncidentFinished, Paused, PeopleTold, Resumed, StepFinished
from drd.core.policy import Outcome
from drd.core.runbook import Runbook
from drd.core.runbook_step import Choice, Silence, StepOutcome
from drd.core.secrets import SecretReference
from drd.daemon.incidents import incident_status, waiting_incidents
from drd.engines.runbook_admission import StartOrder
from drd.ports.incidents import IncidentStatus
from drd.ports.machines import Contact
from tests.fakes.clock import START
from tests.fakes.deeds import DEEDS, Deed, a_house, a_runbook, a_step
from tests.fakes.house import FakeHouse

pytestmark = pytest.mark.looptime

ORDER = StartOrder("orders-loss", "anna", "it burns")
LATER = START + timedelta(hours=9)
ASK = a_step("ok", waiting=("anna",), within=timedelta(minutes=5), silence=Silence.CONTINUE)


class Promotion(Deed):
    """A promotion, as the rules know one by its name."""

    kind: ClassVar[str] = "postgres_promote"


@pytest.fixture(autouse=True)
def deeds() -> None:
    DEEDS.__init__()  # type: ignore[misc]


def reachable(*runbooks: Runbook) -> FakeHouse:
    house = a_house(*runbooks)
    anna = Contact("Anna", (SecretReference(credential="anna"),))
    house.in_force.replace(replace(house.in_force(), contacts={"anna": anna}))
    return house


async def until(claim: Callable[[], bool], seconds: float = 600) -> None:
    async with asyncio.timeout(seconds):
        while not claim():
            await asyncio.sleep(0.05)


async def told_of(house: FakeHouse, run: str) -> IncidentStatus:
    record = await house.journal.incident(run)
    assert record is not None
    return await incident_status(house.house, record)


async def test_a_request_that_reached_nobody_is_sent_again_and_silence_counts_from_when_it_did() -> None:
    house = reachable(a_runbook(ASK, a_step("b")))
    house.messenger.is_away = True
    run = await house.runbooks.start(ORDER)
    await asyncio.sleep(600)
    tries = len(house.journal.of(PeopleTold))
    assert 4 <= tries <= 8
    assert DEEDS.done == []
    [question] = (await told_of(house, run)).questions
    assert "silence means nothing, for nobody was reached yet" in question.why
    house.messenger.is_away = False
    await until(lambda: bool(house.messenger.sent), 900)
    reached = asyncio.get_running_loop().time()
    await until(lambda: DEEDS.done == ["b"])
    assert 300 <= asyncio.get_running_loop().time() - reached < 320
    assert house.journal.of(StepFinished)[0].message == "nobody answered in time"
    assert len(house.messenger.sent) == 1


async def test_a_question_tells_what_the_failover_would_cost_and_reaches_the_deputy_when_nobody_answers() -> None:
    async def costs(policy: str) -> tuple[str, ...]:
        return ("orders-2 in about 2s: nothing is lost", "fence by ssh: available")

    fails = a_step("a", on_failure="ask")
    house = reachable(a_runbook(fails, {"step": "Promote", "action": Promotion(mark="b")}))
    contacts = {name: Contact(name, (SecretReference(credential="anna"),), "bob") for name in ("anna", "bob")}
    house.in_force.replace(replace(house.in_force(), contacts=contacts))
    house.runbooks.price(costs)
    DEEDS.failing["a"] = PermanentError("no rung is confirmed")
    run = await house.runbooks.start(ORDER)
    await until(lambda: bool(house.messenger.sent), 5)
    cost = "now: orders-2 in about 2s: nothing is lost; fence by ssh: available"
    assert "no rung is confirmed; the run waits for your decision" in house.messenger.sent[0][1]
    assert cost in house.messenger.sent[0][1]
    assert cost in (await told_of(house, run)).questions[0].why
    await asyncio.sleep(330)
    assert house.journal.of(PeopleTold)[-1].people == ("anna", "bob")
    assert "nobody has said it yet" in house.messenger.sent[-1][1]
    assert cost in house.messenger.sent[-1][1]


@pytest.mark.parametrize("error", [PermanentError("no answer"), ZeroDivisionError("oh")])
async def test_people_are_asked_also_where_nobody_knows_what_it_costs(error: Exception) -> None:
    async def fails(policy: str) -> tuple[str, ...]:
        raise error

    promotes = a_runbook(ASK, {"step": "Promote", "action": Promotion(mark="b")})
    house = reachable(promotes)
    house.runbooks.price(fails)
    await house.runbooks.start(ORDER)
    await until(lambda: bool(house.messenger.sent), 5)
    assert house.messenger.sent[0][1].endswith("your approval is asked for")
    assert bool(house.log) is isinstance(error, PermanentError)


async def test_while_failovers_are_paused_nobodys_silence_is_consent_and_a_persons_word_is() -> None:
    house = reachable(a_runbook(ASK, a_step("b")))
    run = await house.runbooks.start(ORDER)
    await until(lambda: bool(house.messenger.sent))
    await house.journal.append(Paused("orders", "failover", LATER, "kernel", "bob"))
    await asyncio.sleep(1200)
    assert DEEDS.done == []
    assert "it waits for your word, since it is paused by bob: kernel" in house.messenger.sent[-1][1]
    assert len(house.messenger.sent) == 2
    [question] = (await told_of(house, run)).questions
    assert "silence means nothing while it is paused by bob: kernel" in question.why
    await house.runbooks.answer(run, None, Choice.APPROVE, "anna", "go")
    await until(lambda: DEEDS.done == ["b"])


async def test_when_a_pause_is_over_people_are_asked_once_more_before_their_silence_counts() -> None:
    house = reachable(a_runbook(ASK, a_step("b")))
    await house.runbooks.start(ORDER)
    await until(lambda: bool(house.messenger.sent))
    await house.journal.append(Paused("orders", "all", LATER, "kernel", "bob"))
    await asyncio.sleep(1200)
    await house.journal.append(Resumed("orders", "all", "bob"))
    ended = asyncio.get_running_loop().time()
    await until(lambda: DEEDS.done == ["b"])
    assert asyncio.get_running_loop().time() - ended >= 300
    assert "asked for again, for nothing is paused any more" in house.messenger.sent[-1][1]


async def test_the_kill_switch_stops_what_is_under_way_before_its_next_step_whatever_a_person_approves() -> None:
    house = reachable(a_runbook(a_step("a"), ASK, a_step("b")))
    DEEDS.seconds["a"] = 5
    run = await house.runbooks.start(ORDER)
    await until(lambda: DEEDS.done == ["a"])
    await house.journal.append(Paused("orders", "runbooks", LATER, "stop it all", "bob"))
    await asyncio.sleep(60)
    assert house.messenger.sent == []
    status = await told_of(house, run)
    assert (status.state, status.held) == ("waiting", "paused by bob: stop it all")
    [line] = await waiting_incidents(house.house)
    assert "waits, paused by bob: stop it all" in line
    assert "drd resume orders" in line
    await house.journal.append(Resumed("orders", "runbooks", "bob"))
    await until(lambda: bool(house.messenger.sent), 5)
    await house.journal.append(Paused("orders", "runbooks", LATER, "stop it all", "bob"))
    await house.runbooks.answer(run, None, Choice.APPROVE, "anna", "go")
    await asyncio.sleep(60)
    assert DEEDS.done == ["a"]
    assert house.journal.of(StepFinished)[-1].message == "anna approved: go"
    await house.runbooks.abort(run, "anna", "enough", takes_back=True)
    await until(lambda: bool(house.journal.of(IncidentFinished)))
    assert DEEDS.done[-1] == "not a"


async def test_a_pause_that_ends_by_itself_lets_a_run_go_on() -> None:
    house = reachable(a_runbook(a_step("a"), a_step("b")))
    DEEDS.seconds["a"] = 5
    await house.runbooks.start(ORDER)
    await until(lambda: DEEDS.done == ["a"])
    await house.journal.append(Paused("orders", "runbooks", START + timedelta(minutes=5), "stop", "bob"))
    await asyncio.sleep(200)
    assert DEEDS.done == ["a"]
    await until(lambda: DEEDS.done == ["a", "b"], 150)
    await until(lambda: bool(house.journal.of(IncidentFinished)))
    assert house.journal.of(IncidentFinished)[0].outcome is Outcome.SUCCEEDED
    assert {each.outcome for each in house.journal.of(StepFinished)} == {StepOutcome.SUCCEEDED}
