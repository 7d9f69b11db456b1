"""The demonstration's chat room: what drd tells people arrives here over HTTP, as it would at a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from drd.demo.ports import ADDRESS

MOST_BYTES: Final = 64 * 1024


@asynccontextmanager
async def chat_room(say: Callable[[str], None]) -> AsyncIterator[str]:
    """Take messages as `{"text": …}` and say each; yields the address to post them to."""
    loop = asyncio.get_running_loop()

    class Room(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(min(int(self.headers.get("content-length", "0")), MOST_BYTES))
            try:
                text = json.loads(content)["text"]
            except (ValueError, KeyError, TypeError):
                self.send_error(HTTPStatus.BAD_REQUEST)
                return
            loop.call_soon_threadsafe(say, f"people are told: {text}")
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the class above calls it
            """Say nothing of requests."""

    server = ThreadingHTTPServer((ADDRESS, 0), Room)
    server.daemon_threads = True
    serving = asyncio.create_task(asyncio.to_thread(server.serve_forever, 0.1))
    try:
        yield f"http://{ADDRESS}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        await serving
        server.server_close()
