"""A data directory that was restored, put right on the disk so that a server starts from it.

Nothing in here reaches outside of the folders that it is given: a link that leads elsewhere is replaced or refused.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from drd.core.errors import PermanentError, UsageError
from drd.core.postgres.base import BaseFacts

DATA: Final = "base"
"""The data directory, below what a source saves."""
SPACES: Final = "base.tablespaces"
"""Beside it the tablespaces, each in a folder named by its OID."""
CONFIGURATION: Final = "base.configuration"
"""Beside it the server's configuration that lay outside of its data directory, as far as drd may read it."""
FACTS: Final = "base.json"
"""Beside both, what a restore has to know."""
LABEL: Final = "backup_label"
SPACES_MAP: Final = "tablespace_map"
MANIFEST: Final = "backup_manifest"
AUTO: Final = "postgresql.auto.conf"
SIGNALS: Final = ("standby.signal", "recovery.signal")
ALWAYS: Final = (
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical/mappings",
    "pg_logical/snapshots",
    "pg_multixact/members",
    "pg_multixact/offsets",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
    "pg_wal/archive_status",
)
"""Folders without which a server does not start, and which a copy that knows no empty folders lacks."""


def facts_beside(description: Path) -> BaseFacts:
    """What the file beside a base backup says of it. Raises `PermanentError` when it is not there or damaged."""
    try:
        return BaseFacts.read(description.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PermanentError(f"the base backup lacks its description: {error}", "restore another point") from error


def demand_startable(data: Path, major: int) -> None:
    """See that it is the base backup of a server of this version, with what recovery begins by.

    Without its label a server would recover from the wrong place, and look whole with damage inside.
    """
    try:
        found = (data / "PG_VERSION").read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise PermanentError(f"{data.name} is no data directory: {error}", "restore another point") from error
    if found != str(major):
        raise PermanentError(f"the base backup is of PostgreSQL {found}, and not of {major}", "restore another point")
    if lacking := [name for name in (LABEL, "global/pg_control") if not (data / name).is_file()]:
        raise PermanentError(f"the base backup lacks {', '.join(lacking)}", "restore another point")


def assemble(folder: Path, facts: BaseFacts, read: Path) -> None:
    """Put files that restic had read where they lay together with what the server gave at the end.

    `read` holds them below their whole paths. What came at the end counts more: a server starts from nothing else.
    Raises `PermanentError` when something lacks.
    """
    data, rest = folder / DATA, folder / f"{DATA}.end"
    if facts.read_from is None:
        raise PermanentError("the base backup does not say where its files lay", "restore another point")
    moves = {data: facts.read_from}
    moves |= {folder / SPACES / str(space.oid): space.location for space in facts.tablespaces}
    data.rename(rest)
    for place, location in moves.items():
        lies = read / location.relative_to("/")
        if not lies.is_dir() or lies.is_symlink():
            raise PermanentError(f"the base backup lacks {location}", "restore another point")
        place.parent.mkdir(mode=0o700, exist_ok=True)
        lies.rename(place)
    (rest / SPACES_MAP).unlink(missing_ok=True)  # its links lead to where the server's own tablespaces lie
    for name in ("global", "pg_wal"):
        if (data / name).is_symlink():
            (data / name).unlink()
        (data / name).mkdir(mode=0o700, exist_ok=True)
    for path in [each for each in rest.rglob("*") if not each.is_dir()]:
        path.replace(data / path.relative_to(rest))
    shutil.rmtree(rest)
    shutil.rmtree(read)


def complete(data: Path, spaces: Iterable[Path] = ()) -> None:
    """Add the folders that may lack, take away what would make it a standby or somebody's running server, set modes."""
    for name in ALWAYS:
        (data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (*SIGNALS, "postmaster.pid", "postmaster.opts"):
        (data / name).unlink(missing_ok=True)
    for folder in (data, *spaces):
        folder.chmod(0o700)


def link_tablespaces(data: Path, spaces: Mapping[int, Path], user: str | None = None) -> None:
    """Make the links in `pg_tblspc` lead to these folders, and nowhere else; they are a user's own."""
    links = data / "pg_tblspc"
    links.mkdir(mode=0o700, exist_ok=True)
    for link in links.iterdir():
        if link.is_symlink():
            link.unlink()
    for oid, folder in spaces.items():
        (links / str(oid)).symlink_to(folder)
        if user is not None:
            give([links / str(oid)], user)


def lay(folder: Path, place: Path, what: str, wrote: Callable[[Path], None]) -> None:
    """Move what a folder holds to a place that is empty or not there, which may be on another file system.

    A folder that is there may be a mount point, so it stays. `wrote` is told of each path just before it is written,
    and of none that was there already. Raises `UsageError` for a place that somebody filled.
    """
    demand_free(place, what)
    is_there = place.is_dir()
    if not is_there:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700)
        wrote(place)
    for child in list(folder.iterdir()):
        target = place / child.name
        if os.path.lexists(target):
            raise UsageError(f"{target} came there meanwhile", "name another place")
        if is_there:
            wrote(target)
        shutil.move(child, target)
    folder.rmdir()


def take_away(path: Path) -> None:
    """Remove what `lay` wrote."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def demand_free(place: Path, what: str) -> None:
    """See that a folder may be put there. Raises `UsageError`."""
    if os.path.lexists(place) and (place.is_symlink() or not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{place}, for {what}, is there already and not an empty folder", "name another place")


def append_settings(data: Path, settings: Mapping[str, str], reason: str) -> None:
    """Add settings that count more than those in postgresql.conf, as ALTER SYSTEM would."""
    lines = [f"# {reason}", *(f"{name} = '{_quoted(value)}'" for name, value in settings.items())]
    path = data / AUTO
    before = path.read_text("utf-8", errors="surrogateescape") if path.exists() else ""
    between = "" if not before or before.endswith("\n") else "\n"
    path.write_text(f"{before}{between}" + "\n".join(lines) + "\n", "utf-8", errors="surrogateescape")
    path.chmod(0o600)


def add_missing_configuration(data: Path, settings: Mapping[str, int]) -> tuple[str, ...]:
    """Write what a server needs and the backup lacks because it lay elsewhere; the names of what was written.

    `settings` are what recovery needs at least: those of the server that the backup is of.
    """
    said = "# written by drd: the server had its own outside of the data directory\n"
    files = {
        "postgresql.conf": said + "".join(f"{name} = {value}\n" for name, value in settings.items()),
        "pg_hba.conf": said + "local all all peer\n",
        "pg_ident.conf": said,
    }
    written = [name for name in files if not (data / name).exists()]
    for name in written:
        (data / name).write_text(files[name], "utf-8")
        (data / name).chmod(0o600)
    return tuple(written)


def owner_for(place: Path, account_named: Callable[[str], pwd.struct_passwd] = pwd.getpwnam) -> str | None:
    """Who is to run a server from there: whoever owns the folder or the one that it is in, or else the user postgres.

    Root is nobody who may. None for us ourselves, who may give nothing away, and where there is no user postgres.
    """
    if os.geteuid() != 0:
        return None
    for folder in (place, place.parent):
        if folder.is_dir() and (owner := folder.stat().st_uid) != 0:
            with suppress(KeyError):  # the number may be another machine's
                return pwd.getpwuid(owner).pw_name
    try:
        return account_named("postgres").pw_name
    except KeyError:
        return None


def demand_user(place: Path, user: str | None) -> None:
    """See that a server that starts there runs as somebody whom it does not refuse. Raises `UsageError`."""
    if user is None and os.geteuid() == 0:
        raise UsageError(
            "PostgreSQL's server does not run as root, and this machine has no user postgres",
            f"type: adduser --system --group postgres; or: chown USER {place.parent}, for the user who is to run it",
        )


def demand_passable(place: Path, user: str) -> None:
    """See that a user gets through all folders above a place. Raises `UsageError` that names the one that is shut."""
    account = pwd.getpwnam(user)
    groups = os.getgrouplist(user, account.pw_gid)
    for folder in reversed([each for each in place.parents if each.exists()]):
        status = folder.stat()
        if status.st_uid == account.pw_uid:
            needed = stat.S_IXUSR
        else:
            needed = stat.S_IXGRP if status.st_gid in groups else stat.S_IXOTH
        if not status.st_mode & needed:
            raise UsageError(
                f"a server runs there as the user {user}, who may not pass through {folder}",
                f"choose another place with --to, or: chmod o+x {folder}",
            )


def give(folders: Iterable[Path], user: str) -> None:
    """Make folders and all in them a user's own; links are given, and not followed."""
    account = pwd.getpwnam(user)
    for folder in folders:
        os.chown(folder, account.pw_uid, account.pw_gid, follow_symlinks=False)
        for parent, names, files in os.walk(folder):
            for name in (*names, *files):
                path = os.path.join(parent, name)  # noqa: PTH118 - a Path a file doubles the time
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def let_through(folder: Path, wal: Path, user: str) -> None:
    """Let a server that runs as another user reach what lies in our own folders, and read the WAL there."""
    open_to((folder, wal.parent))
    give([wal], user)


def open_to(folders: Iterable[Path]) -> None:
    """Let others pass through folders of our own to what is theirs."""
    for ours in folders:
        ours.chmod(0o711)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
