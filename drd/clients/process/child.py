"""One child process from its start until nothing of its group is left."""

from __future__ import annotations

import asyncio
import functools
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from drd.clients.process.group import is_alive, signal_group
from drd.clients.process.handover import Handover
from drd.clients.process.shortage import told_of
from drd.clients.process.streams import LineProtocol, Tail
from drd.clients.process.work import NOTHING_YET, Work, work_of
from drd.core.errors import PermanentError, ProgramMissing, TransientError
from drd.ports.cancelling import to_the_end
from drd.ports.runner import Command, Ended, Ending, OnLine, Stream

END_OF_OUTPUT_SECONDS = 1.0
"""How long a pipe may stay open after the child is gone: a grandchild that holds it would keep us waiting for ever."""
KILL_SECONDS = 30.0
"""How long the kernel gets to end a killed process, which waits for its disk or its network file system."""
POLL_SECONDS = 0.02
BEHIND, LAST = 10, 19
"""Niceness of what gives way to drd's own loop, and of what does to everybody."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Descriptors that a pipe between two children uses in place of the usual ones."""

    standard_input: int | None = None
    standard_output: int | None = None


@dataclass(frozen=True, slots=True)
class Standard:
    """The descriptors of a child's standard streams."""

    input: int
    output: int
    error: int


class Child:
    """A running program. Make it with `Child.start`, then await `over` and, whatever comes of it, `gone`."""

    def __init__(
        self,
        command: Command,
        process: subprocess.Popen[bytes],
        pipes: Mapping[Stream, IO[bytes]],
        on_line: OnLine | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._command = command
        self._process = process
        self._pipes = pipes
        self._on_line = on_line
        self._tail = Tail(command.secrets.values())
        self._started = self._last_movement = self._loop.time()
        self._work: Work | None = NOTHING_YET
        self._streams: list[LineProtocol] = []
        self._transports: list[asyncio.ReadTransport] = []
        self._failed = asyncio.Event()
        self._left: asyncio.Future[Any] = self._loop.create_future()
        self._ended: Ended | None = None
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._has_left)

    @classmethod
    async def start(cls, command: Command, on_line: OnLine | None, ends: Ends = Ends()) -> Child:
        """Start the program.

        Raises `ProgramMissing`, `TransientError` while the system lacks descriptors, memory or processes for it, and
        `PermanentError` when it cannot be started.
        """
        handover = Handover()
        try:
            with told_of(command.argv[0], command.working_directory):
                handover.secrets(command.secrets)
                stdin = ends.standard_input
                if stdin is None:
                    stdin = handover.standard_input(command.standard_input)
                stdout = handover.output(command) if ends.standard_output is None else ends.standard_output
                stdout = handover.heard("stdout") if stdout is None else stdout
                process = _spawn(command, handover, Standard(stdin, stdout, handover.heard("stderr")))
                try:
                    child = cls(command, process, handover.pipes, on_line)
                except OSError:
                    _end(process)  # one that cannot be watched must not run
                    raise
        except BaseException:
            handover.close_pipes()
            raise
        finally:
            handover.close()
        try:
            await child._listen()
        except BaseException:
            try:
                await to_the_end(child.gone(Ending.CANCELLED))
            finally:
                handover.close_pipes()  # also those to which nobody came to listen
            raise
        return child

    async def over(self) -> Ending:
        """Wait until the child has left by itself, its time is up, or it has stalled. Raises what `on_line` raised."""
        failed: asyncio.Future[Any] = asyncio.ensure_future(self._failed.wait())
        try:
            while True:
                await asyncio.wait({self._left, failed}, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED)
                if failed.done() or self._left.done():
                    return Ending.EXITED
                if self._loop.time() - self._started >= self._command.deadline.total_seconds():
                    return Ending.DEADLINE
                if self._patience() <= 0 and not self._has_worked():
                    return Ending.STALLED
        finally:
            failed.cancel()

    async def left_within(self, seconds: float) -> None:
        """Give the child this long to leave by itself."""
        await asyncio.wait({self._left}, timeout=seconds)

    async def stop(self) -> None:
        """Ask the child's group to leave, by the command's signals and at last by SIGKILL, and wait until it has."""
        for number, grace in self._command.stop_signals:
            if self._left.done():
                return
            signal_group(self._process.pid, number)
            await asyncio.wait({self._left}, timeout=grace.total_seconds())
        if not self._left.done():
            signal_group(self._process.pid, signal.SIGKILL)
            await asyncio.wait({self._left}, timeout=KILL_SECONDS)

    async def gone(self, ending: Ending) -> Ended:
        """Wait until nothing of the group is left and say how it ended; asking again gives the same answer.

        A child that has not left yet is stopped, and `ending` is the reason. Raises what `on_line` raised, and
        `TransientError` when the kernel does not end a killed process.
        """
        if self._ended is None:
            ending = Ending.EXITED if self._left.done() else ending
            await self.stop()
            await self._drain()
            # The unreaped leader keeps the group's number from being given to a stranger until here.
            signal_group(self._process.pid, signal.SIGKILL)
            if not self._left.done():
                raise self._undead(f"{self._name} (process {self._process.pid})")
            code, processor_seconds, peak = self._reap()
            seconds = self._loop.time() - self._started
            self._ended = Ended(code, ending, seconds, self._tail.text, processor_seconds, peak)
            await self._group_gone()
        for stream in self._streams:
            if stream.failure is not None:
                raise stream.failure
        return self._ended

    @property
    def _name(self) -> str:
        return Path(self._command.argv[0]).name

    def _has_left(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if not self._left.done():
            self._left.set_result(None)

    async def _listen(self) -> None:
        for name, pipe in self._pipes.items():
            transport, reader = await self._loop.connect_read_pipe(functools.partial(self._reader, name), pipe)
            self._transports.append(transport)
            self._streams.append(reader)

    def _reader(self, stream: Stream) -> LineProtocol:
        def take(line: bytes) -> None:
            if stream == "stderr":
                self._tail.add(line)
            has_moved = self._on_line(stream, line) if self._on_line is not None else None
            if has_moved is not False:
                self._last_movement = self._loop.time()

        return LineProtocol(take, self._failed.set)

    def _patience(self) -> float:
        """Seconds until the child has to be looked at again."""
        now = self._loop.time()
        left = self._started + self._command.deadline.total_seconds() - now
        if self._command.stall is not None:
            left = min(left, self._last_movement + self._command.stall.total_seconds() - now)
        return max(left, 0.0)

    def _has_worked(self) -> bool:
        """Whether the silent child did something since it was last looked at; one that cannot be looked at did."""
        if not self._command.counts_work:
            return False
        before, self._work = self._work, work_of(self._process.pid)
        if before is not None and self._work is not None and not self._work.is_more_than(before):
            return False
        self._last_movement = self._loop.time()
        return True

    async def _drain(self) -> None:
        open_streams = {stream.ended for stream in self._streams if not stream.ended.done()}
        if open_streams:
            _, unfinished = await asyncio.wait(open_streams, timeout=END_OF_OUTPUT_SECONDS)
            if unfinished:
                signal_group(self._process.pid, signal.SIGKILL)
                await asyncio.wait(unfinished, timeout=END_OF_OUTPUT_SECONDS)
        for transport in self._transports:
            transport.close()

    def _reap(self) -> tuple[int, float, int]:
        _, status, usage = os.wait4(self._process.pid, 0)
        # Popen must not wait for the number again: it may belong to another process by then.
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024

    async def _group_gone(self) -> None:
        deadline = self._loop.time() + KILL_SECONDS
        while is_alive(self._process.pid):
            if self._loop.time() > deadline:
                raise self._undead(f"a process that {self._name} started")
            await asyncio.sleep(POLL_SECONDS)

    def _undead(self, who: str) -> TransientError:
        return TransientError(
            f"{who} does not end although it was killed",
            f"it waits for a disk or a network file system: ps -o pid,stat,wchan:30,args -g {self._process.pid}",
        )


def _spawn(command: Command, handover: Handover, standard: Standard) -> subprocess.Popen[bytes]:
    environment = {name: handover.filled(value) for name, value in command.environment.items()}
    argv = [handover.filled(word) for word in command.argv]
    argv[0] = _found(command.argv[0], command)
    # On the loop's own thread, never in a pool: see `_wrapped`.
    return subprocess.Popen(
        [*_wrapped(command), *argv],
        bufsize=0,
        stdin=standard.input,
        stdout=standard.output,
        stderr=standard.error,
        cwd=command.working_directory,
        env=environment,
        pass_fds=handover.passed,
        start_new_session=True,
        **_identity(command.user),
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _wrapped(command: Command) -> list[str]:
    """Programs that prepare the child and then become it, so that its process number stays the same.

    PR_SET_PDEATHSIG kills the child when the *thread* that forked it ends, not the process. The event loop's thread
    lives as long as the daemon; a thread of a pool would end earlier and take the child along. setpriv sets it after
    the user was changed, which would clear it.
    """
    words = [_found("setpriv", command, "util-linux"), "--pdeathsig", "KILL", "--"]
    if command.io_idle:
        words += [_found("ionice", command, "util-linux"), "-c", "3"]
    if command.io_idle or command.gives_way:
        niceness = LAST if command.io_idle else BEHIND
        words += [_found("nice", command, "coreutils"), "-n", str(niceness)]
    return words


def _found(program: str, command: Command, package: str = "") -> str:
    """The program's path, looked for in the child's PATH and then in drd's own. Raises `ProgramMissing`."""
    if "/" in program:
        path = (command.working_directory or Path()) / program
        found = str(path) if path.is_file() and os.access(path, os.X_OK) else None
    else:
        found = shutil.which(program, path=command.environment.get("PATH")) or shutil.which(program)
    if found is None:
        raise ProgramMissing(f"the program {program} is not there", f"apt-get install {package or Path(program).name}")
    return found


def _identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    try:
        account = pwd.getpwnam(user)
    except KeyError as error:
        raise PermanentError(f"there is no user {user} on this machine", f"getent passwd {user}") from error
    if account.pw_uid == os.geteuid():
        return {}
    groups = os.getgrouplist(user, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
