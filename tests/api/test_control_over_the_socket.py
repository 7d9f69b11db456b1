"""The same answers come whether a Control is asked in its own process or over the daemon's socket."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drd.api.server import ApiServer
from drd.api.sockets import bind_control_socket
from drd.clients.control import DaemonAway, RemoteControl
from drd.core.errors import Busy, DrdError, RefusedByGuard, StoreAway, TransientError, UsageError
from drd.core.runbook_step import Choice
from drd.ports.control import Control, CoveredRange
from drd.ports.incidents import RunbookOrder
from drd.ports.restoring import RestoreOrder
from drd.ports.steps import Step
from tests.api.serving import DEADLINE_SECONDS, Bugs, one_metric, serving
from tests.fakes.control import FakeControl, good_steps


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@asynccontextmanager
async def near(fake: FakeControl, _path: Path) -> AsyncIterator[Control]:
    yield fake


@asynccontextmanager
async def far(fake: FakeControl, path: Path) -> AsyncIterator[Control]:
    async with serving(fake, path):
        yield RemoteControl(path)


@pytest.fixture(params=[near, far], ids=["in the process", "over the socket"])
async def control_of(request: pytest.FixtureRequest, path: Path):
    return lambda fake: request.param(fake, path)


def mode_of(path: Path) -> str:
    return stat.filemode(path.lstat().st_mode) if path.exists() else ""


async def steps_of(steps: AsyncIterator[Step]) -> list[Step]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [step async for step in steps]


async def test_questions_get_the_answers_that_the_control_gives(control_of) -> None:
    fake = FakeControl()
    at = datetime(2026, 3, 1, 7, tzinfo=UTC)
    fake.ranges = (
        CoveredRange(store="local", system_identifier="7", timeline=2, first=at, last=at, gap="WAL is lost"),
    )
    async with control_of(fake) as control:
        assert await control.status() == await FakeControl().status()
        assert await control.points("recordings", True) == await FakeControl().points("recordings", True)
        assert await control.points("recordings", False) == await FakeControl().points("recordings", False)
        assert await control.covered("uploads") == fake.ranges
        assert await control.forget_plan("uploads") == await FakeControl().forget_plan("uploads")
        assert await control.explain("uploads") == await FakeControl().explain("uploads")
        assert await control.anchors() == await FakeControl().anchors()
        assert await control.reload() == await FakeControl().reload()


async def test_runbooks_are_asked_for_and_answered_on_either_side(control_of) -> None:
    fake = FakeControl()
    at = datetime(2026, 3, 1, 7, 0, 0, 500, tzinfo=UTC)
    order = RunbookOrder(
        runbook="uploads-loss", by="eva", words="it burns", began=at, is_drill=True, variables={"place": "/a b – 之前"}
    )
    async with control_of(fake) as control:
        assert await control.incidents() == await FakeControl().incidents()
        assert await control.incidents("uploads") == await FakeControl().incidents()
        assert await control.incident("01RUN") == await FakeControl().incident("01RUN")
        assert await control.runbook_plan("x", {"a": "b"}) == await FakeControl().runbook_plan("x", {})
        assert (await steps_of(control.runbook_start(order)))[-1] == good_steps("uploads")[-1]
        assert await control.runbook_answer("01RUN", None, Choice.AGAIN, "eva", "go") == "Give the old storage up"
        await control.runbook_abort("01RUN", "eva", "stop", True)
    assert fake.asked == [
        ("incidents", None),
        ("incidents", "uploads"),
        ("incident", "01RUN"),
        ("runbook plan", "x", {"a": "b"}),
        ("runbook start", order),
        ("runbook answer", "01RUN", None, Choice.AGAIN, "eva", "go"),
        ("runbook abort", "01RUN", "eva", "stop", True),
    ]


async def test_orders_arrive_as_they_were_given(control_of) -> None:
    fake = FakeControl()
    at = datetime(2026, 3, 1, 7, 0, 0, 500, tzinfo=UTC)
    everything = RestoreOrder(
        policy="uploads",
        target="/srv/back",
        by="eva",
        at=at,
        moment="name:before – 之前",
        include=("/a b/*",),
        store="offsite",
        is_without_wal=True,
        options={"port": "5440"},
    )
    async with control_of(fake) as control:
        await control.pause("uploads", "backup", at, "kernel – 内核", "eva")
        await control.resume("uploads", "eva")
        await steps_of(control.backup("uploads", True, "eva"))
        await steps_of(control.restore(everything))
        await steps_of(control.forget("uploads", "eva"))
        await steps_of(control.check("offsite", "eva"))
        assert await control.release("offsite", "eva") == "another daemon writes there"
        assert await control.release_policy("uploads", "eva") == "98 % of the files changed, usual is 1 %"
        assert await control.accept("offsite", "eva") == "5e" * 32
    assert fake.asked == [
        ("pause", "uploads", "backup", at, "kernel – 内核", "eva"),
        ("resume", "uploads", "eva"),
        ("backup", "uploads", True, "eva"),
        ("restore", everything),
        ("forget", "uploads", "eva"),
        ("check", "offsite", "eva"),
        ("release", "offsite", "eva"),
        ("release_policy", "uploads", "eva"),
        ("accept", "offsite", "eva"),
    ]


async def test_long_work_reports_its_steps_in_order(control_of) -> None:
    async with control_of(FakeControl()) as control:
        steps = await steps_of(control.backup("uploads", False, "eva"))
    assert [step for step in steps if step.kind != "progress"] == [
        step for step in good_steps("uploads") if step.kind != "progress"
    ]


@pytest.mark.parametrize(
    "error",
    [
        UsageError("two errors:\na.yaml:1:1: x\nb.yaml:2:2: y", "put them right"),
        RefusedByGuard("the newest good point stays", "nothing to do"),
        Busy("uploads runs already", "drd status"),
        StoreAway("offsite does not answer", "wait"),
        DrdError("something else", ""),
    ],
)
@pytest.mark.parametrize("after", [0, 2])
async def test_an_error_keeps_its_kind_its_words_and_its_exit_code(control_of, error: DrdError, after: int) -> None:
    async with control_of(FakeControl(error=error, error_after=after)) as control:
        with pytest.raises(type(error)) as of_question:
            await control.status()
        with pytest.raises(type(error)) as of_order:
            await steps_of(control.backup("uploads", False, "eva"))
    for caught in (of_question.value, of_order.value):
        assert (caught.message, caught.hint, caught.exit_code) == (error.message, error.hint, error.exit_code)


async def test_a_policy_that_does_not_exist_is_a_usage_error(control_of) -> None:
    async with control_of(FakeControl()) as control:
        with pytest.raises(UsageError, match="no policy"):
            await control.points("a/b?c=d e", False)
        with pytest.raises(UsageError, match="no policy"):
            await steps_of(control.backup("nothing", False, "eva"))


async def test_a_bug_is_told_to_the_daemon_and_not_to_the_client(path: Path) -> None:
    bugs = Bugs()
    fake = FakeControl(error=ZeroDivisionError("the secret detail"), error_after=2)
    async with serving(fake, path, bugs):
        with pytest.raises(DrdError, match="mistake of its own") as caught:
            await RemoteControl(path).status()
        with pytest.raises(DrdError, match="mistake of its own"):
            await steps_of(RemoteControl(path).backup("uploads", False, "eva"))
    assert "secret detail" not in str(caught.value)
    assert [(what, type(error)) for what, error in bugs] == [
        ("status", ZeroDivisionError),
        ("backup of uploads", ZeroDivisionError),
    ]


async def test_heartbeats_keep_a_slow_answer_alive(path: Path) -> None:
    fake = FakeControl(gate=asyncio.Event())
    remote = RemoteControl(path, silence=timedelta(seconds=2))
    async with serving(fake, path, heartbeat_seconds=0.05):
        question = asyncio.create_task(remote.status())
        await asyncio.sleep(2.5)
        assert not question.done()
        fake.gate.set()
        assert (await question).site == "hangzhou"


async def test_a_daemon_that_says_nothing_is_not_waited_for(path: Path) -> None:
    fake = FakeControl(gate=asyncio.Event())
    async with serving(fake, path, heartbeat_seconds=5):
        with pytest.raises(TransientError, match="said nothing"):
            await RemoteControl(path, silence=timedelta(seconds=0.2)).status()
        fake.gate.set()


async def test_a_client_that_leaves_does_not_cancel_the_work(path: Path) -> None:
    fake = FakeControl(gate=asyncio.Event())
    async with serving(fake, path):
        steps = RemoteControl(path).backup("uploads", False, "eva")
        assert (await anext(steps)).kind == "started"
        await steps.aclose()
        fake.gate.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await fake.completed.wait()


async def test_a_daemon_that_stops_in_the_middle_ends_the_stream_with_an_error(path: Path) -> None:
    fake = FakeControl(gate=asyncio.Event())
    async with serving(fake, path) as server:
        steps = RemoteControl(path).backup("uploads", False, "eva")
        assert (await anext(steps)).kind == "started"
        await server.stop()
        with pytest.raises(TransientError, match="stopped before"):
            await asyncio.wait_for(anext(steps), DEADLINE_SECONDS)


async def test_without_a_daemon_the_error_says_how_to_start_one(path: Path) -> None:
    with pytest.raises(DaemonAway) as caught:
        await RemoteControl(path).status()
    assert caught.value.hint == "start it: drd run"
    assert not await RemoteControl(path).is_there()


async def test_only_the_owner_can_use_the_socket_and_it_goes_with_the_server(path: Path) -> None:
    async with serving(FakeControl(), path):
        assert mode_of(path) == "srw-------"
        assert await RemoteControl(path).is_there()
    assert mode_of(path) == ""


async def test_the_socket_of_a_dead_daemon_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert mode_of(path).startswith("s")
    async with serving(FakeControl(), path):
        assert (await RemoteControl(path).status()).running


async def test_a_second_daemon_is_refused_and_leaves_the_first_alone(path: Path) -> None:
    async with serving(FakeControl(), path):
        with pytest.raises(Busy, match="another daemon"):
            async with serving(FakeControl(), path):
                raise AssertionError("it must not start")
        assert (await RemoteControl(path).status()).running


def test_a_file_in_the_sockets_place_is_not_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(UsageError, match="no socket"):
        bind_control_socket(path)
    assert path.read_text() == "precious"


async def test_a_path_too_long_for_a_socket_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too long"):
        async with serving(FakeControl(), tmp_path / ("x" * 100) / "control.sock"):
            raise AssertionError("it must not start")


async def test_cancelling_the_server_leaves_nothing_behind(path: Path) -> None:
    server = ApiServer(FakeControl(), one_metric, lambda: (True, ""), path, None, on_bug=Bugs().note)
    task = asyncio.create_task(server.serve())
    await asyncio.wait_for(server.ready(), DEADLINE_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mode_of(path) == ""
