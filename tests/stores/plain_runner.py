"""A small Runner for tests of stores and the carrier: real children, secrets by descriptor, a deadline."""

import asyncio
import contextlib
import os
import signal
import time

from drd.core.errors import ProgramMissing
from drd.ports.runner import Command, Ended, Ending, OnLine, Stream

LINE_LIMIT_BYTES = 64 * 2**20
TAIL_BYTES = 4096


class PlainRunner:
    """Runs one child at a time to its end, or kills it at its deadline."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    async def run(self, command: Command, on_line: OnLine | None = None) -> Ended:
        descriptors = {name: _readable(name, secret) for name, secret in command.secrets.items()}
        paths = {name: f"/dev/fd/{number}" for name, number in descriptors.items()}
        started = time.monotonic()
        try:
            child = await asyncio.create_subprocess_exec(
                *(_filled(word, paths) for word in command.argv),
                env={key: _filled(value, paths) for key, value in command.environment.items()},
                cwd=command.working_directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=tuple(descriptors.values()),
                start_new_session=True,
                limit=LINE_LIMIT_BYTES,
            )
        except FileNotFoundError as error:
            raise ProgramMissing(f"{command.argv[0]} is not installed") from error
        finally:
            for number in descriptors.values():
                os.close(number)
        self.pids.append(child.pid)
        tail: list[bytes] = []
        try:
            async with asyncio.timeout(command.deadline.total_seconds()):
                await asyncio.gather(_hear(child, "stdout", on_line, []), _hear(child, "stderr", on_line, tail))
                code = await child.wait()
            ending = Ending.EXITED
        except TimeoutError:
            ending, code = Ending.DEADLINE, -signal.SIGKILL
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
        seconds = time.monotonic() - started
        return Ended(code, ending, seconds, stderr_tail=b"\n".join(tail)[-TAIL_BYTES:].decode(errors="replace"))


def _readable(name: str, secret: bytes) -> int:
    number = os.memfd_create(name)
    os.write(number, secret)
    return number


def _filled(text: str, paths: dict[str, str]) -> str:
    for name, path in paths.items():
        text = text.replace("{" + name + "}", path)
    return text


async def _hear(child: asyncio.subprocess.Process, stream: Stream, on_line: OnLine | None, lines: list[bytes]) -> None:
    reader = child.stdout if stream == "stdout" else child.stderr
    assert reader is not None
    async for line in reader:
        lines.append(line.rstrip(b"\n"))
        if on_line is not None:
            on_line(stream, lines[-1])
