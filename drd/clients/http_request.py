"""One HTTP/1.1 request, spoken by h11: what a server answers, and until when its certificate is good."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import h11

LONGEST_BODY_BYTES: Final = 256 * 1024
"""More of an answer is not read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes
    certificate_until: datetime | None = None
    """None where nothing is encrypted."""


async def get(url: str, address: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask once; redirections are not followed. `address` is connected to instead of the name in the URL.

    Raises `OSError` (with `ssl.SSLError` among them) when there is no connection, and `h11.RemoteProtocolError` when
    the answer is not HTTP. Has no deadline of its own.
    """
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    name = parts.hostname or ""
    port = parts.port or (443 if is_secure else 80)
    reader, writer = await asyncio.open_connection(
        address or name,
        port,
        ssl=ssl.create_default_context() if is_secure else None,
        server_hostname=name if is_secure else None,
    )
    try:
        until = _certificate_until(writer)
        status, body = await _talk(reader, writer, parts.netloc, _path(parts.path, parts.query), headers or {})
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1)
    return Answer(status, body, until)


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT)
    said = [("Host", host), ("User-Agent", "drd"), ("Connection", "close"), *headers.items()]
    for event in (h11.Request(method="GET", target=path, headers=said), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
    status, body = 0, b""
    while len(body) < LONGEST_BODY_BYTES:
        found = connection.next_event()
        if found is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(found, h11.Response):
            status = found.status_code
        elif isinstance(found, h11.Data):
            body += bytes(found.data)
        elif isinstance(found, h11.EndOfMessage | h11.ConnectionClosed):
            break
    return status, body


def _path(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def _certificate_until(writer: asyncio.StreamWriter) -> datetime | None:
    secured = writer.get_extra_info("ssl_object")
    certificate = secured.getpeercert() if secured is not None else None
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
