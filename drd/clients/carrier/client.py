"""The daemon's half of the carrier: starts the child, hears what it says and raises what went wrong."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from drd.clients.carrier.job import Family, Job, Place, Saying, Verb
from drd.clients.carrier.scratch import private_folder
from drd.core.errors import DrdError, PermanentError, RepositoryMissing, StoreAway, TransientError, WrongPassword
from drd.ports.look import Look
from drd.ports.protection import Extended, Protection
from drd.ports.repository import OnProgress, Progress
from drd.ports.runner import Command, Ended, Ending, Runner, Stream
from drd.ports.store import Backend, Carried, Uncovered

CARRY_DEADLINE = timedelta(days=2)
SHORT_DEADLINE = timedelta(minutes=5)
LOOK_DEADLINE = timedelta(seconds=45)
EXTEND_DEADLINE = timedelta(hours=6)
"""Each file of a repository is asked for its lock: a million of them at a few hundred a second."""
STALL = timedelta(minutes=10)
STOP_SIGNALS = ((15, timedelta(seconds=5)),)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REFUSED_SHOWN = 3
RESTIC_WRONG_PASSWORD = 12
"""restic's exit status since 0.17; before that it only says so."""

_RAISED: dict[Family, type[DrdError]] = {
    Family.AWAY: StoreAway,
    Family.TRANSIENT: TransientError,
    Family.MISSING: RepositoryMissing,
    Family.PERMANENT: PermanentError,
}


class ProcessCarrier:
    """Implements `drd.ports.store.Carrier` by a child process a piece of work."""

    def __init__(self, runner: Runner, restic_program: str | Path, scratch: Path) -> None:
        """`scratch` is a folder for short-lived private files: keys on their way to a mirror."""
        self._runner = runner
        self._restic = str(restic_program)
        self._scratch = scratch

    async def carry(
        self,
        origin: Backend,
        target: Backend,
        upload: int | None,
        on_progress: OnProgress,
        withheld: frozenset[str] = frozenset(),
    ) -> Carried:
        """Bring every file that `target` lacks but the snapshots in `withheld`; see `drd.ports.store.Carrier`."""
        job = Job(
            Verb.CARRY, target=_place(target), origin=_place(origin), upload=upload, names=tuple(sorted(withheld))
        )
        heard, ended = await _do(self._runner, job, CARRY_DEADLINE, on_progress)
        return Carried(
            complete=heard.complete,
            files=heard.files,
            bytes=heard.size,
            seconds=ended.seconds,
            snapshot_ids=tuple(heard.standing),
            refused=tuple(sorted(heard.refused)),
            message=_what_is_wrong(heard),
            processor_seconds=ended.processor_seconds,
            peak_memory_bytes=ended.peak_memory_bytes,
        )

    async def send_ahead(self, origin: Backend, target: Backend, upload: int | None, on_progress: OnProgress) -> None:
        """Send packs as they appear, until cancelled; see `drd.ports.store.Carrier`."""
        job = Job(Verb.AHEAD, target=_place(target), origin=_place(origin), upload=upload)
        await _do(self._runner, job, CARRY_DEADLINE, on_progress)

    async def examine(self, target: Backend, suspects: tuple[str, ...], on_progress: OnProgress) -> Mapping[str, str]:
        """The damaged files of a repository; see `drd.ports.store.Carrier`."""
        job = Job(Verb.EXAMINE, target=_place(target), names=suspects)
        heard, _ = await _do(self._runner, job, CARRY_DEADLINE, on_progress)
        return heard.refused

    async def mend(
        self,
        origin: Backend,
        target: Backend,
        paths: tuple[str, ...],
        upload: int | None,
        on_progress: OnProgress,
        aside: Path | None = None,
    ) -> Mapping[str, str]:
        """Replace files of `target` by those of `origin`; see `drd.ports.store.Carrier`."""
        place = "" if aside is None else str(aside)
        job = Job(Verb.MEND, target=_place(target), origin=_place(origin), upload=upload, names=paths, aside=place)
        heard, _ = await _do(self._runner, job, CARRY_DEADLINE, on_progress)
        return heard.refused

    async def put_aside(self, target: Backend, paths: tuple[str, ...], aside: Path) -> Mapping[str, str]:
        """Save damaged files on this machine; see `drd.ports.store.Carrier`."""
        job = Job(Verb.PUT_ASIDE, target=_place(target), names=paths, aside=str(aside))
        heard, _ = await _do(self._runner, job, CARRY_DEADLINE)
        return heard.refused

    async def remove(self, target: Backend, paths: tuple[str, ...], aside: Path) -> Mapping[str, str]:
        """Put damaged files aside; see `drd.ports.store.Carrier`."""
        job = Job(Verb.REMOVE, target=_place(target), names=paths, aside=str(aside))
        heard, _ = await _do(self._runner, job, CARRY_DEADLINE)
        return heard.refused

    async def uncover(
        self,
        target: Backend,
        paths: tuple[str, ...],
        since: datetime | None,
        aside: Path | None = None,
        *,
        only_look: bool = False,
    ) -> Uncovered:
        """Bring back what was deleted or overwritten in a store; see `drd.ports.store.Carrier`."""
        moment, place = since.isoformat() if since is not None else "", "" if aside is None else str(aside)
        job = Job(Verb.UNCOVER, target=_place(target), names=paths, now=moment, aside=place, only_look=only_look)
        heard, _ = await _do(self._runner, job, CARRY_DEADLINE)
        return Uncovered(tuple(heard.uncovered), heard.refused)

    async def key_files(self, backend: Backend) -> tuple[str, ...]:
        """The names of the repository's keys; empty where there is no repository."""
        heard, _ = await _do(self._runner, Job(Verb.KEYS, target=_place(backend)), SHORT_DEADLINE)
        return tuple(heard.keys)

    async def clear_unfinished(self, target: Backend) -> None:
        """Take away what a creation left that was ended in its middle; see `drd.ports.store.Carrier`."""
        await _do(self._runner, Job(Verb.CLEAR, target=_place(target)), SHORT_DEADLINE)

    async def probe(self, backend: Backend, days: int) -> Protection:
        """Try to delete from a store that shall keep everything for so many days; see `drd.ports.store.Carrier`."""
        heard, _ = await _do(self._runner, Job(Verb.PROBE, target=_place(backend), days=days), SHORT_DEADLINE)
        return Protection(**{**heard.said, "risks": tuple(heard.said["risks"])})

    async def extend(self, backend: Backend, days: int, now: datetime) -> Extended:
        """Make the locks of a repository's files longer; see `drd.ports.store.Carrier`."""
        job = Job(Verb.EXTEND, target=_place(backend), days=days, now=now.isoformat())
        heard, _ = await _do(self._runner, job, EXTEND_DEADLINE)
        return Extended(**heard.said)

    async def adopt(self, origin: Backend, target: Backend, origin_password: bytes, target_password: bytes) -> None:
        """Make `target` a mirror of `origin` with a key of its own; doing it again does nothing.

        The key is made by restic in a private copy of config and keys, so that `origin` is only read. Raises
        `WrongPassword` when `origin_password` does not open the origin and `PermanentError` when `target` holds
        something else.
        """
        private = await asyncio.to_thread(private_folder, self._scratch)
        try:
            copy = await self._fetched(origin, private / "repository")
            foreign, _ = await _do(self._runner, Job(Verb.KEYS, target=copy), SHORT_DEADLINE)
            # A key that another daemon left, which had found the place empty too, opens nothing.
            if not await self._is_opened(target, private, target_password):
                await self._add_key(private, origin_password, target_password)
            founding = Job(Verb.FOUND, target=_place(target), origin=copy, names=tuple(foreign.keys))
            await _do(self._runner, founding, SHORT_DEADLINE)
        finally:
            await asyncio.to_thread(shutil.rmtree, private, ignore_errors=True)

    async def _fetched(self, repository: Backend, folder: Path) -> Place:
        copy = Place("local", {"path": str(folder)})
        await _do(self._runner, Job(Verb.FETCH, target=copy, origin=_place(repository)), SHORT_DEADLINE)
        return copy

    async def _is_opened(self, target: Backend, private: Path, password: bytes) -> bool:
        """Whether a password opens a repository, which is told from a copy of its config and keys."""
        try:
            await self._fetched(target, private / "target")
        except RepositoryMissing:
            return False
        ended = await self._restic_on(private, "target", ("cat", "config"), {"password": password})
        if ended.ending is not Ending.EXITED:
            raise TransientError(f"restic had not tried the key after {ended.seconds:.0f} s", "it is tried again")
        return ended.code == 0

    async def _add_key(self, private: Path, origin_password: bytes, target_password: bytes) -> None:
        adding = ("key", "add", "--new-password-file", "{target_password}")
        secrets = {"password": origin_password, "target_password": target_password}
        ended = await self._restic_on(private, "repository", adding, secrets)
        if ended.code != 0:
            if ended.code == RESTIC_WRONG_PASSWORD or "no key found" in ended.stderr_tail:
                raise WrongPassword("the first store's password does not open it", "correct what `password:` refers to")
            raise PermanentError(f"restic could not make a key for the mirror: {_last_line(ended)}")

    async def _restic_on(self, private: Path, copy: str, words: Sequence[str], secrets: Mapping[str, bytes]) -> Ended:
        command = Command(
            argv=(
                self._restic,
                *("--repo", str(private / copy), "--no-cache"),
                *("--password-file", "{password}"),
                *words,
            ),
            environment={"PATH": PATH, "HOME": str(private), "TMPDIR": str(private)},
            secrets=secrets,
            deadline=SHORT_DEADLINE,
            gives_way=True,
        )
        return await self._runner.run(command)


async def examine(runner: Runner, backend: Awaitable[Backend]) -> Look:
    """Look at a store in the child; never raises for what is found, nor for a `backend` that cannot be had."""
    try:
        heard, _ = await _do(runner, Job(Verb.LOOK, target=_place(await backend)), LOOK_DEADLINE)
    except DrdError as error:
        return Look(reachable=False, message=error.message, hint=error.hint)
    return Look(**heard.look)


@dataclass(slots=True)
class _Heard:
    """What the child has said so far."""

    on_progress: OnProgress | None
    done: bool = False
    complete: bool = False
    files: int = 0
    size: int = 0
    absent: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    standing: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    look: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    """What a probe found, or what became of the locks."""
    error: DrdError | None = None

    def line(self, stream: Stream, line: bytes) -> None:
        """One line of the child's."""
        if stream != "stdout":
            return
        try:
            fields: dict[str, Any] = json.loads(line)
        except ValueError:
            # The last line of a child that was killed in the middle of it; what it meant to say, it did not.
            return
        says: dict[Saying, Callable[[dict[str, Any]], None]] = {
            Saying.PROGRESS: self._hear_progress,
            Saying.REFUSED: lambda said: self.refused.update({said["path"]: said["reason"]}),
            Saying.STANDING: lambda said: self.standing.extend(said["names"]),
            Saying.KEYS: lambda said: self.keys.extend(said["names"]),
            Saying.UNCOVERED: lambda said: self.uncovered.extend(said["names"]),
            Saying.LOOK: self.look.update,
            Saying.PROTECTION: self.said.update,
            Saying.EXTENDED: self.said.update,
            Saying.DONE: self._hear_done,
            Saying.ERROR: self._hear_error,
        }
        says[Saying(fields.pop("say"))](fields)

    def _hear_progress(self, said: dict[str, Any]) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress(errors=len(self.refused), **said))

    def _hear_done(self, said: dict[str, Any]) -> None:
        self.done = True
        self.files, self.size = said["files"], said["bytes"]
        self.complete, self.absent = said["complete"], said["absent"]

    def _hear_error(self, said: dict[str, Any]) -> None:
        self.error = _RAISED[Family(said["family"])](said["message"], said["hint"])


async def _do(
    runner: Runner, job: Job, deadline: timedelta, on_progress: OnProgress | None = None
) -> tuple[_Heard, Ended]:
    heard = _Heard(on_progress)
    command = Command(
        argv=(sys.executable, "-P", "-m", "drd.clients.carrier", "{job}"),
        # Nothing of the user's own settings may reach boto3 or ssh: what counts stands in drd.yaml.
        environment={
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        secrets={"job": job.to_bytes()},
        deadline=deadline,
        stall=STALL,
        stop_signals=STOP_SIGNALS,
        gives_way=True,
        io_idle=job.verb is Verb.AHEAD,  # the backup beside it comes first
    )
    ended = await runner.run(command, heard.line)
    if heard.error is not None:
        raise heard.error
    if ended.ending is not Ending.EXITED:
        raise _given_up(job, ended)
    if not heard.done:
        raise TransientError(f"the carrier ended with status {ended.code}: {_last_line(ended)}", "it is tried again")
    return heard, ended


def _given_up(job: Job, ended: Ended) -> TransientError:
    if job.verb is Verb.LOOK:
        return StoreAway(f"it gave no answer within {ended.seconds:.0f} s", "look at the store and the way to it")
    how = "moved nothing any more" if ended.ending is Ending.STALLED else "was not done"
    return TransientError(f"carrying {how} and was stopped after {ended.seconds:.0f} s", "it is tried again")


def _place(backend: Backend) -> Place:
    return Place(backend.scheme, dict(backend.settings))


def _what_is_wrong(heard: _Heard) -> str:
    if heard.refused:
        shown = "; ".join(f"{path}: {reason}" for path, reason in sorted(heard.refused.items())[:REFUSED_SHOWN])
        more = len(heard.refused) - REFUSED_SHOWN
        return f"{shown}; and {more} more" if more > 0 else shown
    if heard.absent:
        return f"{heard.absent} files that were sent are not there: something else removes files from the mirror"
    return ""


def _last_line(ended: Ended) -> str:
    lines = ended.stderr_tail.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
