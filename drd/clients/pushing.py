"""The folder that PostgreSQL's `archive_command` (`drd wal-push`) lays finished files of WAL into.

It belongs to PostgreSQL's user and drd's group, with the set-group-id bit, so that both may make and remove files there
and neither reaches anything else of the other's.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from drd.clients.durable import flush_folder
from drd.core.errors import PermanentError
from drd.core.postgres.arriving import RECEIVED, Arrivals
from drd.core.postgres.merging import Better, better
from drd.core.postgres.pages import LONG_BYTES, fault
from drd.core.postgres.spooling import PARTIAL, Move
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import FileKind, kind_of, timeline_of

CLUSTER: Final = "cluster"
"""What tells of which cluster files are taken; `drd.cli.wal_push` reads it."""
HIDDEN: Final = ".pushing-"
"""Begins the names of files that are being pushed, before the number of the process that does it."""
REFUSED_BYTES: Final = 2**28
"""So much of what was refused is kept to be looked at, the newest of it; it counts to no one's room."""
_CONTRADICTS: Final = "it contradicts what is here already: do two servers write there?"


def offer(incoming: Path, system_identifier: str, segment_bytes: int) -> None:
    """Have files of this cluster be taken, and of no other. Raises `PermanentError` when that cannot be told there."""
    told = incoming / CLUSTER
    wanted = f"{system_identifier}\n{segment_bytes}\n"
    try:
        if told.exists() and told.read_text("ascii") == wanted:
            return
        made = incoming / f".{CLUSTER}"
        made.write_text(wanted, "ascii")
        made.chmod(0o644)
        made.replace(told)
        flush_folder(incoming)
    except OSError as error:
        raise PermanentError(
            f"{incoming} cannot be used for WAL that is pushed: {error.strerror}",
            f"as root: install -d -o postgres -g {_group()} -m 2770 {incoming}",
        ) from error


def pushed(incoming: Path) -> frozenset[str]:
    """The files of WAL that lie there whole. What a push that was killed left behind is removed."""
    if not incoming.is_dir():
        return frozenset()
    found = [path.name for path in incoming.iterdir()]
    for name in found:
        if name.startswith(HIDDEN) and not Path("/proc", name.removeprefix(HIDDEN).partition("-")[0]).exists():
            (incoming / name).unlink(missing_ok=True)
    return frozenset(name for name in found if kind_of(name) is not None)


def forget_refused(aside: Path, most: int = REFUSED_BYTES) -> None:
    """Remove the oldest of what was refused until no more than `most` bytes of it are left, and never the newest."""
    found = sorted(((path.stat(), path) for path in aside.iterdir()), key=lambda each: each[0].st_ctime_ns)
    left = sum(status.st_size for status, _ in found)
    for status, path in found[:-1]:
        if left <= most:
            return
        path.unlink(missing_ok=True)
        left -= status.st_size


def history_in(path: Path) -> str:
    """Content of a timeline's history file; empty when it is damaged or is none."""
    content = path.read_text("utf-8", errors="replace")  # reasons stand there in the encoding of a database
    try:
        return content if History.parse(timeline_of(path.name), content).switches else ""
    except ValueError:
        return ""


class Intake:
    """Takes pushed files into the spool of one cluster. Raises `OSError`."""

    def __init__(self, root: Path, system_identifier: str) -> None:
        self._root = root
        self._system_identifier = system_identifier

    def take_in(self, incoming: Path, arrivals: Arrivals) -> tuple[str, ...]:
        """Do what was decided; a sentence about each file that was refused."""
        told = [self._take(incoming / move.name, move) for move in arrivals.entering]
        told += [self._compare(incoming / move.name, move) for move in arrivals.compared]
        for name in arrivals.superfluous:
            (incoming / name).unlink(missing_ok=True)
        return tuple(sentence for sentence in told if sentence)

    def _take(self, file: Path, move: Move) -> str:
        """Lay a file that nobody had yet where it belongs."""
        if wrong := self._fault_of(file, move):
            return self._refuse(file, wrong)
        folder = self._folder(move)
        if wrong := self._less_than_received(file, move, folder):
            return self._refuse(file, wrong)
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
            flush_folder(folder.parent)
        self._lay(file, folder / move.name)
        if move.segment is not None and move.name == move.segment.name:
            (folder / (move.name + PARTIAL)).unlink(missing_ok=True)
        file.unlink()
        return ""

    def _compare(self, file: Path, move: Move) -> str:
        """Keep, of two files of one name, the one that holds more; those that are no segments have to be the same."""
        if wrong := self._fault_of(file, move):
            return self._refuse(file, wrong)
        here = self._folder(move) / move.name
        if not here.exists():  # the whole segment stands there, which holds more than its beginning
            here = here.with_name(here.name.removesuffix(PARTIAL))
        one, other = here.read_bytes(), file.read_bytes()
        if move.segment is not None:
            kept = better(move.segment, one, other)
        else:
            is_damaged = kind_of(here.name) is FileKind.HISTORY and not history_in(here)
            kept = Better.FIRST if one == other else Better.SECOND if is_damaged else Better.NEITHER
        if kept is Better.NEITHER:
            return self._refuse(file, _CONTRADICTS)
        if kept is Better.SECOND:
            self._lay(file, here)
        file.unlink()
        return ""

    def _folder(self, move: Move) -> Path:
        return self._root / "received" if move.group == RECEIVED else self._root / "groups" / move.group

    def _fault_of(self, file: Path, move: Move) -> str:
        if kind_of(file.name) is FileKind.HISTORY and not history_in(file):
            return "it is no history of that timeline"
        if move.segment is None:
            return ""
        with file.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            if size != move.segment.size:
                return f"it has {size} bytes"
            return fault(move.segment, self._system_identifier, content.read(LONG_BYTES))

    def _less_than_received(self, file: Path, move: Move, folder: Path) -> str:
        """What keeps a whole segment from the place of what was received of it."""
        if move.segment is None or move.name != move.segment.name:
            return ""
        received = self._root / "received"
        for here in (folder / (move.name + PARTIAL), received / (move.name + PARTIAL), received / move.name):
            with suppress(FileNotFoundError):
                kept = better(move.segment, file.read_bytes(), here.read_bytes())
                if kept is not Better.FIRST:
                    return _CONTRADICTS if kept is Better.NEITHER else "it holds less than what was received of it"
        return ""

    def _refuse(self, file: Path, why: str) -> str:
        aside = self._root / "refused"
        aside.mkdir(mode=0o700, exist_ok=True)
        self._lay(file, aside / file.name)
        forget_refused(aside)
        file.unlink()
        return f"{file.name}, which archive_command brought, is refused: {why}"

    def _lay(self, file: Path, target: Path) -> None:
        """Copy a file to where it belongs, in one piece and safe on the disk, in place of what is there."""
        made = self._root / f".{file.name}"
        with file.open("rb") as source, made.open("wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
            copy.flush()
            os.fsync(copy.fileno())
        made.replace(target)
        flush_folder(target.parent)


def _group() -> str:
    import grp

    return grp.getgrgid(os.getegid()).gr_name
