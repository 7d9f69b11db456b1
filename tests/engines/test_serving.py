"""Looking at services as their users reach them, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from drd.core.events import BugFound, DaemonStarted, PolicyAdded, ServiceFailed, ServiceRestored, ServiceUnseen
from drd.core.health import Hysteresis
from drd.core.outage import ServiceState
from drd.core.probing import Failure, Sign
from drd.core.rivals import VERIFICATION
from drd.daemon.services import service_lines, service_status
from drd.ports.control import ServiceStatus
from drd.ports.probe import ServiceWatch, Target
from tests.fakes.house import DAEMON, FakeHouse, a_policy, protected
from tests.fakes.probe import Answers, FakeProbe

pytestmark = pytest.mark.looptime
RULES = Hysteresis(every_seconds=1.0, timeout_seconds=0.5, fall=3, rise=2)


@dataclass
class Shop:
    house: FakeHouse
    answers: Answers

    async def status(self) -> ServiceStatus:
        [found] = service_status(self.house.house, await self.house.journal.policies())
        return found


@asynccontextmanager
async def looked_at(after: FakeHouse | None = None, lived: datetime | None = None) -> AsyncIterator[Shop]:
    answers = Answers()
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS[""] = answers
    policy = a_policy("orders", objectives={"downtime": "4h per year"})
    watch = ServiceWatch(Target("orders", "", ""), FakeProbe(), RULES)
    house = FakeHouse(replace(protected(policy), service=watch), after=after)
    if after is None:
        await house.journal.append(PolicyAdded("orders"))
    await house.journal.append(DaemonStarted("1", "restic", lived))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(house.serving.serve("orders")), group.create_task(house.serving.serve_record())]
        yield Shop(house, answers)
        for task in tasks:
            task.cancel()


async def test_a_service_that_answers_is_nothing_to_tell() -> None:
    async with looked_at() as it:
        await asyncio.sleep(5)
        status = await it.status()
        assert (status.state, status.since, status.down) == (ServiceState.ANSWERS, None, timedelta())
        assert (status.allowed, status.period) == (timedelta(hours=4), timedelta(days=365))
        assert it.house.journal.of(ServiceFailed) == []


async def test_an_outage_is_told_from_its_first_failed_look_to_the_first_good_one() -> None:
    async with looked_at() as it:
        await asyncio.sleep(2.5)
        it.answers.failure = Failure.REFUSED
        await asyncio.sleep(10)
        [failed] = it.house.journal.of(ServiceFailed)
        assert failed.good is not None
        assert timedelta(seconds=0.9) < failed.bad - failed.good < timedelta(seconds=1.1)
        status = await it.status()
        assert (status.state, status.since, status.why) == (ServiceState.FAILS, failed.bad, "refused")
        assert timedelta(seconds=9) < status.down < timedelta(seconds=11)
        [line] = service_lines(it.house.house, await it.house.journal.policies(), "orders")
        assert line == "service, a fake: fails, refused; down for 10s in 365d, 4h promised, 3h 59m 50s left"
        assert status.down_at_most - status.down == failed.bad - failed.good, "it may have begun right after"

        it.answers.failure = None
        await asyncio.sleep(3)
        [restored] = it.house.journal.of(ServiceRestored)
        assert restored.bad == failed.bad
        assert timedelta(seconds=9.9) < restored.up - restored.bad < timedelta(seconds=10.1)
        record = await it.house.journal.policy("orders")
        assert record is not None
        [outage] = record.outages
        assert (outage.bad, outage.good, outage.up) == (failed.bad, failed.good, restored.up)
        assert (await it.status()).down == restored.up - restored.bad


async def test_an_outage_that_began_before_the_daemon_is_ended_by_the_next() -> None:
    async with looked_at() as it:
        await asyncio.sleep(1.5)
        it.answers.failure = Failure.TIMEOUT
        await asyncio.sleep(6)
    [failed] = it.house.journal.of(ServiceFailed)
    async with looked_at(after=it.house) as again:
        again.answers.failure = Failure.TIMEOUT
        await asyncio.sleep(6)
        assert len(again.house.journal.of(ServiceFailed)) == 1, "it is the same outage"
        again.answers.failure = None
        await asyncio.sleep(4)
        [restored] = again.house.journal.of(ServiceRestored)
        assert restored.bad == failed.bad


async def test_a_probe_that_hangs_fails_and_a_mistake_in_it_is_told_and_tried_again() -> None:
    async with looked_at() as it:
        it.answers.hangs = True
        await asyncio.sleep(12)
        assert (await it.status()).state is ServiceState.FAILS
    async with looked_at() as it:
        it.answers.bug = ZeroDivisionError("oh")
        await asyncio.sleep(30)
        assert [fact.unit for fact in it.house.journal.of(BugFound)] == ["service of orders"]
        assert (await it.status()).state is ServiceState.UNKNOWN
        it.answers.bug = None
        await asyncio.sleep(40)
        assert (await it.status()).state is ServiceState.ANSWERS


async def test_what_drd_itself_is_not_let_into_is_unknown_and_no_outage() -> None:
    async with looked_at() as it:
        await asyncio.sleep(2.5)
        assert it.answers.writes_as == f"{DAEMON}{VERIFICATION}"
        it.answers.failure, it.answers.signs = Failure.WRONG_ANSWER, (Sign.NOT_LET_IN,)
        await asyncio.sleep(10)
        status = await it.status()
        assert (status.state, status.why, status.down) == (ServiceState.UNKNOWN, "wrong answer", timedelta())
        [line] = service_lines(it.house.house, await it.house.journal.policies(), "orders")
        assert line.startswith("service, a fake: unknown, wrong answer; down for ")
        assert it.house.journal.of(ServiceFailed) == []
        it.answers.failure, it.answers.signs = None, ()
        await asyncio.sleep(3)
        assert (await it.status()).state is ServiceState.ANSWERS


async def test_a_time_in_which_nobody_looked_is_told_and_makes_the_budget_an_interval() -> None:
    async with looked_at() as it:
        await asyncio.sleep(2.5)
        it.answers.failure, it.answers.signs = Failure.WRONG_ANSWER, (Sign.NOT_LET_IN,)
        await asyncio.sleep(60)
        status = await it.status()
        assert timedelta(seconds=58) < status.down_at_most < timedelta(seconds=62)
        it.answers.failure, it.answers.signs = None, ()
        await asyncio.sleep(30)
        [unseen] = it.house.journal.of(ServiceUnseen)
        assert timedelta(seconds=59) < unseen.until - unseen.since < timedelta(seconds=62)
        status = await it.status()
        assert (status.down, status.down_at_most) == (timedelta(), unseen.until - unseen.since)
        assert status.left == (timedelta(hours=4) - status.down_at_most, timedelta(hours=4))
    lived = it.house.clock.now()
    it.house.clock.step(timedelta(minutes=5))
    async with looked_at(after=it.house, lived=lived) as again:
        await asyncio.sleep(0.0005)  # the first look is under way
        before = await again.status()
        more = before.down_at_most - status.down_at_most
        assert timedelta(minutes=5) <= more < timedelta(minutes=5, seconds=1), "drd itself was away"
        await asyncio.sleep(3)
        away = again.house.journal.of(ServiceUnseen)[1]
        assert away.since == lived
        assert timedelta(minutes=5) <= away.until - lived < timedelta(minutes=5, seconds=1)
        after = await again.status()
        known = unseen.until - unseen.since + (away.until - away.since)
        assert (after.state, after.down_at_most) == (ServiceState.ANSWERS, known)
    async with looked_at(after=again.house) as later:
        await asyncio.sleep(3)
        assert len(later.house.journal.of(ServiceUnseen)) == 2, "nobody knows since when"


async def test_while_the_clock_was_set_nothing_is_known() -> None:
    async with looked_at() as it, asyncio.TaskGroup() as group:
        observing = group.create_task(it.house.watching.serve_record())
        await asyncio.sleep(2)
        it.answers.failure = Failure.REFUSED
        it.house.clock.step(timedelta(hours=1))
        await asyncio.sleep(10)
        assert (await it.status()).state is ServiceState.UNKNOWN
        assert it.house.journal.of(ServiceFailed) == []
        observing.cancel()
