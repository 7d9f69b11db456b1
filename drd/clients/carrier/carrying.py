"""One round of carrying a repository's files to a mirror of it.

**Why no lock is needed at the origin.** restic writes packs, then the index that names them, then the snapshot that
needs them, and removes in the opposite order: `forget` removes snapshots; `prune`, alone in the repository, writes new
indexes, removes the old ones and only then removes packs. So:

* Snapshots are listed first, then index, then data: what a listed snapshot needs was indexed before, and what a listed
  index names was stored before.
* While a prune replaces indexes, a listing can miss an old one that has just gone and a new one that came behind the
  cursor. It is repeated until two in a row agree; the second would have met the new one.
* An index is read at the origin only after the data has been sent. One that can still be read was there all the time,
  so no pack that it names was removed meanwhile: all of them were listed and sent. If one has gone, the round starts
  over; packs that were sent for nothing do no harm.
* A snapshot is read last of all. One that can still be read was there during the whole round, so every prune of that
  time kept its packs. One that has gone was forgotten: it is left out and not claimed.

A snapshot that retention has removed from the target stays away although the origin still holds it. What only it needs
goes all the same: an index names packs of many snapshots, and nobody but restic can tell whose they are.

At the target the order of sending is data, index, snapshots, each made durable before the next begins: a round that is
killed anywhere leaves a mirror that checks clean. Work in the target itself (its own prune) must not run at the same
time: the caller's queue sees to that. Where another daemon prunes there all the same, packs may go that no index names
yet; the last listing shows what is missing, and the round is done again.

**Ahead.** While a backup still writes to the origin, packs may go before it ends: a pack has its name when it is whole,
and one that no index names yet does no harm at the target. Only packs go, and nothing is claimed: the round that comes
behind lists everything anew and finds less to send.

**Damage.** A file whose content does not hash to its name is read once more, since a wire may err, and then refused.
A refused pack or index withholds every index and snapshot not yet sent, for nobody can tell which of them need it. A
refused snapshot withholds only itself: nothing else depends on it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import takewhile

from drd.clients.carrier.config import read_config
from drd.clients.carrier.content import NamedContent, Refused
from drd.clients.carrier.files import FileKind, RepositoryFiles, Vanished, path_of
from drd.clients.carrier.job import Saying
from drd.clients.carrier.pace import Pace
from drd.clients.carrier.report import Report
from drd.core.errors import PermanentError, RepositoryMissing, StoreAway, TransientError

ROUNDS = 3
AGREEING_LISTINGS = 6
"""How often the index is listed at most until two listings in a row agree."""
ATTEMPTS = 3
RETRY_SECONDS = 1.0
COUNT_SECONDS = 30.0
"""How long it is believed, ahead of a round, what stands at the target: a pack that came twice does no harm."""
LOOK_SHARE = 20
"""Ahead of a round, so many times what a look for packs took lies between two: of 100,000 it is no work to be felt."""
ASKING_SECONDS = 0.05
SAYING_SECONDS = 60.0


class _Changed(Exception):
    """The origin lost files that were listed: a prune is at work."""


@dataclass(slots=True)
class Round:
    """One round's ends and means, and what it found."""

    origin: RepositoryFiles
    target: RepositoryFiles
    pace: Pace
    report: Report
    threads: int
    withheld: frozenset[str] = frozenset()
    """Snapshots that do not go."""
    refused: dict[str, str] = field(default_factory=dict)
    """Path in the repository → why it does not go."""
    absent: int = 0
    """Files that are not at the target after all."""
    _given_up: threading.Event = field(default_factory=threading.Event)

    def run(self) -> bool:
        """Carry everything; whether all of it stands at the target.

        Raises `TransientError` when the origin keeps changing, `RepositoryMissing` when either end holds no repository
        and `PermanentError` when they are different repositories.
        """
        require_same_repository(self.origin, self.target)
        for _ in range(ROUNDS):
            self.refused.clear()
            self.absent = 0
            try:
                # One pool a round, so that a thread keeps its connections from the first pack to the last snapshot.
                with ThreadPoolExecutor(self.threads) as pool:
                    is_whole = self._round(pool)
            except _Changed:
                is_whole = False
            else:
                if is_whole or self.refused or not self.absent:
                    return is_whole
            self.report.phase("starting over")
        if self.absent:
            return False
        raise TransientError(
            f"files of {self.origin.place} keep vanishing while they are carried: a prune is at work there",
            "it is tried again; let prune and carrying not run at the same time",
        )

    def run_ahead(self, is_over: Callable[[], bool], look_seconds: float) -> None:
        """Send packs as they appear until a round may begin; those under way are sent to their end.

        A refused pack is left to the round, which tells of it. Before anything goes both ends are seen to hold the same
        repository still, for in a long run a disk can be exchanged; and now and then what the target has got from
        somebody else. Raises what `run` raises.
        """
        tried: set[str] = set()
        there: Set[str] = frozenset()
        counted = -math.inf
        with ThreadPoolExecutor(self.threads) as pool:
            while not is_over():
                self.report.phase("looking for packs")
                started = time.monotonic()
                listed = self.origin.list(FileKind.DATA)
                seconds = time.monotonic() - started
                if listed.keys() - tried:
                    require_same_repository(self.origin, self.target)
                    if started - counted > COUNT_SECONDS:
                        there, counted = self.target.list(FileKind.DATA).keys(), started
                    new = sorted(listed.keys() - tried - there)
                    self._send(pool, FileKind.DATA, takewhile(lambda _: not is_over(), new), listed)
                    tried.update(listed)
                self._wait(is_over, max(look_seconds, LOOK_SHARE * seconds))

    def _wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        said = time.monotonic()
        while not is_over() and time.monotonic() < until:
            self._given_up.wait(ASKING_SECONDS)
            if time.monotonic() - said > SAYING_SECONDS:
                self.report.phase("waiting for packs")  # else it would pass for one that hangs
                said = time.monotonic()

    def _round(self, pool: ThreadPoolExecutor) -> bool:
        self.report.phase("listing")
        held = self.origin.list(FileKind.SNAPSHOT)
        snapshots = {name: size for name, size in held.items() if name not in self.withheld}
        index = self._settled_index()
        data = self.origin.list(FileKind.DATA)
        listed = {FileKind.DATA: data, FileKind.INDEX: index, FileKind.SNAPSHOT: snapshots}
        standing = {kind: self.target.list(kind) for kind in listed}
        missing = {kind: self._missing(kind, listed[kind], standing[kind]) for kind in listed}
        self.report.expect(
            sum(len(names) for names in missing.values()),
            sum(listed[kind][name] for kind, names in missing.items() for name in names),
        )
        if any(missing.values()):
            self._send_in_order(pool, missing, listed)
            self.report.phase("verifying")
            standing = {kind: self.target.list(kind) for kind in listed}
        return self._claim(listed, standing)

    def _send_in_order(
        self,
        pool: ThreadPoolExecutor,
        missing: Mapping[FileKind, tuple[str, ...]],
        listed: Mapping[FileKind, Mapping[str, int]],
    ) -> None:
        if self._send(pool, FileKind.DATA, missing[FileKind.DATA], listed[FileKind.DATA]):
            raise _Changed
        if self.refused:
            return
        if self._send(pool, FileKind.INDEX, missing[FileKind.INDEX], listed[FileKind.INDEX]):
            raise _Changed
        if not self.refused:
            self._send(pool, FileKind.SNAPSHOT, missing[FileKind.SNAPSHOT], listed[FileKind.SNAPSHOT])

    def _settled_index(self) -> Mapping[str, int]:
        before = self.origin.list(FileKind.INDEX)
        for _ in range(AGREEING_LISTINGS):
            after = self.origin.list(FileKind.INDEX)
            if after == before:
                return after
            before = after
        raise TransientError(f"the index of {self.origin.place} changes all the time", "it is tried again")

    def _missing(self, kind: FileKind, listed: Mapping[str, int], standing: Mapping[str, int]) -> tuple[str, ...]:
        for name in listed.keys() & standing.keys():
            if listed[name] != standing[name]:
                reason = f"{listed[name]} bytes at the origin, {standing[name]} at the mirror"
                self._refuse(path_of(kind, name), reason)
        return tuple(sorted(listed.keys() - standing.keys()))

    def _claim(
        self, listed: Mapping[FileKind, Mapping[str, int]], standing: Mapping[FileKind, Mapping[str, int]]
    ) -> bool:
        """Say which snapshots stand whole, and whether all that was listed does, but for what was forgotten since."""
        absent = {kind: listed[kind].items() - standing[kind].items() for kind in (FileKind.DATA, FileKind.INDEX)}
        self.absent = sum(len(files) for files in absent.values())
        if self.absent or self._refused_below_snapshots():
            return False
        whole = listed[FileKind.SNAPSHOT].items() & standing[FileKind.SNAPSHOT].items()
        self.report.names(Saying.STANDING, sorted(name for name, _ in whole))
        return not self.refused

    def _refused_below_snapshots(self) -> bool:
        return any(not path.startswith(f"{FileKind.SNAPSHOT.value}/") for path in self.refused)

    def _refuse(self, path: str, reason: str) -> None:
        self.refused[path] = reason
        self.report.refuse(path, reason)

    def _send(
        self, pool: ThreadPoolExecutor, kind: FileKind, names: Iterable[str], sizes: Mapping[str, int]
    ) -> tuple[str, ...]:
        """Send files side by side and make them durable; returns those that have vanished from the origin."""
        self.report.phase(f"sending {kind.value}")
        vanished: list[str] = []
        waiting: dict[Future[None], str] = {}
        rest = iter(names)
        try:
            while True:
                while len(waiting) < self.threads and (name := next(rest, None)):
                    waiting[pool.submit(self._send_one, kind, name, sizes[name])] = name
                if not waiting:
                    break
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    self._settle_one(kind, waiting.pop(done), done, vanished)
        except BaseException:
            self._given_up.set()  # nobody waits out a retry that no longer matters
            raise
        self.target.settle()
        return tuple(vanished)

    def _settle_one(self, kind: FileKind, name: str, done: Future[None], vanished: list[str]) -> None:
        try:
            done.result()
        except Vanished:
            vanished.append(name)
        except Refused as refusal:
            self._refuse(path_of(kind, name), str(refusal))

    def _send_one(self, kind: FileKind, name: str, size: int) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                send(self.origin, self.target, kind, name, size, self.pace, self.report)
            except Refused:
                if attempt > 1:
                    raise
            except TransientError:
                if attempt == ATTEMPTS or self._given_up.wait(RETRY_SECONDS * attempt):
                    raise
            else:
                self.report.sent(size)
                return


def send(
    origin: RepositoryFiles,
    target: RepositoryFiles,
    kind: FileKind,
    name: str,
    size: int,
    pace: Pace,
    report: Report,
) -> None:
    """Bring one file over. Raises `Refused` when it is not what it is called and `Vanished` when it has gone."""
    passed = 0

    def on_block(count: int) -> None:
        nonlocal passed
        passed += count
        report.passed(count)

    with origin.open(kind, name) as source:
        content = NamedContent(source, name if kind is not FileKind.CONFIG else None, size, pace, on_block)
        try:
            target.put(kind, name, content)
        except Exception as error:
            report.passed(-passed)
            if content.failure is not None:
                raise content.failure from error
            if isinstance(error, Vanished):
                raise StoreAway(f"a folder of {target.place} vanished while files were written there") from error
            raise


def require_good(origin: RepositoryFiles, kind: FileKind, name: str, size: int) -> None:
    """Read a whole file for nothing but its hash. Raises `Refused` and `Vanished`."""
    with origin.open(kind, name) as source:
        content = NamedContent(source, name, size, Pace(None), lambda _: None)
        while content.read():
            pass


def require_same_repository(origin: RepositoryFiles, target: RepositoryFiles) -> None:
    """Raise unless both ends hold the same repository."""
    configs = {}
    for end in (origin, target):
        configs[end.place] = read_config(end)
        if configs[end.place] is None:
            raise RepositoryMissing(f"{end.place} holds no restic repository")
    if len(set(configs.values())) > 1:
        raise PermanentError(
            f"{target.place} holds another repository than {origin.place}",
            "give the store an empty place, or write `independent: true` to copy by restic instead",
        )
