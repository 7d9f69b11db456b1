"""Clients are sent to one server and to no other, by a real HAProxy, and their open sessions with them."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from drd.actions.fence import Fence
from drd.actions.haproxy import Haproxy
from drd.clients.clock import SystemClock
from drd.clients.haproxy import order, servers, shutting
from drd.core.errors import PermanentError, TransientError
from drd.core.fencing import Clients
from drd.core.health import ClusterView, NodeView
from drd.core.position import Position
from drd.core.probing import DatabaseSeen, NodeRole
from drd.core.runbook_step import Answer
from drd.ports.action import Situation
from drd.ports.machines import Machine
from tests.actions.conftest import FakeServices
from tests.fakes.clock import FakeClock
from tests.waiting import until, until_true

PATIENCE = 90.0


@dataclass
class Proxy:
    port: int
    socket: Path
    program: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def state_file(self) -> Path:
        return self.socket.with_name("servers.state")

    def start(self) -> None:
        """Start it, or another one that takes over."""
        words = ["-sf", str(self.processes[-1].pid)] if self.processes else []
        with self.socket.with_name("log").open("ab") as log:
            command = [
                "setpriv",
                "--pdeathsig",
                "KILL",
                self.program,
                "-db",
                "-f",
                self.socket.with_name("haproxy.cfg"),
            ]
            self.processes.append(
                subprocess.Popen(
                    [*command, *words], env=dict(os.environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )

    async def reload(self) -> None:
        """Have another one take over, and return when that answers."""
        before = self.socket.stat().st_ino
        self.start()
        await until(lambda: self.socket.stat().st_ino != before, "the new HAProxy listens", PATIENCE)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def backends() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def proxy(haproxy: Path, backends: tuple[int, int], tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(free_port(), tmp_path / "admin.sock", haproxy)
    first, second = backends
    (tmp_path / "haproxy.cfg").write_text(
        f"global\n stats socket {made.socket} mode 600 level admin\n server-state-file {made.state_file}\n"
        "defaults\n load-server-state-from-file global\n"
        " mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n"
        f"frontend in\n bind 127.0.0.1:{made.port}\n default_backend orders\n"
        f"backend orders\n server orders-1 127.0.0.1:{first}\n server orders-2 127.0.0.1:{second} disabled\n"
    )
    made.start()
    try:
        yield made
    finally:
        made.close()


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


async def test_who_takes_clients_is_kept_over_a_reload_where_the_state_is_written_down(
    proxy: Proxy, backends: tuple[int, int], at: Situation
) -> None:
    forgetful = Haproxy(backend="orders", server="orders-2", socket=proxy.socket)
    action = forgetful.model_copy(update={"state_file": proxy.state_file})
    async with answering(backends[0], "one"), answering(backends[1], "two"):
        await until(proxy.socket.exists, "HAProxy listens", PATIENCE)
        await forgetful.apply(at)
        await proxy.reload()
        assert await action.is_done(at) is Answer.NOT_DONE

        await action.apply(at)
        await proxy.reload()
        assert await action.is_done(at) is Answer.DONE
        session = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(session) == "two"
        session[1].close()

        await action.undo(replace(at, variables={"haproxy orders": "orders-1"}))
        await proxy.reload()
        assert {each.name for each in await servers(proxy.socket, "orders") if each.is_ready} == {"orders-1"}
    nowhere = action.model_copy(update={"state_file": proxy.state_file / "below" / "a-file"})
    assert "it is reloaded" in (await nowhere.apply(at))["note"]


@pytest.mark.looptime
async def test_an_haproxy_that_is_not_there_is_named(at: Situation, tmp_path: Path) -> None:
    at = replace(at, world=replace(at.world, clock=FakeClock()))
    action = Haproxy(backend="orders", server="orders-1", socket=tmp_path / "nothing.sock")
    with pytest.raises(TransientError, match="is not reached: No such file"):
        await action.apply(at)
    assert "is not reached" in (await action.preview(at)).unchecked[0]


class StillClock(SystemClock):
    """Patience that does not run out."""

    def monotonic(self) -> float:
        return 0.0


async def test_an_haproxy_that_is_reloaded_as_the_step_begins_is_waited_for(
    proxy: Proxy, at: Situation, tmp_path: Path
) -> None:
    """It is not there yet, then it hangs up without a word, as the old one does, and only then it answers."""
    action = Haproxy(backend="orders", server="orders-2", socket=tmp_path / "front.sock")
    at = replace(at, world=replace(at.world, clock=StillClock()))
    refusals = 0

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refusals
        refusals += 1
        if refusals > 2:
            theirs = await asyncio.open_unix_connection(proxy.socket)
            theirs[1].write(await reader.readline())
            writer.write(await theirs[0].read())
            theirs[1].close()
        writer.close()

    await until(proxy.socket.exists, "HAProxy listens", PATIENCE)
    step = asyncio.create_task(action.apply(at))
    await asyncio.sleep(0)
    async with await asyncio.start_unix_server(pass_on, action.socket):
        assert await step == {"haproxy orders": "orders-1"}
    assert await action.model_copy(update={"socket": proxy.socket}).is_done(at) is Answer.DONE


async def test_who_had_the_clients_is_not_forgotten_where_a_step_is_done_again(proxy: Proxy, at: Situation) -> None:
    action = Haproxy(backend="orders", server="orders-2", socket=proxy.socket)
    again = replace(at, is_again=True)
    await until(proxy.socket.exists, "HAProxy listens", PATIENCE)
    # drd is killed in the middle of the orders, and begins with the step anew.
    for line in shutting("orders", "orders-1"):
        await order(proxy.socket, line)
    assert await action.apply(again) == {}
    with pytest.raises(PermanentError, match="not on record"):
        await action.undo(again)

    await order(proxy.socket, "set server orders/orders-2 state maint")
    recorded = replace(again, variables={"haproxy orders": "orders-1"})
    assert await action.apply(recorded) == {"haproxy orders": "orders-1"}

    # That nobody had them is true where nothing was begun.
    await order(proxy.socket, "set server orders/orders-2 state maint")
    assert await action.apply(at) == {"haproxy orders": ""}


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
        confirmed = replace(at, variables={**at.variables, **facts})
        assert await fence.is_done(confirmed) is Answer.DONE
        assert await say(session) == ""
        session[1].close()
        await fence.undo(confirmed)
        assert await fence.is_done(confirmed) is Answer.NOT_DONE
        again = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(again) == "one"
        again[1].close()
