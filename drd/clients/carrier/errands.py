"""The child's verbs."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

from drd.clients.carrier.carrying import Round, require_same_repository, send
from drd.clients.carrier.files import CONFIG_NAME, FileKind, RepositoryFiles
from drd.clients.carrier.job import Job, Place, Saying, Verb
from drd.clients.carrier.mending import examine, mend, put_all_aside, remove
from drd.clients.carrier.pace import Pace
from drd.clients.carrier.report import Report
from drd.core.errors import DrdError, PermanentError, RepositoryMissing
from drd.ports.look import Look
from drd.ports.protection import Extended, Protection

THREADS: Mapping[str, int] = {"local": 2, "s3": 4, "rest": 4, "sftp": 2}
"""Files that travel side by side, by the target's scheme."""

LOOK_NEAR_SECONDS, LOOK_FAR_SECONDS = 1.0, 30.0
"""How often new packs are looked for at least, ahead of a round: in a folder, and where a listing may cost money."""

UNFINISHED_SECONDS, UNFINISHED_LOOK_SECONDS = 5.0, 0.5
"""How long a repository may take to get its config once it has a key, and how often that is looked for."""

_SHELVES = {"local": "LocalFiles", "s3": "S3Files", "rest": "RestFiles", "sftp": "SftpFiles"}
"""Scheme, which is the name of its module → the class in it."""


def do(job: Job, report: Report) -> None:
    """Do one job. Raises a `DrdError` that says why it cannot be done."""
    match job.verb:
        case Verb.LOOK:
            report.say(Saying.LOOK, **asdict(look(job.target)))
        case Verb.PROBE:
            report.say(Saying.PROTECTION, **asdict(probe(job.target, job.days)))
        case Verb.EXTEND:
            report.say(Saying.EXTENDED, **asdict(extend(job, report)))
        case Verb.UNCOVER:
            uncover(job, report)
        case Verb.KEYS | Verb.CLEAR | Verb.EXAMINE | Verb.PUT_ASIDE | Verb.REMOVE:
            with opened(job.target) as target:
                _within(target, job, report)
        case Verb.CARRY | Verb.AHEAD | Verb.FETCH | Verb.FOUND | Verb.MEND:
            with opened(_origin(job)) as origin, opened(job.target) as target:
                _between(origin, target, job, report)


def _within(target: RepositoryFiles, job: Job, report: Report) -> None:
    match job.verb:
        case Verb.KEYS:
            report.names(Saying.KEYS, sorted(target.list(FileKind.KEY)))
        case Verb.CLEAR:
            clear(target, UNFINISHED_SECONDS)
        case Verb.EXAMINE:
            examine(target, job.names, report)
        case Verb.PUT_ASIDE:
            put_all_aside(target, job.names, Path(job.aside), report)
        case Verb.REMOVE:
            remove(target, job.names, Path(job.aside), report)


def _between(origin: RepositoryFiles, target: RepositoryFiles, job: Job, report: Report) -> None:
    match job.verb:
        case Verb.CARRY:
            work = _round(origin, target, job, report)
            report.finish(complete=work.run(), absent=work.absent)
        case Verb.AHEAD:
            seconds = LOOK_NEAR_SECONDS if _origin(job).scheme == "local" else LOOK_FAR_SECONDS
            _round(origin, target, job, report).run_ahead(asked_to_end(), seconds)
        case Verb.FETCH:
            fetch(origin, target, report)
        case Verb.FOUND:
            found(origin, target, frozenset(job.names), report)
        case Verb.MEND:
            mend(origin, target, job.names, Pace(job.upload), report, Path(job.aside) if job.aside else None)


def _round(origin: RepositoryFiles, target: RepositoryFiles, job: Job, report: Report) -> Round:
    return Round(origin, target, Pace(job.upload), report, THREADS[job.target.scheme], frozenset(job.names))


def asked_to_end() -> Callable[[], bool]:
    """Whether the signal came that otherwise means sudden death."""
    asked: list[int] = []  # no event: its lock may be held just when the signal comes
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    return lambda: bool(asked)


def fetch(origin: RepositoryFiles, target: RepositoryFiles, report: Report) -> None:
    """Bring config and keys, all that `restic key add` needs, into an empty private place."""
    if not origin.list(FileKind.CONFIG):
        raise RepositoryMissing(f"{origin.place} holds no restic repository")
    target.prepare()
    for kind in (FileKind.CONFIG, FileKind.KEY):
        for name, size in origin.list(kind).items():
            send(origin, target, kind, name, size, Pace(None), report)


def found(origin: RepositoryFiles, target: RepositoryFiles, foreign_keys: frozenset[str], report: Report) -> None:
    """Make `target` the same repository as `origin`, with all of its keys but `foreign_keys`.

    The config goes before the key, so that a place with a key is always whole, and a place with the config alone, which
    a kill leaves behind, is recognised and completed. The opposite order could leave a key of one repository in
    another, which restic would open and then fail to read. Raises `PermanentError` when the place is not empty, or is
    another repository by the time that the keys are there: then they go again.
    """
    if not target.list(FileKind.CONFIG):
        for kind in (FileKind.KEY, FileKind.SNAPSHOT, FileKind.INDEX):
            if target.list(kind):
                raise PermanentError(
                    f"{target.place} is not empty: it holds {kind.value} but no config", "name an empty place"
                )
        target.prepare()
        [size] = origin.list(FileKind.CONFIG).values()
        send(origin, target, FileKind.CONFIG, CONFIG_NAME, size, Pace(None), report)
        target.settle()
    require_same_repository(origin, target)
    there = foreign_keys | target.list(FileKind.KEY).keys()
    own = {name: size for name, size in origin.list(FileKind.KEY).items() if name not in there}
    if own:
        for name, size in own.items():
            send(origin, target, FileKind.KEY, name, size, Pace(None), report)
        target.settle()
        try:
            require_same_repository(origin, target)
        except PermanentError:
            for name in own:
                with suppress(DrdError):  # a place that lets nothing be removed; that it is another's says more
                    target.remove(FileKind.KEY, name)
            raise


def clear(target: RepositoryFiles, patience_seconds: float) -> None:
    """Take away what `restic init` left that was ended between its key and its config: keys that open nothing.

    Newer versions refuse to begin again there, and older ones add a second key, after which neither opens the
    repository. Somebody else's that is only just being made is waited for so long, and then left alone. Raises
    `PermanentError` where anything else lies there.
    """
    seen: frozenset[str] = frozenset()
    since = time.monotonic()
    while True:
        keys = frozenset(target.list(FileKind.KEY))
        if keys != seen:
            seen, since = keys, time.monotonic()
        for kind in (FileKind.SNAPSHOT, FileKind.INDEX, FileKind.DATA):
            if target.list(kind) and not target.list(FileKind.CONFIG):
                raise PermanentError(
                    f"{target.place} holds {kind.value} but no config: it is what is left of a repository",
                    "bring its config back, or name an empty place",
                )
        if not keys or target.list(FileKind.CONFIG):
            return
        if time.monotonic() - since >= patience_seconds:
            break
        threading.Event().wait(UNFINISHED_LOOK_SECONDS)
    for name in sorted(seen):
        target.remove(FileKind.KEY, name)
    target.settle()


def look(place: Place) -> Look:
    """What a store looks like from here, whatever that is."""
    found: Look = _backends(place).look_at(place.settings)
    return found


def probe(place: Place, days: int) -> Protection:
    """Whether a store keeps what it holds from somebody who would delete it."""
    backend = _backends(place)
    if not hasattr(backend, "probe"):
        return Protection(False, f"a store of the kind {place.scheme} keeps nobody from deleting")
    found: Protection = backend.probe(place.settings, days)
    return found


def extend(job: Job, report: Report) -> Extended:
    """Make the locks of a store's files longer, where it has any."""
    backend = _backends(job.target)
    if not hasattr(backend, "extend"):
        return Extended(0, 0)
    now = datetime.fromisoformat(job.now)
    found: Extended = backend.extend(job.target.settings, now, job.days, lambda: report.phase("extending locks"))
    return found


def uncover(job: Job, report: Report) -> None:
    """Bring back what was deleted or overwritten, where the store keeps versions."""
    backend = _backends(job.target)
    if hasattr(backend, "uncover"):
        since = datetime.fromisoformat(job.now) if job.now else None
        aside = Path(job.aside) if job.aside else None
        backend.uncover(job.target.settings, job.names, since, aside, report, only_look=job.only_look)


@contextmanager
def opened(place: Place) -> Iterator[RepositoryFiles]:
    """The files of a place, for a while."""
    files = _files(place)
    try:
        yield files
    finally:
        files.close()


def _files(place: Place) -> RepositoryFiles:
    backends = _backends(place)
    name = _SHELVES[place.scheme]
    files: RepositoryFiles = getattr(backends, name)(place.settings)
    return files


def _backends(place: Place) -> ModuleType:
    # Each kind is imported only when it is used: boto3 alone takes longer than a whole round with nothing new.
    if place.scheme not in _SHELVES:
        raise PermanentError(f"{place.scheme} is no kind of store", f"use one of {', '.join(_SHELVES)}")
    return import_module(f"drd.clients.carrier.{place.scheme}")


def _origin(job: Job) -> Place:
    if job.origin is None:
        raise PermanentError(f"{job.verb} needs an origin")
    return job.origin
