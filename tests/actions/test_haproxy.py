"""Clients are sent to one server and to no other, by a real HAProxy, and their open sessions with them."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drd.actions.fence import Fence
from drd.actions.haproxy import Haproxy
from drd.clients.haproxy import servers
from drd.core.errors import PermanentError, TransientError
from drd.core.fencing import Clients
from drd.core.health import ClusterView, NodeView
from drd.core.position import Position
from drd.core.probing import DatabaseSeen, NodeRole
from drd.core.runbook_step import Answer
from drd.ports.action import Situation
from drd.ports.machines import Machine
from tests.actions.conftest import FakeServices
from tests.waiting import until, until_true

PARTS = Path(__file__).parents[2] / "scripts" / "parts"
PATIENCE = 90.0


@dataclass
class Proxy:
    port: int
    socket: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def program() -> Path:
    folder = subprocess.run([PARTS, "where"], capture_output=True, text=True, check=True).stdout.strip()
    found = Path(folder) / "haproxy" / "haproxy"
    if not found.exists():
        pytest.fail(f"{found} is missing; type: make parts", pytrace=False)
    return found


@pytest.fixture
def backends() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def proxy(program: Path, backends: tuple[int, int], tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(free_port(), tmp_path / "admin.sock")
    first, second = backends
    (tmp_path / "haproxy.cfg").write_text(
        f"global\n stats socket {made.socket} mode 600 level admin\n"
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n"
        f"frontend in\n bind 127.0.0.1:{made.port}\n default_backend orders\n"
        f"backend orders\n server orders-1 127.0.0.1:{first}\n server orders-2 127.0.0.1:{second} disabled\n"
    )
    with (tmp_path / "log").open("wb") as log:
        command = ["setpriv", "--pdeathsig", "KILL", program, "-db", "-f", tmp_path / "haproxy.cfg"]
        process = subprocess.Popen(command, env=dict(os.environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield made
    finally:
        process.kill()
        process.wait(PATIENCE)


@asynccontextmanager
async def answering(port: int, name: str) -> AsyncIterator[None]:
    """A server that says its name in each line that it is sent."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readline():
                writer.write(f"{name}\n".encode())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def say(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> str:
    """Who answers on a session; empty when it has been shut."""
    try:
        streams[1].write(b"hello\n")
        await streams[1].drain()
        return (await asyncio.wait_for(streams[0].readline(), PATIENCE)).decode().strip()
    except ConnectionError:
        return ""


async def test_clients_and_their_open_sessions_go_to_the_new_server_and_back(
    proxy: Proxy, backends: tuple[int, int], at: Situation
) -> None:
    action = Haproxy(backend="orders", server="new_primary", socket=proxy.socket)
    at = replace(at, variables={"new_primary": "orders-2"}, machines={"orders-2": Machine("orders-2", "127.0.0.1")})
    async with answering(backends[0], "one"), answering(backends[1], "two"):
        await until(proxy.socket.exists, "HAProxy listens", PATIENCE)

        async def is_not_done() -> bool:
            try:
                return await action.is_done(at) is Answer.NOT_DONE
            except TransientError:
                return False

        await until_true(is_not_done, "HAProxy answers", PATIENCE)
        session = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(session) == "one"
        planned = await action.preview(at)
        assert [line.partition(": ")[2] for line in planned.commands] == [
            "set server orders/orders-1 state maint",
            "shutdown sessions server orders/orders-1",
            "set server orders/orders-2 state ready",
        ]
        assert await action.rehearse(at) == {}
        assert await action.is_done(at) is Answer.NOT_DONE  # neither of them has changed anything

        facts = await action.apply(at)
        assert facts == {"haproxy orders": "orders-1"}
        assert await say(session) == ""
        session[1].close()
        assert await action.is_done(at) is Answer.DONE
        another = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(another) == "two"
        assert await action.apply(at) == {"haproxy orders": "orders-2"}  # a second time changes nothing
        assert await say(another) == "two"
        another[1].close()

        await action.undo(replace(at, variables={**at.variables, **facts}))
        back = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(back) == "one"
        back[1].close()

        with pytest.raises(PermanentError, match="orders has no server orders-9"):
            await Haproxy(backend="orders", server="orders-9", socket=proxy.socket).apply(at)
        with pytest.raises(PermanentError, match="Can't find backend"):
            await Haproxy(backend="others", server="orders-1", socket=proxy.socket).apply(at)
        with pytest.raises(PermanentError, match="not on record"):
            await action.undo(at)


async def test_an_haproxy_that_is_not_there_is_named(at: Situation, tmp_path: Path) -> None:
    action = Haproxy(backend="orders", server="orders-1", socket=tmp_path / "nothing.sock")
    with pytest.raises(TransientError, match="is not reached: No such file"):
        await action.apply(at)
    assert "is not reached" in (await action.preview(at)).unchecked[0]


async def test_a_node_is_fenced_at_the_proxy_only_where_all_its_clients_came_through_that(
    proxy: Proxy, backends: tuple[int, int], at: Situation, services: FakeServices
) -> None:
    given = {"backend": "orders", "socket": proxy.socket, "addresses": "10.0.0.5"}
    fence = Fence.model_validate({"node": "primary", "by": "proxy", "proxy": given})
    at = replace(at, variables={"primary": "orders-1"}, machines={"orders-1": Machine("orders-1", "127.0.0.1")})
    seen = DatabaseSeen("orders", NodeRole.PRIMARY, Position(1, 0), clients=frozenset({"10.0.0.5", "10.0.0.9"}))
    services.seen = ClusterView(1.0, (NodeView("orders-1", seen=seen, seen_at=1.0),), primary="orders-1")
    async with answering(backends[0], "one"), answering(backends[1], "two"):
        await until(proxy.socket.exists, "HAProxy listens", PATIENCE)
        with pytest.raises(PermanentError, match="clients reach the nodes without a proxy"):
            await fence.apply(at)
        services.reached_by = Clients.PROXY
        with pytest.raises(PermanentError, match=r"clients came from elsewhere too: 10\.0\.0\.9"):
            await fence.apply(at)
        with pytest.raises(PermanentError, match="could not be fenced"):
            await fence.rehearse(at)
        through = replace(seen, clients=frozenset({"10.0.0.5"}))
        services.seen = ClusterView(1.0, (NodeView("orders-1", seen=through, seen_at=1.0),), primary="orders-1")

        async def is_ready() -> bool:
            try:
                return any(each.is_ready for each in await servers(proxy.socket, "orders"))
            except TransientError:
                return False

        await until_true(is_ready, "HAProxy answers", PATIENCE)
        session = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(session) == "one"
        facts = await fence.apply(at)
        assert facts == {"fenced": "orders-1", "fenced_by": "proxy"}
        assert await say(session) == ""
        session[1].close()
        await fence.undo(replace(at, variables={**at.variables, **facts}))
        again = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(again) == "one"
        again[1].close()
