"""A repository on a machine that is reached by OpenSSH."""

from __future__ import annotations

import json
import shlex
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from drd.clients.carrier import examine
from drd.clients.ssh import Patience, reaching
from drd.core.secrets import SecretReference
from drd.ports.look import Look
from drd.ports.store import Backend, Location, Store
from drd.ports.world import World

PATIENCE = Patience(connect_seconds=10, alive_seconds=15, alive_questions=4)
"""A connection over which nothing comes for a minute is given up."""


class SftpStore(Store):
    """A folder on another machine. Its host key must be known beforehand, and the user's key needs no passphrase."""

    kind: ClassVar[str] = "sftp"

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]*$")]
    """A name or an address; what `~/.ssh/config` says of it does not count."""
    user: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    """Who this machine is there; best a user of its own with nothing but sftp."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """Where its ssh listens."""
    path: PurePosixPath
    """The repository's folder there, absolute; made on first use, its parent must exist."""
    key: SecretReference
    """The private key. ssh reads it from a file, so only `{file: …}` and `{credential: …}` will do."""
    known_hosts: Path
    """A file with the host's public key, as ssh-keyscan prints it."""

    @field_validator("path")
    @classmethod
    def _is_absolute(cls, path: PurePosixPath) -> PurePosixPath:
        if not path.is_absolute():
            raise ValueError(f"write the whole path, as /srv/{path}")
        return path

    @field_validator("key")
    @classmethod
    def _is_a_file(cls, key: SecretReference) -> SecretReference:
        if key.file is None and key.credential is None:
            raise ValueError("ssh reads its key from a file: write {file: /path} or {credential: name}")
        return key

    def summary(self) -> str:
        """Where it is."""
        return (
            f"{self.user}@{self.host}:{self.path}"
            if self.port == 22
            else f"{self.user}@{self.host}:{self.port}:{self.path}"
        )

    async def location(self, world: World) -> Location:
        """An `sftp:` URL that only names the folder, and the command that reaches it."""
        return Location(
            url=f"sftp:{self.user}@{self.host}:{self.path}", options=(f"sftp.command={shlex.join(self._ssh())}",)
        )

    async def backend(self, world: World) -> Backend:
        """The folder and the command that reaches it; there is no secret in it, only where the key lies."""
        return Backend("sftp", {"place": self.summary(), "path": str(self.path), "ssh": json.dumps(self._ssh())})

    async def look(self, world: World) -> Look:
        """Whether the host is the known one, lets this user in and has the folder, and how much room there is."""
        return await examine(world.runner, self.backend(world))

    def beside(self, word: str) -> SftpStore:
        """The folder `PATH-WORD`."""
        return self.model_copy(update={"path": self.path.with_name(f"{self.path.name}-{word}")})

    def _ssh(self) -> tuple[str, ...]:
        return (*reaching(self.key, self.known_hosts, self.port, PATIENCE), f"{self.user}@{self.host}", "-s", "sftp")
