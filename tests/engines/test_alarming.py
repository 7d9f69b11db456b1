"""What the owner of a policy is told of a primary that is not replaced, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from drd.core.events import BugFound, OwnerTold, Paused, Resumed
from drd.core.health import Hysteresis
from drd.core.probing import Beat, Failure, Sign
from drd.core.secrets import SecretReference
from drd.engines.alarming import HELD, RIVAL
from drd.ports.machines import Contact
from drd.ports.probe import Target, Watch
from tests.core.watched import primary, standby
from tests.fakes.house import DAEMON, FakeHouse, a_policy, protected
from tests.fakes.probe import Answers, FakeProbe

pytestmark = pytest.mark.looptime


@dataclass
class Watched:
    house: FakeHouse
    one: Answers
    two: Answers

    def die(self) -> None:
        self.one.failure, self.one.signs = Failure.REFUSED, (Sign.SESSION_CLOSED,)
        self.two.seen = standby(heard_seconds_ago=None, is_receiving=False)
        self.one.on_closed()

    def come_back(self) -> None:
        self.one.failure, self.one.signs = None, ()

    def told(self, topic: str) -> list[OwnerTold]:
        return [each for each in self.house.journal.of(OwnerTold) if each.topic == topic]

    async def pause(self) -> None:
        until = self.house.clock.now() + timedelta(hours=1)
        await self.house.journal.append(Paused("orders", "failover", until, "a move", "anna"))


@asynccontextmanager
async def watched(owner: str | None = "anna") -> AsyncIterator[Watched]:
    """A policy without a runbook, so that a lost primary is always held."""
    answers = {"one": Answers(primary()), "two": Answers(standby(heard_seconds_ago=0.05))}
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS.update(answers)
    targets = tuple(Target("orders", name, "127.0.0.1") for name in answers)
    policy = protected(a_policy("orders").model_copy(update={"owner": owner}))
    house = FakeHouse(replace(policy, watch=Watch(targets, (FakeProbe(),), Hysteresis(1.0, 0.5))))
    contact = Contact("Anna", (SecretReference(file=Path("/etc/anna")),))
    house.in_force.replace(replace(house.in_force(), contacts={"anna": contact}))
    async with asyncio.TaskGroup() as group:
        serving = house.watching.serve("orders"), house.watching.serve_record(), house.acting.serve()
        tasks = [group.create_task(each) for each in (*serving, house.alarming.serve())]
        yield Watched(house, answers["one"], answers["two"])
        for task in tasks:
            task.cancel()


async def test_a_lost_primary_that_is_held_is_told_once_and_again_when_the_reasons_change_or_it_comes_back() -> None:
    async with watched() as it:
        await asyncio.sleep(3.3)
        assert it.house.acting.held("orders") is None
        it.die()
        await asyncio.sleep(2)
        assert it.house.acting.held("orders") is not None
        assert it.told(HELD) == [], "what lasts a moment is no news"
        await asyncio.sleep(60)
        [told] = it.told(HELD)
        assert (told.people, told.failures) == (("anna",), ())
        assert "one is lost: process dead; nothing is done: no runbook" in told.message
        [(address, text)] = it.house.messenger.sent
        assert address == "file /etc/anna"
        assert text == f"{told.message}; type: drd explain orders"
        await it.pause()
        await asyncio.sleep(60)
        assert len(it.told(HELD)) == 2
        assert "paused" in it.told(HELD)[-1].message
        await it.house.journal.append(Resumed("orders", "failover", "anna"))
        it.come_back()
        await asyncio.sleep(20)
        assert it.house.acting.held("orders") is None
        it.die()
        await asyncio.sleep(20)
        assert len(it.told(HELD)) == 3


async def test_a_rival_is_told_as_soon_as_it_is_there_also_while_all_is_well() -> None:
    async with watched() as it:
        await asyncio.sleep(3.3)
        own, other, third = Beat(DAEMON, 0, 1.0), Beat("01OTHER", 2, 1.0), Beat("02OTHER", 2, 1.0)
        for beats, count in (
            ((own,), 0),
            ((own, other), 1),
            ((own, other), 1),
            ((own, other, third), 2),
            ((own,), 2),
            ((own, other), 3),
        ):
            it.two.seen = standby(heard_seconds_ago=0.05, beats=beats)
            await asyncio.sleep(15)
            assert len(it.told(RIVAL)) == count
        assert "another daemon (01OTHER) keeps the heartbeat of orders too" in it.told(RIVAL)[0].message
        assert it.told(HELD) == []


async def test_without_an_owner_and_where_nobody_is_reached_it_is_on_record_all_the_same() -> None:
    for owner, people, failures in ((None, (), ()), ("bob", ("bob",), ("bob has no address",))):
        async with watched(owner) as it:
            await asyncio.sleep(3.3)
            it.die()
            await asyncio.sleep(10)
            [told] = it.told(HELD)
            assert (told.people, told.failures) == (people, failures)


async def test_a_mistake_is_on_record_once_and_a_journal_that_is_full_is_waited_for() -> None:
    async with watched() as it:
        await asyncio.sleep(3.3)
        it.house.journal.is_full = True
        it.die()
        await asyncio.sleep(10)
        it.house.journal.is_full = False
        await it.house.alarming.outbox.pay()
        assert len(it.told(HELD)) == 1
        it.house.alarming._tell = _breaks
        it.two.seen = standby(heard_seconds_ago=None, is_receiving=False, beats=(Beat("01OTHER", 2, 1.0),))
        await asyncio.sleep(30)
        bugs = [each for each in it.house.journal.of(BugFound) if "alarms" in each.unit]
        assert [each.unit for each in bugs] == ["alarms of orders"]


async def _breaks(*_: object) -> tuple[str, ...]:
    raise ZeroDivisionError
