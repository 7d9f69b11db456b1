"""The files of the configuration as they are read: their text, their values, and the bases that they extend."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final

from drd.config.problems import Problem
from drd.config.yaml import Mistake, Path, Spot, Unreadable, Value, parse, position

LARGEST_BYTES: Final = 2**20
"""A longer file is refused: people write no such thing."""
EXTENDS: Final = "extends"
Report = Callable[[Problem], None]


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its text, and the map that it says."""

    file: FilePath
    text: str
    value: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file with its bases merged in, which says what it describes."""

    chain: tuple[Document, ...]
    """The file itself, then what it extends, then what that extends."""
    value: dict[str, Value]

    @property
    def file(self) -> FilePath:
        """The file that was asked for."""
        return self.chain[0].file

    def problem(self, path: Path, message: str, spot: Spot = Spot.VALUE) -> Problem:
        """A problem at `path`, in the file of the chain in which that path stands."""
        for length in range(len(path), -1, -1):
            for document in self.chain:
                found = position(document.text, path[:length], spot if length == len(path) else Spot.OWNER)
                if found is not None:
                    return Problem(str(document.file), *found, message)
        return Problem(str(self.file), 1, 1, message)

    def at(self, path: Path) -> Value:
        """The value at `path`, None if nothing stands there."""
        value: Value = self.value
        for step in path:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def has(self, path: Path) -> bool:
        """Whether a key stands at `path`, whatever its value."""
        owner = self.at(path[:-1])
        return isinstance(owner, dict) and path[-1] in owner


@dataclass(slots=True)
class Library:
    """Reads files once and reports what is wrong with them."""

    report: Report
    _read: dict[FilePath, Document | None] = field(default_factory=dict)
    bases: set[FilePath] = field(default_factory=set)
    """Files that another one extends, resolved."""

    def entry(self, file: FilePath) -> Entry | None:
        """The file with its bases; None if it or one of them could not be read, which was reported."""
        document = self._document(file)
        if document is None:
            return None
        chain = [document]
        while EXTENDS in chain[-1].value:
            base = self._base(chain)
            if base is None:
                return None
            chain.append(base)
        value: dict[str, Value] = {}
        for part in reversed(chain):
            value = merged(value, part.value)
        value.pop(EXTENDS, None)
        return Entry(tuple(chain), value)

    def _base(self, chain: list[Document]) -> Document | None:
        document = chain[-1]
        named = document.value[EXTENDS]
        if not isinstance(named, str) or not named:
            self._complain(document, "`extends`: write the name of a file, as base.yaml")
            return None
        file = document.file.parent / named
        try:
            resolved = file.resolve()
            is_there = file.is_file()
        except (OSError, RuntimeError, ValueError):
            is_there = False
            resolved = file
        if not is_there:
            self._complain(
                document, f"`extends`: there is no file {named} beside this one: write the name of one that exists"
            )
            return None
        if any(part.file.resolve() == resolved for part in chain):
            trail = " → ".join([*(part.file.name for part in chain), file.name])
            self._complain(document, f"`extends` leads in a circle, {trail}: remove one of them")
            return None
        self.bases.add(resolved)
        return self._document(file)

    def _complain(self, document: Document, message: str) -> None:
        place = position(document.text, (EXTENDS,), Spot.VALUE) or (1, 1)
        self.report(Problem(str(document.file), *place, message))

    def _document(self, file: FilePath) -> Document | None:
        try:
            key = file.resolve()
        except (OSError, RuntimeError):
            key = file
        if key not in self._read:
            self._read[key] = self._load(file)
        return self._read[key]

    def _load(self, file: FilePath) -> Document | None:
        try:
            text = read_text(file)
            value = parse(text)
        except Unreadable as error:
            for mistake in error.mistakes:
                self.report(Problem(str(file), mistake.line, mistake.column, mistake.message))
            return None
        if not isinstance(value, dict):
            place = position(text, (), Spot.VALUE) or (1, 1)
            wanted = "the file says nothing" if value is None else "the file is no map of keys"
            self.report(Problem(str(file), *place, f"{wanted}: write keys with their values, as `key: value`"))
            return None
        return Document(file, text, value)


def overlaid(base: dict[str, Value], over: dict[str, Value]) -> dict[str, Value]:
    """`over` laid onto `base`: maps merge, everything else replaces, null as well."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = overlaid(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return result


def merged(base: dict[str, Value], over: dict[str, Value]) -> dict[str, Value]:
    """`over` laid onto `base`: maps merge, everything else replaces, and null removes."""
    if not base:
        return dict(over)
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(below, dict):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def read_text(file: FilePath) -> str:
    """The text of a regular file of UTF-8, with plain line ends and without a byte-order mark. Raises Unreadable."""
    content = _read_bytes(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = "the file is not UTF-8 from here on: save it as UTF-8"
        raise Unreadable(Mistake(message, line, column)) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise Unreadable(Mistake("the file is empty: write keys with their values, as `key: value`, or remove it"))
    return text


def _read_bytes(file: FilePath) -> bytes:
    try:
        # A pipe under that name would be waited for: only a regular file is read.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable(Mistake(_NOT_A_FILE[stat.S_ISDIR(status.st_mode)]))
            if status.st_size > LARGEST_BYTES:
                raise Unreadable(Mistake("the file is larger than 1 MiB: split it, no file of settings is that long"))
            return opened.read(LARGEST_BYTES)
    except OSError as error:
        raise Unreadable(
            Mistake(_REASONS.get(error.errno or 0, f"the file cannot be read ({error.strerror})"))
        ) from None


_NOT_A_FILE: Final = {
    True: "this is a folder: rename it, or write a file here",
    False: "this is no regular file: write one here",
}
_REASONS: Final = {
    errno.ENOENT: "there is no such file: create it, or name another",
    errno.EACCES: "the file may not be read: give its group to the user that runs drd, and type chmod 0640",
    errno.EPERM: "the file may not be read: give its group to the user that runs drd, and type chmod 0640",
    errno.ELOOP: "the link leads in a circle: let it lead to a file",
    errno.EISDIR: _NOT_A_FILE[True],
    errno.ENXIO: _NOT_A_FILE[False],
    errno.ENAMETOOLONG: "the name is too long: shorten it",
}
