"""A server's data directory on this host: whether it is the server's that answers, and what of it a backup reads."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from drd.core.errors import PermanentError
from drd.core.postgres.server import ServerFacts
from drd.ports.repository import FilesToSave

CONTROL: Final = "global/pg_control"
_SERVER_HINT: Final = "write `read: server` to have the server send its files"
_TOLERANCE_SECONDS: Final = 60
"""Between when a server was started by its lock file and by itself."""
_EMPTY: Final = (
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal",
)
"""Folders of which only they themselves are kept."""
_WITHOUT: Final = (
    CONTROL,
    "backup_label",
    "backup_label.old",
    "backup_manifest",
    "current_logfiles",
    "current_logfiles.tmp",
    "lost+found",
    "postgresql.auto.conf.tmp",
    "postmaster.opts",
    "postmaster.pid",
    "tablespace_map",
    "tablespace_map.old",
    "base/*/t[0-9]*_[0-9]*",
)
"""What is of the running server, of an earlier backup, of a session, or (the control file) read at the very end."""
_TEMPORARY: Final = ("pgsql_tmp*", "pg_internal.init*")


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Where it lies on this host, without links in its path."""

    path: Path
    spaces: Mapping[int, Path]
    """By OID, the folder of each tablespace."""
    folder_in_space: str
    """The folder of this version in each of them."""

    @property
    def content(self) -> FilesToSave:
        """What of it is read while the server writes."""
        inside = [path / self.folder_in_space for path in self.spaces.values()]
        excludes = [f"{_escaped(self.path)}/{name}/*" for name in _EMPTY]
        excludes += [f"{_escaped(self.path)}/{name}" for name in _WITHOUT]
        excludes += [f"{_escaped(folder)}/**/{name}" for folder in (self.path, *inside) for name in _TEMPORARY]
        paths = (self.path, *inside)
        return FilesToSave(paths, tuple(excludes), exclude_caches=False, one_file_system=False, is_live=True)

    def demand_slot(self, name: str) -> None:
        """See that a slot that was just made is here. Raises `PermanentError`: it is another host's of this name."""
        if not (self.path / "pg_replslot" / name).is_dir():
            raise PermanentError(f"{self.path} on this host is not the data directory of that server", _SERVER_HINT)


def data_directory_here(facts: ServerFacts, started: datetime) -> DataDirectory:
    """Look for a server's data directory on this host. Raises `PermanentError` that says why it cannot be read."""
    if facts.data_directory is None:
        raise PermanentError(
            "the role may not ask where the data directory is", "GRANT pg_read_all_settings TO it, or " + _SERVER_HINT
        )
    try:
        path = Path(facts.data_directory).resolve(strict=True)
        catalogue_version = _compared(path, facts, started)
        _demand_plain(path)
        folder = f"PG_{facts.major}_{catalogue_version}"
        spaces = dict(_spaces(path, facts, folder))
    except FileNotFoundError as error:
        raise PermanentError(f"{error.filename} is not on this host", _SERVER_HINT) from error
    except OSError as error:
        raise PermanentError(
            f"{error.filename} cannot be read: {error.strerror}", f"let drd's user read it, or {_SERVER_HINT}"
        ) from error
    return DataDirectory(path, spaces, folder)


def _compared(path: Path, facts: ServerFacts, started: datetime) -> int:
    """The version of the catalogues, once the directory was found to be the server's own.

    The path alone tells nothing: a server on another host, and its standby on this one, have the same.
    """
    control = (path / CONTROL).read_bytes()
    if str(int.from_bytes(control[:8], sys.byteorder)) != facts.system_identifier:
        raise PermanentError(f"{path} on this host is of another cluster", _SERVER_HINT)
    lines = (path / "postmaster.pid").read_text("utf-8", errors="replace").splitlines()
    if len(lines) < 3 or not lines[2].isdigit() or abs(int(lines[2]) - started.timestamp()) > _TOLERANCE_SECONDS:
        raise PermanentError(f"{path} on this host is of another server", _SERVER_HINT)
    return int.from_bytes(control[12:16], sys.byteorder)


def _demand_plain(path: Path) -> None:
    """Folders that lie elsewhere would be saved as links; WAL is copied beside, wherever it lies."""
    for name in ("", "base", "pg_wal", "pg_xact", "pg_replslot"):
        next((path / name).iterdir(), None)
    for entry in path.iterdir():
        if entry.is_symlink() and entry.is_dir() and entry.name != "pg_wal":
            raise PermanentError(f"{entry} is a link to a folder elsewhere", _SERVER_HINT)


def _spaces(path: Path, facts: ServerFacts, folder: str) -> Iterator[tuple[int, Path]]:
    for space in facts.tablespaces:
        if not space.location.is_absolute():
            raise PermanentError(f"the tablespace {space.name} lies in the data directory", _SERVER_HINT)
        location = Path(space.location).resolve(strict=True)
        if location.is_relative_to(path):
            raise PermanentError(f"the tablespace {space.name} lies in the data directory", _SERVER_HINT)
        next((location / folder).iterdir(), None)
        yield space.oid, location


def _escaped(path: Path) -> str:
    return re.sub(r"([*?\[\]\\])", r"\\\1", str(path))
