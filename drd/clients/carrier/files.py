"""A restic repository as a set of named files, wherever it lies.

Packs, indexes, snapshots and keys are named by the SHA-256 of their content and are never changed once written; what
they mean and how they are encrypted is restic's affair. (restic's design document, "Repository Layout".)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from drd.clients.carrier.content import NamedContent

NAME = re.compile(r"[0-9a-f]{64}")
"""What a finished file is called; anything else in a repository is somebody's temporary file."""

CONFIG_NAME = "config"

INCOMING = ".drd-incoming"
"""Where files grow before they get their name: restic never looks there, and what a killed carrier left is swept."""
LEFT_SECONDS = 3600
"""What has not grown for so long was left: a younger one may be another daemon's, which mirrors into the same place."""


class FileKind(StrEnum):
    """The kinds of files, by the name of their folder; `config` is the one file without a folder."""

    CONFIG = "config"
    KEY = "keys"
    SNAPSHOT = "snapshots"
    INDEX = "index"
    DATA = "data"
    LOCK = "locks"


class Vanished(Exception):
    """A file that was listed is no longer there."""


class Readable(Protocol):
    """Bytes that come one block after another."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        ...


class RepositoryFiles(Protocol):
    """The files of one repository. Calls come from several threads at once.

    Every method raises `StoreAway` when the place does not answer and `PermanentError` when it refuses for good.
    """

    place: str
    """Where it is, for messages; never with a secret."""
    replaces: bool
    """Whether a file may be put under a name that is taken; else the one that is there has to go first."""

    def list(self, kind: FileKind) -> Mapping[str, int]:
        """Name → size in bytes; empty where the folder is missing. Names that restic would not give are left out."""
        ...

    def open(self, kind: FileKind, name: str) -> AbstractContextManager[Readable]:
        """Read a file from its beginning. Raises `Vanished`."""
        ...

    def put(self, kind: FileKind, name: str, content: NamedContent) -> None:
        """Store a file under its name, whole or not at all, also when this process is killed; one there is replaced."""
        ...

    def remove(self, kind: FileKind, name: str) -> None:
        """Take a file away, if it is there; only for what was put aside before."""
        ...

    def settle(self) -> None:
        """Make everything that was put survive a loss of power."""
        ...

    def prepare(self) -> None:
        """Make the folders of an empty repository."""
        ...

    def close(self) -> None:
        """Give up connections."""
        ...


def path_of(kind: FileKind, name: str) -> str:
    """Where a file lies below its repository, in restic's default layout: packs in 256 folders by their first byte."""
    if kind is FileKind.CONFIG:
        return CONFIG_NAME
    if kind is FileKind.DATA:
        return f"data/{name[:2]}/{name}"
    return f"{kind.value}/{name}"


FOLDERS = (
    *(kind.value for kind in FileKind if kind is not FileKind.CONFIG),
    *(f"data/{first:02x}" for first in range(256)),
)
"""The folders of a repository on a file system, parents first."""


def is_left(changed: float) -> bool:
    """Whether a file that grew until then, in seconds since 1970, is nobody's any more; of 0 nobody knows when."""
    if not changed:
        return False
    from drd.clients.clock import SystemClock  # seldom needed, and slow to load: it brings asyncio

    return SystemClock().now().timestamp() - changed >= LEFT_SECONDS
