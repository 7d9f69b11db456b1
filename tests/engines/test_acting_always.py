"""Whatever the nodes do and whenever drd dies: never two runs on one cluster, no promotion without a fence before."""

import asyncio

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drd.core.errors import PermanentError
from drd.core.events import Event, IncidentFinished, IncidentStarted, StepFinished, StepStarted
from drd.core.probing import Failure
from drd.core.runbook_step import StepOutcome
from drd.engines.runbook_admission import StartOrder
from tests.core.watched import primary, standby
from tests.engines.test_acting import Cluster, FakePromotion, a_failover, a_restart, watched
from tests.fakes.deeds import DEEDS
from tests.fakes.house import FakeHouse
from tests.fakes.probe import Answers

pytestmark = pytest.mark.looptime
MOVES = ("die", "come back", "silence", "fence fails", "slow fence", "by hand", "drd dies", "wait")


def moved(it: Cluster, move: str) -> None:
    """What happens to the nodes, to the steps, or to who types."""
    one, two = it.answers["one"], it.answers["two"]
    is_primary = two.seen is None or not two.seen.is_primary
    match move:
        case "die" if is_primary:
            it.die()
        case "silence" if is_primary:
            one.failure, one.signs = Failure.TIMEOUT, ()
            two.seen = standby(heard_seconds_ago=None, is_receiving=False)
        case "come back" if is_primary:
            it.come_back()
            two.seen = standby(heard_seconds_ago=0.05)
        case "come back":
            one.failure, one.signs, one.seen = None, (), primary()
        case "fence fails":
            DEEDS.failing["fence"] = PermanentError("no answer", "")
        case "slow fence":
            DEEDS.seconds["fence"] = 4.0


async def lived_through(moves: list[tuple[str, float]], with_restart: bool) -> FakeHouse:
    """The house after all moves, with a daemon that was killed and started where they say so."""
    runbooks = (a_failover(hold_down="1m"), *((a_restart(),) if with_restart else ()))
    answers = {"one": Answers(primary()), "two": Answers(standby(heard_seconds_ago=0.05))}
    house: FakeHouse | None = None
    lives: list[list[tuple[str, float]]] = [[]]
    for move in moves:
        lives[-1].append(move)
        if move[0] == "drd dies":
            lives.append([])
    for life in lives:
        async with watched(*runbooks, after=house, answers=answers) as it:
            house = it.house
            await asyncio.sleep(2)
            for move, seconds in life:
                moved(it, move)
                if move == "by hand":
                    await it.house.runbooks.blockers(runbooks[0], {})
                    try:
                        await it.house.runbooks.start(StartOrder("orders-loss", "anna"))
                    except Exception as refused:  # noqa: BLE001 - it is refused while another one runs
                        assert "works with" in str(refused)  # noqa: PT017
                await asyncio.sleep(seconds)
            await asyncio.sleep(20)
    assert house is not None
    return house


def judge_record(events: list[Event]) -> None:
    """The invariants, by what is on record."""
    open_run, fenced = "", False
    for event in events:
        match event.body:
            case IncidentStarted():
                assert not open_run, "two runs on one cluster"
                open_run, fenced = event.run or "", False
            case IncidentFinished():
                open_run = ""
            case StepFinished(step="Fence", outcome=StepOutcome.SUCCEEDED):
                fenced = True
            case StepStarted(action="postgres_promote"):
                assert fenced, "a promotion without a fence that was confirmed in its run"
                assert event.run == open_run


@example([("slow fence", 0.1), ("die", 1.5), ("by hand", 0.1), ("by hand", 6.0)], False)
@example([("slow fence", 0.1), ("die", 1.5), ("drd dies", 0.1), ("by hand", 6.0)], False)
@example([("fence fails", 0.1), ("die", 6.0), ("come back", 70.0), ("die", 6.0)], True)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(st.tuples(st.sampled_from(MOVES), st.sampled_from([0.1, 1.5, 6.0, 70.0])), max_size=8),
    with_restart=st.booleans(),
)
async def test_never_two_runs_at_a_time_and_never_a_promotion_without_a_fence(
    moves: list[tuple[str, float]], with_restart: bool
) -> None:
    DEEDS.__init__()  # type: ignore[misc]
    FakePromotion.SEEN.clear()
    house = await lived_through(moves, with_restart)
    judge_record(house.journal.events)
