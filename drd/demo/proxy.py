"""HAProxy before the shop's database: customers know its port, and it knows which server takes them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from drd.clients.haproxy import servers
from drd.core.errors import DrdError, PermanentError, ProgramMissing
from drd.demo.ports import ADDRESS, free_port, is_free, noted_port

BACKEND: Final = "orders"
"""As runbooks/orders-failover.yaml calls it."""
START_SECONDS: Final = 20.0
_CONFIGURATION: Final = """\
# written by drd demo run
global
    stats socket {socket} mode 600 level admin
    server-state-file {state}
defaults
    load-server-state-from-file global
    mode tcp
    retries 0
    timeout connect 2s
    timeout client 1h
    timeout server 1h
listen {backend}
    bind {address}:{port}
"""


@asynccontextmanager
async def proxy(folder: Path, socket: Path, state: Path, ports: Mapping[str, int], taking: str) -> AsyncIterator[int]:
    """Run it over the servers by their names and ports, the one called `taking` open, and yield its own port.

    Raises `ProgramMissing`, and `PermanentError` with its last words when it does not start.
    """
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        raise ProgramMissing("haproxy is not installed", "type: make run, or: apt-get install haproxy")
    note, log = folder / "proxy.port", folder / "proxy.log"
    port = noted_port(note)
    port = port if port and is_free(port) else free_port()
    configuration = folder / "haproxy.cfg"
    # One of an earlier run may say that the other server leads.
    await asyncio.to_thread(state.unlink, missing_ok=True)
    lines = [_CONFIGURATION.format(socket=socket, state=state, backend=BACKEND, address=ADDRESS, port=port)]
    for name, at in ports.items():
        lines.append(f"    server {name} {ADDRESS}:{at}{'' if name == taking else ' disabled'}\n")
    await asyncio.to_thread(configuration.write_text, "".join(lines))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "KILL", "--", program, "-db", "-f", str(configuration),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        await _listens(process, socket, log)
        note.write_text(f"{port}\n")
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(process: asyncio.subprocess.Process, socket: Path, log: Path) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                with suppress(DrdError):
                    await servers(socket, BACKEND)
                    return
                await asyncio.sleep(0.05)
    words = "; ".join((await asyncio.to_thread(log.read_text, errors="replace")).splitlines()[-3:])
    raise PermanentError(f"HAProxy does not start: {words}", f"haproxy -c -f {log.with_name('haproxy.cfg')}")
