"""Whether a port accepts connections, asked without a word of what is spoken there."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import Final

from drd.core.probing import Failure

_NOWHERE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT})


async def connect(host: str, port: int, seconds: float) -> tuple[Failure, str] | None:
    """Open a connection and close it again; None when that was done in time. A host with a slash is a socket's folder.

    One attempt at each address of the name, none of them twice: half up is not up.
    """
    try:
        async with asyncio.timeout(seconds):
            if host.startswith("/"):
                opened = asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            else:
                opened = asyncio.open_connection(host, port)
            _, writer = await opened
    except TimeoutError:
        return Failure.TIMEOUT, f"no connection within {seconds:g} s"
    except OSError as error:
        return meaning(error)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return None


def meaning(error: OSError) -> tuple[Failure, str]:
    """What kind of failure an operating system's error is, and its words."""
    if isinstance(error, ConnectionError | FileNotFoundError):
        return Failure.REFUSED, "nobody listens there" if error.errno == errno.ECONNREFUSED else _words(error)
    if isinstance(error, socket.gaierror):
        return Failure.PROTOCOL, f"its name is not found: {error.strerror}"
    if error.errno in _NOWHERE:
        return Failure.TIMEOUT, _words(error)
    return Failure.PROTOCOL, _words(error)


def _words(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
