"""The demonstration's off-site site: a real S3 server (`rclone serve s3`) on loopback that plays a town far away."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from drd.core.errors import PermanentError, ProgramMissing

START_SECONDS = 20.0
_LISTENS = re.compile(rb"https?://127\.0\.0\.1:(\d+)/")


@asynccontextmanager
async def offsite_server(folder: Path, access_key: str, secret_key: str, port: int) -> AsyncIterator[int]:
    """Serve `folder` as buckets on a free port (or `port`, when it is still free) and yield the port.

    The keys are handed over in the environment, never in the arguments.
    """
    program = shutil.which("rclone")
    if program is None:
        raise ProgramMissing("rclone is not installed", "type: make setup, or: apt-get install rclone")
    environment = {
        "RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"',  # quoted, or rclone would take it for two pairs
        "RCLONE_CONFIG": "/dev/null",
        "HOME": str(folder.parent),
    }
    process = await asyncio.create_subprocess_exec(
        # A demonstration that is killed takes its server along.
        "setpriv", "--pdeathsig", "KILL", "--", program, "serve", "s3", "--addr", f"127.0.0.1:{port}", str(folder),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    reading: asyncio.Task[None] | None = None
    try:
        bound = await _listening_port(process)
        reading = asyncio.create_task(_swallow(process))
        yield bound
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        if reading is not None:
            await reading


async def _listening_port(process: asyncio.subprocess.Process) -> int:
    said: list[bytes] = []
    try:
        async with asyncio.timeout(START_SECONDS):
            while line := await _line(process):
                said.append(line)
                if found := _LISTENS.search(line):
                    return int(found[1])
    except TimeoutError:
        pass
    tail = b" ".join(said[-3:]).decode(errors="replace").strip()
    raise PermanentError(f"the off-site server did not start: {tail}", "type: rclone serve s3 --help")


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stderr is not None  # noqa: S101 - it is a pipe, see above
    return await process.stderr.readline()


async def _swallow(process: asyncio.subprocess.Process) -> None:
    """Keep the pipe empty, or the server would stop at its first full buffer."""
    while await _line(process):
        pass
