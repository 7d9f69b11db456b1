"""One HTTP server in the daemon's own event loop: control on a unix socket, metrics on loopback.

On TCP there is `/metrics`, `/livez` and, for who shows a token, what starts runbooks; nothing else, whatever is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from drd.api.answers import HEARTBEAT_SECONDS, Answers, OnBug
from drd.api.control_routes import ERROR_HANDLERS, ControlRoutes
from drd.api.runbook_routes import RunbookRoutes
from drd.api.sockets import bind_control_socket, bind_tcp, remove_control_socket
from drd.api.tokens import Guarded, Tokens
from drd.api.trigger_routes import TriggerRoutes
from drd.core.errors import DrdError
from drd.ports.control import Control
from drd.ports.triggers import Triggers

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus 3 refuses a scrape without the exact type."""
LEAVING_SECONDS = 3
"""How long answers under way may still take when the server stops."""


class ApiServer:
    """The daemon's ears. Serves from `serve()` until `stop()` or cancellation; no signal is touched."""

    def __init__(
        self,
        control: Control,
        metrics: Callable[[], Awaitable[bytes]],
        alive: Callable[[], tuple[bool, str]],
        control_socket: Path,
        listen: tuple[str, int] | None,
        *,
        on_bug: OnBug,
        who_listens: Callable[[int], str] = lambda _port: "",
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        tokens: Tokens | None = None,
        triggers: Triggers | None = None,
    ) -> None:
        self._path = control_socket
        self._listen = listen
        self._who_listens = who_listens
        self._answers = Answers(on_bug, heartbeat_seconds)
        control_routes = [
            *ControlRoutes(control, self._answers).routes(),
            *RunbookRoutes(control, self._answers).routes(),
        ]
        public_routes = _public_routes(self._answers, metrics, alive)
        trigger_routes = [] if triggers is None or tokens is None else TriggerRoutes(triggers, self._answers).routes()
        public = Starlette(routes=[*public_routes, *trigger_routes], exception_handlers=ERROR_HANDLERS)
        self._ready = asyncio.Event()
        self._server = _Server(
            _ByDoor(
                control=Starlette(routes=[*control_routes, *public_routes], exception_handlers=ERROR_HANDLERS),
                public=public if tokens is None else Guarded(public, tokens),
            ),
            self._ready,
        )
        self._failure: DrdError | None = None
        self._port: int | None = None

    @property
    def port(self) -> int | None:
        """The TCP port that is bound; None before, and where none is asked for."""
        return self._port

    async def serve(self) -> None:
        """Bind, serve until told to stop, and leave no socket behind.

        Raises `Busy` when the port or the socket is taken and `UsageError` when they cannot be.
        """
        sockets: list[socket.socket] = []
        try:
            self._bind(sockets)
            inode = self._path.lstat().st_ino
            try:
                await self._serve_until_stopped(sockets)
            finally:
                remove_control_socket(self._path, inode)
                await self._answers.finish()
        except DrdError as error:
            self._failure = error
            self._ready.set()
            raise
        finally:
            for bound in sockets:
                bound.close()

    async def ready(self) -> None:
        """Wait until it listens. Raises what `serve()` raises when it cannot."""
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Ask `serve()` to return; answers under way get a few seconds."""
        self._server.should_exit = True

    def _bind(self, sockets: list[socket.socket]) -> None:
        if self._listen is not None:
            sockets.append(bind_tcp(*self._listen, self._who_listens))
            self._port = sockets[-1].getsockname()[1]
        sockets.append(bind_control_socket(self._path))

    async def _serve_until_stopped(self, sockets: list[socket.socket]) -> None:
        # A cancelled uvicorn would leave its listeners in the loop, so it is asked to leave instead.
        serving = asyncio.create_task(self._server.serve(sockets=sockets), name="api: uvicorn")
        try:
            await asyncio.shield(serving)
        finally:
            self._server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """uvicorn as a guest in somebody else's process."""

    def __init__(self, application: ASGIApp, ready: asyncio.Event) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                log_level="error",
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=LEAVING_SECONDS,
            )
        )
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the daemon: uvicorn would take SIGTERM over and deliver it twice."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets=sockets)
        self._ready.set()


class _ByDoor:
    """Two applications behind one server, told apart by the door through which a request came."""

    def __init__(self, control: ASGIApp, public: ASGIApp) -> None:
        self._control = control
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, port = scope["server"]
        await (self._control if port is None else self._public)(scope, receive, send)


def _public_routes(
    answers: Answers, metrics: Callable[[], Awaitable[bytes]], alive: Callable[[], tuple[bool, str]]
) -> list[Route]:
    async def show_metrics(_request: Request) -> Response:
        return await answers.document("metrics", metrics(), METRICS_TYPE)

    async def show_life(_request: Request) -> Response:
        lives, words = alive()
        return PlainTextResponse(f"{words}\n", status_code=200 if lives else 503)

    return [Route("/metrics", show_metrics, methods=["GET"]), Route("/livez", show_life, methods=["GET"])]
