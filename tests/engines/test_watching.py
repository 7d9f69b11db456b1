"""Looking at nodes again and again, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from drd.core.decision import Act, Decision, Guard
from drd.core.events import BugFound, NodeJudged
from drd.core.health import Hysteresis, NodeView, Recalled
from drd.core.node_verdicts import Cause
from drd.core.probing import Beat, Failure, Sign
from drd.engines.observing import Observing
from drd.engines.watched import Watched
from drd.ports.probe import Target, Watch
from tests.core.watched import a_node, good, primary, standby
from tests.fakes.house import DAEMON, FakeHouse, a_policy, protected
from tests.fakes.probe import Answers, FakeProbe

pytestmark = pytest.mark.looptime
RULES = Hysteresis(every_seconds=1.0, timeout_seconds=0.5)
ONE, TWO = Target("orders", "one", "127.0.0.1"), Target("orders", "two", "127.0.0.1")


@dataclass
class Cluster:
    house: FakeHouse
    answers: dict[str, Answers]

    def cause(self, node: str, policy: str = "orders") -> Cause:
        watched = self.house.watching.of(policy)
        assert watched is not None
        return watched.verdicts[node].cause

    def told(self) -> list[tuple[str, str]]:
        return [(fact.node, fact.verdict) for fact in self.house.journal.of(NodeJudged)]

    async def decision(self) -> Decision:
        found = await self.house.acting.decision("orders")
        assert found is not None
        return found


@asynccontextmanager
async def watched(*also: str) -> AsyncIterator[Cluster]:
    """A primary and a standby that are watched; `also` are nodes of further policies, one each."""
    answers = {name: Answers() for name in ("one", "two", *also)}
    answers["one"].seen, answers["two"].seen = primary(), standby(heard_seconds_ago=0.05)
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS.update(answers)
    policies = [_watched("orders", "one", "two", "unasked"), *(_watched(f"of-{name}", name) for name in also)]
    house = FakeHouse(*policies)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(house.watching.serve(each.policy.name)) for each in policies]
        tasks.append(group.create_task(house.watching.serve_record()))
        yield Cluster(house, answers)
        for task in tasks:
            task.cancel()


def _watched(name: str, *nodes: str):  # type: ignore[no-untyped-def]
    targets = tuple(Target(name, node, "127.0.0.1") for node in nodes)
    return replace(protected(a_policy(name)), watch=Watch(targets, (FakeProbe(),), RULES))


async def test_nodes_that_answer_are_well_and_nothing_is_told() -> None:
    async with watched() as it:
        await asyncio.sleep(3.5)

        assert (it.cause("one"), it.cause("two"), it.cause("unasked")) == (Cause.WELL, Cause.WELL, Cause.UNKNOWN)
        assert it.told() == []
        assert len(it.answers["one"].looks) == 4
        found = it.house.watching.of("orders")
        assert found is not None
        assert found.primary == "one"
        assert found.notes == ("unasked is not asked by postgres: it has no answers",)


async def test_a_closed_session_is_looked_at_at_once_and_the_standby_is_asked_at_once() -> None:
    async with watched() as it:
        await asyncio.sleep(3.3)
        one, two = it.answers["one"], it.answers["two"]
        one.failure, one.signs = Failure.REFUSED, (Sign.SESSION_CLOSED,)
        two.seen = standby(heard_seconds_ago=None, is_receiving=False)
        one.on_closed()
        await asyncio.sleep(0.2)

        assert it.cause("one") is Cause.PROCESS_DEAD
        assert it.told() == [("one", "process dead")]
        assert (await it.decision()).act is Act.HOLD, "there is no runbook"


async def test_a_primary_that_only_drd_cannot_reach_is_told_as_that() -> None:
    async with watched() as it:
        await asyncio.sleep(2.3)
        it.answers["one"].failure = Failure.TIMEOUT
        await asyncio.sleep(5)

        assert it.cause("one") is Cause.UNREACHABLE_FROM_HERE
        assert ("one", "host silent") not in it.told()


async def test_a_change_is_told_once_each_time() -> None:
    async with watched() as it:
        await asyncio.sleep(2.3)
        two = it.answers["two"]
        two.failure = Failure.TIMEOUT
        await asyncio.sleep(10)
        two.failure = None
        await asyncio.sleep(10)

        assert it.told() == [("two", "host silent"), ("two", "well")]
        found = it.house.watching.of("orders")
        assert found is not None
        assert found.failures["two", "postgres"] >= 3


async def test_a_probe_that_hangs_costs_only_itself() -> None:
    async with watched() as it:
        await asyncio.sleep(2.3)
        it.answers["two"].hangs = True
        before = len(it.answers["one"].looks)
        await asyncio.sleep(10)

        assert len(it.answers["one"].looks) >= before + 10
        assert it.cause("one") is Cause.WELL
        assert it.cause("two") is Cause.HOST_SILENT


async def test_a_mistake_in_a_probe_costs_that_probe_alone_and_is_on_record() -> None:
    async with watched() as it:
        await asyncio.sleep(2.3)
        it.answers["two"].bug = ZeroDivisionError("a mistake")
        await asyncio.sleep(10)

        assert it.cause("one") is Cause.WELL
        assert it.cause("two") is Cause.UNKNOWN
        assert [bug.quarantined for bug in it.house.journal.of(BugFound)] == [False, False, True]
        found = it.house.watching.of("orders")
        assert found is not None
        assert "two is not asked by postgres any more: mistakes in drd ended that" in found.notes


async def test_what_the_journal_has_no_room_for_is_owed() -> None:
    async with watched() as it:
        await asyncio.sleep(2.3)
        it.house.journal.is_full = True
        it.answers["two"].failure = Failure.TIMEOUT
        await asyncio.sleep(10)
        assert it.house.watching.outbox.owed == 1
        it.house.journal.is_full = False
        await it.house.watching.outbox.pay()

        assert it.told() == [("two", "host silent")]


async def test_unrelated_nodes_that_are_silent_too_make_drd_doubt_itself() -> None:
    async with watched("three", "four") as it:
        await asyncio.sleep(2.3)
        for each in it.answers.values():
            each.failure = Failure.TIMEOUT
        it.answers["two"].failure = None
        it.answers["two"].seen = standby(heard_seconds_ago=100.0)
        await asyncio.sleep(10)

        assert it.cause("one") is Cause.OBSERVER_SUSPECT
        assert (await it.decision()).act is Act.HOLD
        await asyncio.sleep(10)
        assert it.cause("one") is Cause.HOST_SILENT, "a broken line of drd's own would have kept the standby silent too"


async def test_unrelated_nodes_that_have_been_silent_for_longer_say_nothing_about_drd() -> None:
    async with watched("three", "four") as it:
        await asyncio.sleep(2.3)
        it.answers["three"].failure = it.answers["four"].failure = Failure.TIMEOUT
        await asyncio.sleep(20)
        it.answers["one"].failure = Failure.TIMEOUT
        it.answers["two"].seen = standby(heard_seconds_ago=100.0)
        await asyncio.sleep(5)

        assert it.cause("one") is Cause.HOST_SILENT


async def test_one_of_two_unrelated_nodes_that_is_dead_says_nothing_about_drd() -> None:
    async with watched("three", "four") as it:
        await asyncio.sleep(2.3)
        it.answers["one"].failure = it.answers["three"].failure = Failure.TIMEOUT
        it.answers["two"].seen = standby(heard_seconds_ago=100.0)
        await asyncio.sleep(5)

        assert it.cause("one") is Cause.HOST_SILENT
        assert it.cause("three", "of-three") is Cause.HOST_SILENT


async def test_a_clock_that_was_set_makes_drd_doubt_itself_for_a_while() -> None:
    async with watched() as it:
        await asyncio.sleep(2.3)
        it.house.clock.step(timedelta(hours=-1))
        await asyncio.sleep(0.5)
        view = it.house.watching.view("orders")
        assert view is not None
        assert "stepped" in view.observer.suspicion
        await asyncio.sleep(40)
        view = it.house.watching.view("orders")
        assert view is not None
        assert not view.observer.suspicion


async def test_another_daemon_in_the_heartbeat_is_a_rival_and_this_ones_own_rows_are_not() -> None:
    async with watched() as it:
        it.answers["two"].seen = standby(beats=(Beat(DAEMON, 0, 1.0), Beat(f"{DAEMON}/probe", 0, 0.5)))
        await asyncio.sleep(2.3)
        before = await it.decision()
        it.answers["two"].seen = standby(beats=(Beat(DAEMON, 0, 9.0), Beat("01OTHER", 2, 12.0)))
        await asyncio.sleep(2)
        after = await it.decision()

        assert Guard.RIVAL not in {each.guard for each in before.blockers}
        assert Guard.RIVAL in {each.guard for each in after.blockers}


async def test_two_probes_of_one_kind_are_told_apart() -> None:
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS["one"] = Answers(primary())
    watch = Watch((Target("orders", "one", "127.0.0.1"),), (FakeProbe(), FakeProbe(name="again")), RULES)
    house = FakeHouse(replace(protected(a_policy()), watch=watch))
    task = asyncio.create_task(house.watching.serve("orders"))
    await asyncio.sleep(2.5)

    found = house.watching.of("orders")
    assert found is not None
    assert set(found.nodes["one"].streaks) == {"postgres", "postgres-2"}
    assert set(found.failures) == {("one", "postgres"), ("one", "postgres-2")}
    task.cancel()


async def test_a_look_that_began_before_the_first_failure_is_made_again_at_once() -> None:
    async with watched() as it:
        await asyncio.sleep(2.3)
        one, two = it.answers["one"], it.answers["two"]
        two.latency, two.seen = 0.4, standby(heard_seconds_ago=None, is_receiving=False)
        await asyncio.sleep(0.8)  # two is being asked
        one.failure, one.signs = Failure.REFUSED, (Sign.SESSION_CLOSED,)
        one.on_closed()
        before = len(two.looks)
        await asyncio.sleep(0.9)

        assert len(two.looks) > before
        assert it.cause("one") is Cause.PROCESS_DEAD


@pytest.mark.parametrize(
    ("targets", "primary_is", "seen"),
    [
        ((ONE, replace(TWO, priority=7)), "one", ["one", "two"]),
        ((replace(ONE, host="10.0.0.9"), TWO), "one", ["two"]),
        ((TWO,), None, ["two"]),
    ],
)
def test_what_was_seen_is_kept_of_nodes_that_a_changed_policy_reaches_as_before(
    targets: tuple[Target, ...], primary_is: str | None, seen: list[str]
) -> None:
    known = {"one": a_node("one", good(1, primary())), "two": a_node("two", good(2, standby()))}
    before = Watched(Watch((ONE, TWO), (), RULES), known, primary="one", recalled=Recalled("one", "c1", 1))
    after = Watched(Watch(targets, (), RULES), {each.node: NodeView(each.node, each.priority) for each in targets})
    after.take_over(before)

    assert after.primary == primary_is
    assert (after.recalled is not None) is (primary_is is not None)
    assert [name for name, node in after.nodes.items() if node.seen is not None] == seen
    assert after.nodes["two"].priority == targets[-1].priority
    assert not any(node.streaks for node in after.nodes.values())


async def test_what_is_not_watched_has_no_view() -> None:
    house = FakeHouse()
    await house.watching.serve("orders")
    await house.watching.serve("nothing")

    assert house.watching.view("orders") is None
    assert house.watching.situation(house.in_force().policies["orders"]) is None
    assert await house.acting.decision("orders") is None


async def test_a_loop_that_is_late_is_noticed_and_forgotten() -> None:
    house = FakeHouse()
    observing = Observing(house.clock)
    task = asyncio.create_task(observing.serve())
    await asyncio.sleep(1)
    assert observing.late_seconds() < 0.01
    observing._note(observing._late, house.clock.monotonic(), 0.7, 3.0)
    assert observing.late_seconds() == 0.7
    assert observing.late_seconds(since=house.clock.monotonic() + 1) == 0.0
    await asyncio.sleep(5)
    assert observing.late_seconds() < 0.01
    task.cancel()
