"""HAProxy's runtime API: one command a connection over its unix socket, as chapter 9.3 of its management guide says."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from drd.core.errors import PermanentError, TransientError

PATIENCE: Final = timedelta(seconds=5)
_NAME, _STATE, _ADMIN = "srv_name", "srv_op_state", "srv_admin_state"
_CUT: Final = 0x01 | 0x02 | 0x08 | 0x10 | 0x20
"""Bits of `srv_admin_state`: maintenance (asked for, inherited, no address) and draining (asked for, inherited).

0x04 only says that the file has the server disabled, and stays when it is let in.
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server of a backend."""

    name: str
    is_ready: bool
    """Whether people let it take clients; whether it answers is another question."""
    is_up: bool


async def servers(socket: Path, backend: str) -> tuple[Server, ...]:
    """The servers of a backend. Raises `PermanentError` when there is no such backend."""
    said = await _ask(socket, f"show servers state {backend}")
    lines = said.splitlines()
    header = next((line for line in lines if line.startswith("# ")), "")
    if not header:
        raise PermanentError(f"HAProxy at {socket} says: {said.strip()}", "look at `backend:` and at haproxy.cfg")
    names = header.removeprefix("# ").split()
    rows = [dict(zip(names, line.split(), strict=False)) for line in lines[lines.index(header) + 1 :] if line.strip()]
    return tuple(Server(row[_NAME], not int(row[_ADMIN]) & _CUT, row[_STATE] == "2") for row in rows)


async def order(socket: Path, command: str) -> None:
    """Have something done. Raises `PermanentError` with HAProxy's words when it is refused."""
    said = (await _ask(socket, command)).strip()
    if said:
        raise PermanentError(f"HAProxy at {socket} refused `{command}`: {said}", "its socket needs `level admin`")


async def shut(socket: Path, backend: str, server: str) -> None:
    """Let no client in to a server, and end every session that is open to it: each would go on to write there."""
    for line in shutting(backend, server):
        await order(socket, line)


def shutting(backend: str, server: str) -> tuple[str, str]:
    """The commands that do so."""
    place = f"{backend}/{server}"
    return f"set server {place} state maint", f"shutdown sessions server {place}"


async def kept_state(socket: Path, file: Path | None) -> dict[str, str]:
    """Write down how all servers stand now, as `server-state-file` has it, so that the next HAProxy begins with that.

    Returns a note where that was not possible: what holds now holds all the same.
    """
    if file is None:
        return {}
    said = await _ask(socket, "show servers state")
    try:
        await asyncio.to_thread(_replace, file, said.strip() + "\n")
    except OSError as error:
        return {"note": f"HAProxy forgets this when it is reloaded: {file} cannot be written: {error.strerror}"}
    return {}


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    with new.open("rb") as written:
        os.fsync(written.fileno())
    new.replace(file)


async def _ask(socket: Path, command: str) -> str:
    """What it says to a command. Raises `TransientError` also where it hangs up, as one that is being reloaded does."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            reader, writer = await asyncio.open_unix_connection(os.fspath(socket))
            try:
                writer.write(f"{command}\n".encode())
                await writer.drain()
                said = (await reader.read()).decode("utf-8", "replace")
            finally:
                writer.close()
    except TimeoutError as error:
        raise TransientError(f"HAProxy at {socket} does not answer", "look at HAProxy") from error
    except OSError as error:
        raise TransientError(f"HAProxy at {socket} is not reached: {error.strerror}", "look at HAProxy") from error
    if not said:  # what is done without a word ends with an empty line
        raise TransientError(f"HAProxy at {socket} hung up without an answer", "look at HAProxy")
    return said
