"""Whether a port accepts connections, asked without a word of what is spoken there."""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from drd.core.probing import Failure

_NOWHERE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT})


async def connect(host: str, port: int, seconds: float) -> tuple[Failure, str] | None:
    """Open a connection and close it again; None when that was done in time. A host with a slash is a socket's folder.

    One attempt at each address of the name, none of them twice: half up is not up.
    """
    try:
        async with asyncio.timeout(seconds):
            await _open(host, port)
    except TimeoutError:
        return Failure.TIMEOUT, f"no connection within {seconds:g} s"
    except OSError as error:
        return meaning(error)
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


async def _open(host: str, port: int) -> None:
    """Connect and close. What needs no look-up of a name needs no transport either, which halves the work."""
    loop = asyncio.get_running_loop()
    where: str | tuple[str, int] = (host, port)
    if host.startswith("/"):
        family, where = socket.AF_UNIX, f"{host}/.s.PGSQL.{port}"
    elif _is_address(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
    else:
        transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
        transport.close()
        return
    with socket.socket(family) as line:
        line.setblocking(False)
        await loop.sock_connect(line, where)


@lru_cache(maxsize=4096)
def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _words(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
