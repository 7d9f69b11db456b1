"""Where PostgreSQL's programs are: several major versions may live side by side."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from drd.core.errors import ProgramMissing, UsageError
from drd.ports.runner import Command, Runner

FOLDERS = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin", "/usr/lib64/pgsql/bin", "/usr/local/pgsql/bin")
"""Debian's, PostgreSQL's own packages for Red Hat, SUSE's, and what `make install` takes."""
NEEDED = ("pg_basebackup", "pg_receivewal", "pg_verifybackup", "pg_controldata")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one major version."""

    folder: Path
    major: int
    version: str
    """As `15.18`."""

    def path(self, name: str) -> str:
        """One of them."""
        return str(self.folder / name)


async def find_programs(
    major: int, runner: Runner, folders: Iterable[Path] | None = None, *, first: Path | None = None
) -> Programs:
    """The programs that belong to servers of a major version; `folders` are looked through instead of the usual ones.

    `first` is looked into before them. Raises `ProgramMissing` when there are none: older ones cannot talk to the
    server, newer ones may write what it does not read.
    """
    usual = _usual(major) if folders is None else folders
    for folder in usual if first is None else (first, *usual):
        if not all(os.access(folder / name, os.X_OK) for name in NEEDED):
            continue
        version = await _version(folder, runner)
        if re.match(rf"{major}(?!\d)", version):
            return Programs(folder, major, version)
    raise ProgramMissing(
        f"the programs of PostgreSQL {major} are not there: {', '.join(NEEDED)}",
        f"apt-get install postgresql-client-{major} postgresql-{major}",
    )


async def programs_in(folder: Path, major: int, runner: Runner) -> Programs:
    """The programs in a folder that a person named. Raises `UsageError` when they are not of that major version."""
    lacking = [name for name in NEEDED if not os.access(folder / name, os.X_OK)]
    if lacking:
        raise UsageError(f"{folder} lacks {', '.join(lacking)}", f"write --programs /usr/lib/postgresql/{major}/bin")
    version = await _version(folder, runner)
    if not re.match(rf"{major}(?!\d)", version):
        raise UsageError(
            f"the programs in {folder} are of PostgreSQL {version or 'unknown version'}, and the backup is of {major}",
            f"apt-get install postgresql-{major}, and write --programs /usr/lib/postgresql/{major}/bin",
        )
    return Programs(folder, major, version)


def _usual(major: int) -> Iterable[Path]:
    yield from (Path(folder.format(major=major)) for folder in FOLDERS)
    if in_path := shutil.which("pg_basebackup"):
        # Debian's wrapper in PATH chooses a version by itself; the folder that it lies in lacks the other programs.
        yield Path(in_path).resolve().parent


async def _version(folder: Path, runner: Runner) -> str:
    lines: list[str] = []
    command = Command((str(folder / "pg_basebackup"), "--version"), deadline=timedelta(seconds=20))
    await runner.run(command, lambda _, line: lines.append(line.decode(errors="replace")))
    match = re.search(r"\(PostgreSQL\) (\d+[.\w]*)", "\n".join(lines))
    return match[1] if match else ""
