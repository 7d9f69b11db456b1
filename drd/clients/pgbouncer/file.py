"""The file of PgBouncer's databases, here or on a node: read, and replaced as a whole, by whoever drd is there.

What is written goes through standard input, for a line may hold a password; so the commands are the same each time, and
a key that is good for them alone is good for this file alone.
"""

from __future__ import annotations

import hashlib
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Final

from drd.clients.shell import run_program
from drd.core.errors import PermanentError
from drd.core.pgbouncer import Where, pointed, where_of
from drd.ports.machines import Machine
from drd.ports.runner import Runner

QUICK: Final = timedelta(seconds=20)
_READ: Final = "cat -- FILE && echo && sha256sum < FILE"
_DEMAND: Final = (
    '[ -w FILE ] && [ -w FOLDER ] || { echo "$(id -un) may not write it, or its folder" >&2; exit 1; }; '
    'group=$(stat -c %g FILE); [ "$(id -u)" = 0 ] || id -G | grep -qw "$group" || '
    '{ [ -g FOLDER ] && [ "$(stat -c %g FOLDER)" = "$group" ]; } || '
    '{ echo "$(id -un) is not in its group, $(stat -c %G FILE)" >&2; exit 1; }'
)
"""PgBouncer may read it by its group alone, so a new one has to have that group too: what a folder with the bit
`setgid` gives by itself, and whoever is in the group may give."""
_WRITE: Final = "; ".join(
    (
        f"set -eu; umask 077; {_DEMAND}",
        "exec 9< FOLDER; flock -w 10 9; read -r known; read -r meant",
        '[ "$(sha256sum < FILE)" = "$known" ] || { echo "somebody else has changed it" >&2; exit 1; }',
        'cat > FILE.drd; [ "$(sha256sum < FILE.drd)" = "$meant" ] || { echo "it did not come whole" >&2; exit 1; }',
        "chgrp --reference=FILE FILE.drd; chmod --reference=FILE FILE.drd",
        "sync FILE.drd; mv FILE.drd FILE",
    )
)
"""Standard input is the sum of the file that was read, that of the new one, and the new one itself.

The rename leaves no moment without a file. All on one line, since authorized_keys takes no other.
"""


class DatabasesFile:
    """One such file; `machine` is where it lies, None for this machine."""

    def __init__(self, runner: Runner, path: Path, machine: Machine | None) -> None:
        self._runner = runner
        self._path = path
        self._machine = machine

    @property
    def place(self) -> str:
        """Where it lies, in words."""
        return f"{'here' if self._machine is None else f'on {self._machine.name}'}: {self._path}"

    async def where(self, database: str) -> Where:
        """The server of a database. Raises `PermanentError` where no line is the database's."""
        text, _ = await self._read()
        found = where_of(text, database)
        if found is None:
            raise PermanentError(f"no line in {self._path} is for the database {database}", f"write `{database} = …`")
        return found

    async def point(self, database: str, where: Where) -> None:
        """Write another server for a database."""
        old, known = await self._read()
        new = pointed(old, database, where)
        if new != old:
            meant = _sum(new) + known[len(_sum(new)) :]
            await self._run(_WRITE, f"{known}\n{meant}\n{new}".encode())

    async def demand_writable(self) -> None:
        """Raises `PermanentError` where it could not be written."""
        await self._run(_DEMAND)

    async def _read(self) -> tuple[str, str]:
        """The text, and its sum as sha256sum writes it."""
        *lines, known = await self._run(_READ) or ("",)
        text = "\n".join(lines)
        if not known.startswith(_sum(text)):
            raise PermanentError(f"{self._path} is no text of whole lines in UTF-8", "look at it")
        return text, known

    async def _run(self, script: str, standard_input: bytes | None = None) -> tuple[str, ...]:
        argv = _command(script, self._path)
        try:
            return await run_program(
                self._runner, argv, self._machine, QUICK, standard_input=standard_input, most_lines=None
            )
        except PermanentError as error:
            raise PermanentError(
                f"{self.place}: {error.detail or error.message}",
                "give drd's user there the file, and a folder of its own for it",
            ) from error


def commands(path: Path) -> tuple[tuple[str, ...], ...]:
    """Every command that is given for a file."""
    return tuple(_command(script, path) for script in (_READ, _DEMAND, _WRITE))


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _command(script: str, path: Path) -> tuple[str, ...]:
    file, folder = shlex.quote(str(path)), shlex.quote(str(path.parent))
    return ("sh", "-c", script.replace("FILE", file).replace("FOLDER", folder))
