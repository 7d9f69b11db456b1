"""How received files enter the spool's groups and leave the folder that is received into.

A file enters its group by a second name for it (a hard link), so that the program that writes it is not disturbed, and
what it writes into the newest one is in the group as well.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from drd.clients.durable import flush_folder
from drd.clients.pushing import forget_refused
from drd.core.postgres.merging import Better, better
from drd.core.postgres.pages import LONG_BYTES, fault
from drd.core.postgres.spooling import PARTIAL, Move, Moves
from drd.core.postgres.wal import Segment, kind_of


class Entering:
    """Moves the files of one cluster's spool. Raises `OSError`."""

    def __init__(self, root: Path, system_identifier: str) -> None:
        self._received = root / "received"
        self._groups = root / "groups"
        self._root = root
        self._system_identifier = system_identifier

    def carry_out(self, moves: Moves) -> tuple[str, ...]:
        """Do what was decided; a sentence about each file that was put aside."""
        refused: list[str] = []
        touched: set[Path] = set()
        for move in moves.entering:
            if sentence := self._refusal(move):
                refused.append(sentence)
                continue
            folder = self._groups / move.group
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                touched.add(folder.parent)
            self._enter(move, folder)
            touched.add(folder)
        for folder in sorted(touched, reverse=True):
            flush_folder(folder)
        for name in moves.leaving:
            if sentence := self._contradiction(name):
                refused.append(sentence)
            (self._received / name).unlink(missing_ok=True)
        if moves.leaving:
            flush_folder(self._received)
        return tuple(refused)

    def begin_anew(self) -> tuple[str, ...]:
        """Move aside what stands in no group; the names of that."""
        groups = (path.name for folder in self._groups.iterdir() for path in folder.iterdir())
        entered, aside = set(groups), []
        for path in sorted(self._received.iterdir()):
            if path.name in entered or kind_of(path.name) is None:
                path.unlink()
            elif not path.name.endswith(".history"):
                self._put_aside(path)
                aside.append(path.name)
        flush_folder(self._received)
        return tuple(aside)

    def _contradiction(self, name: str) -> str:
        """Have what was received stand in the group when another file took its place there and does not hold it all."""
        path = self._received / name
        for here in self._groups.glob(f"*/{name.removesuffix(PARTIAL)}"):
            segment = Segment.parse(here.name, here.stat().st_size)
            if segment is None or not path.exists() or here.samefile(path):
                continue
            kept = better(segment, here.read_bytes(), path.read_bytes())
            if kept is Better.FIRST:
                continue
            if name != segment.name:
                self._put_aside(path)
                return f"{name}, which was received, contradicts the whole segment, and is put aside"
            if kept is Better.NEITHER:
                self._put_aside(here, stays=True)
            self._enter(Move(name, here.parent.name, segment), here.parent)
            if kept is Better.NEITHER:
                return f"{name}, which archive_command brought, contradicts what was received, and is put aside"
        return ""

    def _enter(self, move: Move, folder: Path) -> None:
        made = self._root / f".{move.name}"
        made.unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # the newest one got its final name meanwhile
            os.link(self._received / move.name, made)
            made.replace(folder / move.name)
        made.unlink(missing_ok=True)  # a second name of the same file is no renaming
        if move.segment is not None:
            flush_folder(folder)
            (folder / (move.segment.name + PARTIAL)).unlink(missing_ok=True)

    def _refusal(self, move: Move) -> str:
        """What is wrong with a whole segment, which is then out of the way."""
        if move.segment is None:
            return ""
        path = self._received / move.name
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            wrong = fault(move.segment, self._system_identifier, file.read(LONG_BYTES))
        if size != move.segment.size:
            wrong = f"it has {size} bytes"
        if not wrong:
            return ""
        self._put_aside(path)
        return f"the WAL segment {move.name} was refused: {wrong}"

    def _put_aside(self, path: Path, *, stays: bool = False) -> None:
        aside = self._root / "refused"
        aside.mkdir(mode=0o700, exist_ok=True)
        if stays:  # until another file takes its place in one step
            (aside / path.name).unlink(missing_ok=True)
            os.link(path, aside / path.name)
        else:
            path.replace(aside / path.name)
        forget_refused(aside)
        flush_folder(aside)
        flush_folder(path.parent)
