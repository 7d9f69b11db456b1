"""One HTTP request and its answer, over h11 and the event loop: for steps that call an address, and for messages."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import h11

from drd import __version__
from drd.core.errors import PermanentError, TransientError

BODY_BYTES = 1 << 20
"""No more of an answer is read."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back."""

    status: int
    body: bytes


async def request(method: str, url: str, body: bytes, headers: Mapping[str, str], patience: timedelta) -> HttpAnswer:
    """Ask and read the answer; redirects are answers. Certificates are checked.

    Raises `TransientError` when nothing answers in time, so that nobody knows whether it was heard, and
    `PermanentError` for an address that is none. Neither names more of the address than its host.
    """
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise PermanentError(
            "the address begins neither with http:// nor with https://", "write it like https://host/path"
        )
    where = place.hostname
    try:
        async with asyncio.timeout(patience.total_seconds()):
            return await _exchange(method, url, body, headers)
    except TimeoutError as error:
        raise TransientError(f"{where} did not answer within {patience.total_seconds():.0f} s", "") from error
    except ssl.SSLError as error:
        raise TransientError(f"{where} is not trusted: {error.reason}", "look at its certificate") from error
    except (OSError, h11.RemoteProtocolError) as error:
        raise TransientError(f"{where} does not answer: {type(error).__name__}", "") from error


async def _exchange(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
    place = urlsplit(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    context = ssl.create_default_context() if place.scheme == "https" else None
    reader, writer = await asyncio.open_connection(place.hostname, port, ssl=context)
    try:
        connection = h11.Connection(our_role=h11.CLIENT)
        asked = [
            ("host", place.netloc.rpartition("@")[2]),
            ("user-agent", f"drd/{__version__}"),
            ("connection", "close"),
            ("content-length", str(len(body))),
            *headers.items(),
        ]
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        for part in (h11.Request(method=method, target=target, headers=asked), h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(part) or b"")
        await writer.drain()
        return await _answer(connection, reader)
    finally:
        writer.close()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> HttpAnswer:
    status, body = 0, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_BYTES:
                return HttpAnswer(status, body[:BODY_BYTES])
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return HttpAnswer(status, body)
