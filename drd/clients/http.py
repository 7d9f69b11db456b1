"""One HTTP request and its answer, over h11 and the event loop: for probes, for calls of runbooks, and for messages."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import h11

from drd import __version__
from drd.clients.blocking import within
from drd.core.errors import PermanentError, TransientError

LONGEST_BODY_BYTES: Final = 1 << 20
"""No more of an answer is read."""
AUTHORITIES_SECONDS: Final = 10.0
"""So long the certificates that this machine trusts may take to be read."""
CLOSING_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back."""

    status: int
    body: bytes
    certificate_until: datetime | None = None
    """None where nothing is encrypted."""


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
            return await exchange(method, url, body, headers)
    except TimeoutError as error:
        raise TransientError(f"{where} did not answer within {patience.total_seconds():.0f} s", "") from error
    except ssl.SSLError as error:
        raise TransientError(f"{where} is not trusted: {error.reason}", "look at its certificate") from error
    except (OSError, h11.RemoteProtocolError) as error:
        raise TransientError(f"{where} does not answer: {type(error).__name__}", "") from error


async def exchange(
    method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, address: str | None = None
) -> HttpAnswer:
    """Ask without a deadline. `address` is connected to instead of what the name in the URL leads to.

    Raises `OSError` (with `ssl.SSLError` among them) when there is no connection, and `h11.RemoteProtocolError` when
    the answer is not HTTP.
    """
    place = urlsplit(url)
    is_secure = place.scheme == "https"
    name = place.hostname or ""
    reader, writer = await asyncio.open_connection(
        address or name,
        place.port or (443 if is_secure else 80),
        ssl=await within(AUTHORITIES_SECONDS, ssl.create_default_context) if is_secure else None,
        server_hostname=name if is_secure else None,
    )
    try:
        connection = h11.Connection(our_role=h11.CLIENT)
        asked = [
            ("host", place.netloc.rpartition("@")[2]),
            ("user-agent", f"drd/{__version__}"),
            ("connection", "close"),
            *([("content-length", str(len(body)))] if body or method not in ("GET", "HEAD") else []),
            *(headers or {}).items(),
        ]
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        for part in (h11.Request(method=method, target=target, headers=asked), h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(part) or b"")
        await writer.drain()
        status, answered = await _answer(connection, reader)
        return HttpAnswer(status, answered, _certificate_until(writer))
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await writer.wait_closed()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, body = 0, b""
    while len(body) <= LONGEST_BODY_BYTES:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    return status, body[:LONGEST_BODY_BYTES]


def _certificate_until(writer: asyncio.StreamWriter) -> datetime | None:
    secured = writer.get_extra_info("ssl_object")
    certificate = secured.getpeercert() if secured is not None else None
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
