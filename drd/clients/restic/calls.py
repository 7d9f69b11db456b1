"""Running restic commands: locks are waited for, failures become errors, and what is stopped leaves no lock."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from itertools import chain, repeat

from drd.clients.process import Redaction
from drd.clients.restic.access import Access, give_up_cache, restic_arguments, restic_environment
from drd.clients.restic.outcomes import failure
from drd.clients.restic.output import LockVanished, Output
from drd.clients.restic.versions import Restic
from drd.core.errors import DrdError, RepositoryDamaged, RepositoryLocked, StoreAway, TransientError
from drd.core.units import format_duration
from drd.ports.cancelling import to_the_end
from drd.ports.clock import Clock
from drd.ports.runner import Command, Ended, Ending, OnLine, Runner, Stream
from drd.ports.store import Limits

LONG = timedelta(days=30)
"""Deadline of calls that may read or write a whole repository; what stands still is stopped long before."""
CLEARING = timedelta(seconds=30)
"""Deadline of removing our own lock after a call was stopped."""
LOCK_WAITS_SECONDS = (0, 1, 2, 5, 10, 30)
"""How long each try waits for other processes' locks; the last one repeats, and stale locks are removed in between.

The first does not wait: nobody ends the lock of a dead process by waiting for it. The next ones are short, because a
process that was killed a moment ago counts as alive until its parent has taken notice.
"""
# SIGINT first: restic 0.14 leaves its lock behind on SIGTERM.
STOP_SIGNALS = ((signal.SIGINT, timedelta(seconds=15)), (signal.SIGTERM, timedelta(seconds=10)))
# restic hears no signal while it waits for input, and it must not be given the end of its input to wake it up.
STOP_SIGNALS_WITH_PRODUCER = ((signal.SIGINT, timedelta(seconds=1)),)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a repository is waited for."""

    answer: timedelta = timedelta(minutes=2)
    """Deadline of calls that move little data; restic itself would try a store that is away again for 15 minutes."""
    lock: timedelta = timedelta(minutes=5)
    """How long a call waits for other processes' locks altogether."""
    still: timedelta = timedelta(hours=1)
    """How long a call with the deadline `LONG` may neither read nor compute anything worth the name.

    With --json, restic tells nothing while it copies, checks and prunes, and before 0.16 nothing while it restores;
    where it tells something, it repeats it also when nothing moves. So what counts is what the kernel sees it do.
    """


USUAL = Patience()


class Lock(Enum):
    """What a command does to the repository's locks; from restic's manual and code."""

    NONE = auto()
    """Reads without a lock, so that it works beside anything."""
    SHARED = auto()
    EXCLUSIVE = auto()
    """forget, prune, check, tag: refused while any other lock is there, also that of a dead process."""


@dataclass(frozen=True, slots=True)
class Call:
    """One restic command."""

    arguments: tuple[str, ...]
    lock: Lock = Lock.NONE
    deadline: timedelta | None = None
    """None for a call that moves little data; with `LONG` it may take as long as it does something."""
    stall: timedelta | None = None
    accepted: frozenset[int] = frozenset({0})
    """Exit codes that are no failure of the call."""
    standard_input: bytes | None = None
    producer: Command | None = None
    """A program whose output restic reads."""
    deletes: bool = False
    """Whether it removes more than locks, for which some stores want other credentials."""
    other: Access | None = None
    """The repository to copy from."""
    other_download: int | None = None
    """Bytes a second that may be read from it."""
    io_idle: bool = False
    processor_share: float = 1.0


VANISHED_AT_MOST = 3
"""So often restic is started anew because of a lock that has vanished; then it may wait: perhaps the store errs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to."""

    ended: Ended
    output: Output
    produced: Ended | None = None


class Calls:
    """Runs restic on one repository."""

    def __init__(
        self, restic: Restic, access: Access, runner: Runner, clock: Clock, limits: Limits, patience: Patience
    ) -> None:
        self.restic = restic
        self.access = access
        self.clock = clock
        self._deleting = access
        """The access by which something was deleted last."""
        self._runner = runner
        self.limits = limits
        self._patience = patience

    async def ask(self, call: Call, output: Output | None = None) -> Answer:
        """Run `call` and return its answer; an exit code that it does not accept is raised as what it means.

        Exclusive work removes stale locks first. A locked repository is waited for, and stale locks removed meanwhile.
        """
        longest = self._patience.lock.total_seconds()
        give_up = self.clock.monotonic() + longest
        attempt = output if output is not None else Output()
        if call.lock is Lock.EXCLUSIVE:
            await self.unlock()
        for tries, wait in enumerate(chain(LOCK_WAITS_SECONDS, repeat(LOCK_WAITS_SECONDS[-1]))):
            if not self.restic.waits_for_locks:
                await self.clock.sleep(min(wait, longest))
            attempt.is_patient = tries >= VANISHED_AT_MOST
            try:
                return await self._attempt(call, attempt, min(wait, longest))
            except RepositoryLocked:
                if self.clock.monotonic() >= give_up:
                    raise
            except RepositoryDamaged:
                if self.restic.mistrusts_its_cache or not self.access.keeps_cache:
                    raise
                return await self._without_cache(call, attempt, min(wait, longest))
            attempt.stdout.clear()
            attempt.stderr.clear()
            await self.unlock()
        raise AssertionError("it is tried again or raised")

    async def _without_cache(self, call: Call, output: Output, lock_wait_seconds: float) -> Answer:
        """Ask the store itself; where that succeeds it was the cache that was damaged, and it is given up.

        Who is killed while restic 0.14 fills its cache leaves a torn file there, which restic believes for ever.
        """
        output.stdout.clear()
        output.stderr.clear()
        answer = await self._attempt(call, output, lock_wait_seconds, is_cached=False)
        await asyncio.to_thread(give_up_cache, self.access.cache)
        return answer

    def failure(self, answer: Answer, other: Access | None = None) -> DrdError:
        """What an answer that is no success means; `other` is the second repository of the call."""
        stderr = b"\n".join(answer.output.stderr).decode(errors="replace")
        own_folder = str(self.access.cache)
        return failure(answer.ended.code, stderr, self.access.place, own_folder, lambda text: self.shown(text, other))

    def shown(self, text: str, other: Access | None = None) -> str:
        """What restic said, without the secrets of the repository, or of both."""
        own = (*self.access.secrets().values(), *self._deleting.secrets().values())
        secrets = [*own, *(other.secrets().values() if other is not None else ())]
        return Redaction(secrets).hide(text.encode()).decode(errors="replace")

    async def unlock(self, deadline: timedelta | None = None) -> None:
        """Remove stale locks: of dead processes on this host, or older than half an hour. Never `--remove-all`."""
        for _ in range(VANISHED_AT_MOST):
            with suppress(LockVanished):
                await self._attempt(Call(("unlock",), deadline=deadline), Output())
                return
        await self._attempt(Call(("unlock",), deadline=deadline), Output(is_patient=True))

    async def _attempt(
        self, call: Call, output: Output, lock_wait_seconds: float = 0, *, is_cached: bool = True
    ) -> Answer:
        access = await self._access(call)
        command = self._command(call, access if is_cached else replace(access, keeps_cache=False), lock_wait_seconds)
        try:
            answer = await self._run(call, command, output.take, output)
        except asyncio.CancelledError:
            await self._clear_own_lock(call)
            raise
        await self._raise_unless_over_by_itself(call, answer)
        if answer.ended.code < 0:
            await self._clear_own_lock(call)
        if answer.ended.code == 0 or _failed_producer(answer):
            return answer
        error = self.failure(answer, call.other)
        # Before 0.17 a lock is exit code 1 too, which some calls accept as a finding.
        if answer.ended.code not in call.accepted or isinstance(error, RepositoryLocked):
            raise error
        return answer

    async def _access(self, call: Call) -> Access:
        """How the repository is reached for a call."""
        if not call.deletes or self.access.deleting is None:
            return self.access
        self._deleting = replace(self.access, location=await self.access.deleting())
        return self._deleting

    async def _run(self, call: Call, command: Command, on_line: OnLine, output: Output) -> Answer:
        if command.counts_work:
            on_line = _telling_nothing(on_line)
        if call.producer is None:
            return Answer(await self._runner.run(command, on_line), output)
        produced, ended = await self._runner.pipe(call.producer, command, on_line)
        return Answer(ended, output, produced)

    async def _raise_unless_over_by_itself(self, call: Call, answer: Answer) -> None:
        ended = answer.ended
        if ended.ending is Ending.EXITED:
            return
        await self._clear_own_lock(call)
        if ended.ending is Ending.CANCELLED:  # because its producer failed, which the caller words
            return
        deadline = call.deadline or self._patience.answer
        stall = self._stall(call)
        limit = stall if ended.ending is Ending.STALLED and stall else deadline
        words = "was not done within" if ended.ending is Ending.DEADLINE else "moved nothing for"
        message = f"restic {call.arguments[0]} at {self.access.place} {words} {format_duration(limit)} and was stopped"
        kind = StoreAway if call.deadline is None else TransientError
        raise kind(message, "drd tries again by itself; when it stays so, look at the store and the network to it")

    async def _clear_own_lock(self, call: Call) -> None:
        """Remove the lock that a stopped restic may have left; its process is dead, so it counts as stale.

        Only a convenience: exclusive work clears stale locks itself, so a store that is away is not an error here.
        """
        if call.lock is Lock.NONE:
            return
        with suppress(DrdError):
            await to_the_end(self.unlock(CLEARING))

    def _stall(self, call: Call) -> timedelta | None:
        return self._patience.still if call.deadline == LONG else call.stall

    def _command(self, call: Call, access: Access, lock_wait_seconds: float) -> Command:
        limits = self.limits
        if call.other_download is not None:
            limits = replace(limits, download=min(limits.download or call.other_download, call.other_download))
        words = [*restic_arguments(self.restic, access, call.other, limits)]
        if call.lock is Lock.NONE and call.arguments[0] not in {"unlock", "init"}:
            words.append("--no-lock")
        elif call.lock is not Lock.NONE and self.restic.waits_for_locks and lock_wait_seconds:
            words += ["--retry-lock", f"{lock_wait_seconds:.0f}s"]
        secrets = access.secrets()
        if call.other is not None:
            secrets |= call.other.secrets("from-")
        return Command(
            (*words, *call.arguments),
            restic_environment(access, call.other, call.processor_share, limits.memory),
            secrets,
            working_directory=self.access.cache,
            deadline=call.deadline or self._patience.answer,
            stall=self._stall(call),
            counts_work=call.deadline == LONG,
            stop_signals=STOP_SIGNALS if call.producer is None else STOP_SIGNALS_WITH_PRODUCER,
            standard_input=call.standard_input,
            gives_way=True,
            io_idle=call.io_idle,
        )


def _telling_nothing(on_line: OnLine) -> OnLine:
    """Hears lines of which none says whether anything moves."""

    def hear(stream: Stream, line: bytes) -> bool:
        on_line(stream, line)
        return False

    return hear


def _failed_producer(answer: Answer) -> bool:
    produced = answer.produced
    return produced is not None and answer.ended.ending is Ending.CANCELLED
