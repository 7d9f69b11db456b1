"""What the two doors of the daemon's server let through, to any HTTP client."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from drd.api.server import METRICS_TYPE, ApiServer
from drd.api.tokens import UNREAD, read_tokens
from drd.clients.listeners import holder_of_port
from drd.core.errors import Busy, StoreAway, UsageError
from tests.api.serving import DEADLINE_SECONDS, Bugs, one_metric, serving
from tests.fakes.control import FakeControl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def at(path: Path) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://drd", timeout=5)


async def test_metrics_and_life_are_served_on_tcp(path: Path) -> None:
    async with serving(FakeControl(), path) as server, httpx.AsyncClient() as client:
        metrics = await client.get(f"http://127.0.0.1:{server.port}/metrics")
        life = await client.get(f"http://127.0.0.1:{server.port}/livez")
    assert (metrics.status_code, metrics.headers["content-type"], metrics.text) == (200, METRICS_TYPE, "drd_up 1\n")
    assert (life.status_code, life.text) == (200, "alive\n")


async def test_a_daemon_that_hangs_is_not_alive(path: Path) -> None:
    async with serving(FakeControl(), path, alive=(False, "no tick for 90 s")) as server, httpx.AsyncClient() as client:
        life = await client.get(f"http://127.0.0.1:{server.port}/livez")
    assert (life.status_code, life.text) == (503, "no tick for 90 s\n")


async def test_where_tokens_are_named_metrics_want_to_see_one_and_life_does_not(path: Path) -> None:
    async def tokens() -> frozenset[bytes]:
        return read_tokens(b"first-token\n\nsecond-token\n")

    async with serving(FakeControl(), path, tokens=tokens) as server, httpx.AsyncClient() as client:
        metrics, life = (f"http://127.0.0.1:{server.port}{route}" for route in ("/metrics", "/livez"))
        answers = [
            (await client.get(metrics, headers=headers)).status_code
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Basic second-token"},
                {"Authorization": "Bearer"},
                {"Authorization": "Bearer second-token"},
            )
        ]
        assert (await client.get(life)).status_code == 200
    assert answers == [401, 401, 401, 401, 200]


async def test_tokens_come_and_go_without_a_restart(path: Path) -> None:
    good: frozenset[bytes] | None = None

    async def tokens() -> frozenset[bytes] | None:
        return good

    async with serving(FakeControl(), path, tokens=tokens) as server, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{server.port}/metrics"
        assert (await client.get(url)).status_code == 200
        good = frozenset({b"first-token"})
        assert (await client.get(url)).status_code == 401


async def test_tokens_that_cannot_be_read_let_nobody_in(path: Path) -> None:
    async def tokens() -> frozenset[bytes]:
        raise UsageError("file /etc/drd/tokens is not there", "")

    async with serving(FakeControl(), path, tokens=tokens) as server, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/metrics", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.text) == (503, f"{UNREAD}\n")


@pytest.mark.parametrize("route", ["/status", "/reload", "/policies/uploads/backup", "/policies/uploads/points"])
async def test_control_is_not_served_on_tcp(path: Path, route: str) -> None:
    fake = FakeControl()
    async with serving(fake, path) as server, httpx.AsyncClient() as client:
        for method in ("GET", "POST"):
            answer = await client.request(method, f"http://127.0.0.1:{server.port}{route}", json={"by": "mallory"})
            assert answer.status_code == 404
    assert fake.asked == []


async def test_without_an_address_nothing_listens_on_tcp(path: Path) -> None:
    async with serving(FakeControl(), path, listen=None) as server:
        assert server.port is None


async def test_a_busy_port_names_its_holder(path: Path, tmp_path: Path) -> None:
    async with serving(FakeControl(), path) as server:
        assert server.port is not None
        with pytest.raises(Busy, match=rf"port {server.port} on 127.0.0.1 is in use by .*\(process {os.getpid()}\)"):
            async with serving(
                FakeControl(), tmp_path / "b.sock", listen=("127.0.0.1", server.port), who=holder_of_port
            ):
                raise AssertionError("it must not start")
    assert not list(tmp_path.glob("*.sock"))


async def test_whoever_waits_for_a_server_that_cannot_start_is_told(path: Path) -> None:
    too_long = path.with_name("x" * 100)
    server = ApiServer(FakeControl(), one_metric, lambda: (True, ""), too_long, None, on_bug=Bugs().note)
    waiting = asyncio.create_task(server.ready())
    with pytest.raises(UsageError, match="too long"):
        await server.serve()
    with pytest.raises(UsageError, match="too long"):
        await asyncio.wait_for(waiting, DEADLINE_SECONDS)


async def test_an_address_that_is_not_ours_is_a_usage_error(path: Path) -> None:
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(UsageError):
            async with serving(FakeControl(), path, listen=(host, 0)):
                raise AssertionError("it must not start")


async def test_errors_are_json_with_a_fitting_status(path: Path) -> None:
    async with serving(FakeControl(error=StoreAway("offsite does not answer", "wait")), path), at(path) as client:
        away = await client.get("/status")
        order = await client.post("/policies/uploads/pause", json={"what": "backup"})
        nowhere = await client.get("/nowhere")
    assert away.status_code == 503
    assert away.json()["problem"] == {
        "kind": "StoreAway",
        "message": "offsite does not answer",
        "hint": "wait",
        "exit_code": 1,
    }
    assert (order.status_code, order.json()["problem"]["exit_code"]) == (400, 2)
    assert "until" in order.json()["problem"]["message"]
    assert (nowhere.status_code, nowhere.json()["problem"]["exit_code"]) == (404, 2)


async def test_a_bug_in_the_metrics_is_told_and_answers_500(path: Path) -> None:
    async def broken() -> bytes:
        raise KeyError("the secret detail")

    bugs = Bugs()
    async with serving(FakeControl(), path, bugs, metrics=broken) as server, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/metrics")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert [(what, type(error)) for what, error in bugs] == [("metrics", KeyError)]


async def test_a_slow_answer_is_still_one_json_document(path: Path) -> None:
    fake = FakeControl(gate=asyncio.Event())
    async with serving(fake, path, heartbeat_seconds=0.02), at(path) as client:
        question = asyncio.create_task(client.get("/policies/uploads/explain"))
        await asyncio.wait([question], timeout=0.3)
        fake.gate.set()
        answer = await question
    assert answer.text.startswith("\n\n")
    assert json.loads(answer.text)[0].startswith("uploads runs next")


async def test_a_watcher_that_does_not_read_does_not_hold_the_work_up(path: Path) -> None:
    fake = FakeControl(steps=FakeControl.many_steps(20_000))
    async with (
        serving(fake, path),
        at(path) as client,
        client.stream("POST", "/policies/uploads/backup", json={"by": "eva"}) as answer,
    ):
        await asyncio.wait_for(fake.completed.wait(), DEADLINE_SECONDS)
        lines = [line async for line in answer.aiter_lines() if line]
    assert json.loads(lines[-1])["kind"] == "finished"
    assert len(lines) < 10_000


async def test_signals_stay_with_the_daemon(path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(FakeControl(), path):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
