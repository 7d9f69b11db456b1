"""The Secrets port: systemd credentials, files, the daemon's environment, and programs."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from drd.clients.blocking import within
from drd.core.errors import PermanentError, TransientError
from drd.core.secrets import SecretReference
from drd.ports.runner import Command, Ending, Runner

READ_SECONDS = 30.0
"""How long a file or a program may take to give a secret."""
MOST_BYTES = 1 << 20
"""No secret is longer; a path to something else is a mistake."""


class SystemSecrets:
    """Reads secrets where their references say.

    Credentials are read once, when this is made: systemd takes them away again at a later restart of the unit's files,
    and a reload cannot bring new ones. The other three are read at each use.
    """

    def __init__(self, runner: Runner, environment: Mapping[str, str]) -> None:
        self._runner = runner
        self._environment = dict(environment)
        self._credentials = _credentials(self._environment.get("CREDENTIALS_DIRECTORY"))

    async def read(self, reference: SecretReference) -> bytes:
        """The secret, without a trailing line end. Raises `PermanentError` that names the place, never the content."""
        if reference.credential is not None:
            secret = self._credential(reference.credential)
        elif reference.file is not None:
            secret = await _file(reference.file)
        elif reference.env is not None:
            secret = self._variable(reference.env)
        else:
            secret = await self._printed(reference.command or ())
        if not secret:
            raise PermanentError(f"the secret from {reference.summary()} is empty", "put the secret there")
        return secret

    def _credential(self, name: str) -> bytes:
        if name not in self._credentials:
            raise PermanentError(
                f"there is no systemd credential {name}",
                f"add LoadCredential={name}:/etc/drd/{name} by systemctl edit drd, then systemctl restart drd",
            )
        return self._credentials[name]

    def _variable(self, name: str) -> bytes:
        if name not in self._environment:
            raise PermanentError(
                f"the environment variable {name} is not set", f"set {name} where drd is started, then start it again"
            )
        return os.fsencode(self._environment[name]).rstrip(b"\r\n")

    async def _printed(self, argv: tuple[str, ...]) -> bytes:
        lines: list[bytes] = []
        environment = {"PATH": self._environment.get("PATH", os.defpath), "HOME": self._environment.get("HOME", "/")}
        command = Command(argv, environment, deadline=timedelta(seconds=READ_SECONDS))
        ended = await self._runner.run(command, lambda stream, line: lines.append(line) if stream == "stdout" else None)
        if ended.ending is not Ending.EXITED:
            raise TransientError(
                f"the command {argv[0]} gave no secret within {READ_SECONDS:.0f} s",
                "run it by hand as the daemon's user",
            )
        if ended.code != 0:
            # What it wrote stays out of the message: it may hold the secret.
            raise PermanentError(
                f"the command {argv[0]} for a secret ended with exit code {ended.code}",
                "run it by hand as the daemon's user",
            )
        return b"\n".join(lines).rstrip(b"\r\n")


def _credentials(folder: str | None) -> dict[str, bytes]:
    if folder is None:
        return {}
    try:
        return {entry.name: entry.read_bytes().rstrip(b"\r\n") for entry in Path(folder).iterdir() if entry.is_file()}
    except OSError as error:
        raise PermanentError(
            f"systemd's credentials in {folder} cannot be read: {error.strerror}", f"ls -ld {folder}"
        ) from error


async def _file(path: Path) -> bytes:
    try:
        return await within(READ_SECONDS, lambda: _content(path), ("secret", path))
    except TimeoutError as error:
        raise TransientError(
            f"the file {path} could not be read within {READ_SECONDS:.0f} s", f"ls -l {path}"
        ) from error
    except OSError as error:
        raise PermanentError(f"the file {path} cannot be read: {error.strerror}", f"ls -l {path}") from error


def _content(path: Path) -> bytes:
    """What the file holds. A file that everybody on the machine may read is no secret, so it is refused.

    A group may read it: that is how one secret is shared with one other service.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
            raise PermanentError(f"everybody on this machine may read the file {path}", f"chmod o= {path}")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise PermanentError(f"the file {path} is longer than 1 MiB: it is no secret", "name the file that holds it")
    return content.rstrip(b"\r\n")
