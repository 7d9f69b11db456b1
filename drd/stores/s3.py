"""A repository in an S3 bucket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from drd.clients.carrier import examine
from drd.core.errors import PermanentError
from drd.core.kinds import Model
from drd.core.secrets import SecretReference
from drd.ports.look import Look
from drd.ports.store import Backend, Location, Store
from drd.ports.world import World

_PLAIN = re.compile(rb"[A-Za-z0-9/+=_.-]+")
"""What needs no quotes in AWS's file of credentials; everything that AWS itself hands out is plain."""


class PruneCredentials(Model):
    """Who may delete in a bucket where `credentials` may not."""

    credentials: SecretReference
    """Refers to one line `ACCESS_KEY:SECRET_KEY`; read when something is forgotten or pruned, and not before."""


class S3Store(Store):
    """A bucket at AWS or any other server of the S3 protocol."""

    kind: ClassVar[str] = "s3"
    keeps_by: ClassVar[Literal["nothing", "lock", "appending"]] = "lock"

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/]+/?$")]
    """The server with its scheme, as `https://s3.example`; plain http only where nobody listens in."""
    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$")]
    """It must exist: drd never makes a bucket."""
    prefix: str = ""
    """Where in the bucket the repository lies, as `hosts/web-1`."""
    region: str = "us-east-1"
    """What the server calls the bucket's region."""
    credentials: SecretReference
    """Refers to one line `ACCESS_KEY:SECRET_KEY`."""
    prune: PruneCredentials | None = None
    """Who forgets and prunes, where `credentials` may delete nothing but locks; left out, they do that too."""
    path_style: bool = True
    """Whether the bucket stands in the path (`https://s3.example/bucket`), as most servers outside AWS want it."""
    ca: Path | None = None
    """Certificates (PEM) to trust instead of the system's."""

    @field_validator("prefix")
    @classmethod
    def _has_no_outer_slashes(cls, prefix: str) -> str:
        return prefix.strip("/")

    def summary(self) -> str:
        """Where it is."""
        return f"{self.endpoint.rstrip('/')}/{'/'.join(part for part in (self.bucket, self.prefix) if part)}"

    async def location(self, world: World) -> Location:
        """The `s3:` URL; the keys go as a file in AWS's format, since an environment can be read by others."""
        access_key, secret_key = await self._keys(world)
        environment = {"AWS_SHARED_CREDENTIALS_FILE": "{s3_credentials}", "AWS_DEFAULT_REGION": self.region}
        if self.ca is not None:
            environment["SSL_CERT_FILE"] = str(self.ca)
        return Location(
            url=f"s3:{self.summary()}",
            environment=environment,
            secrets={
                "s3_credentials": b"[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n"
                % (_quoted(access_key), _quoted(secret_key))
            },
            options=(f"s3.bucket-lookup={'path' if self.path_style else 'dns'}", f"s3.region={self.region}"),
        )

    async def backend(self, world: World) -> Backend:
        """Everything that boto3 needs."""
        access_key, secret_key = await self._keys(world)
        return Backend(
            "s3",
            {
                "endpoint": self.endpoint.rstrip("/"),
                "bucket": self.bucket,
                "prefix": self.prefix,
                "region": self.region,
                "access_key": access_key.decode(),
                "secret_key": secret_key.decode(),
                "path_style": "yes" if self.path_style else "no",
                "ca": "" if self.ca is None else str(self.ca),
            },
        )

    async def look(self, world: World) -> Look:
        """Whether the bucket answers to these credentials, whether it keeps versions, and for how long it locks."""
        return await examine(world.runner, self.backend(world))

    def deleting(self) -> S3Store:
        """The same bucket by the credentials that may delete."""
        return self if self.prune is None else self.model_copy(update={"credentials": self.prune.credentials})

    def beside(self, word: str) -> S3Store:
        """The prefix `PREFIX-WORD` of the same bucket."""
        return self.model_copy(update={"prefix": f"{self.prefix}-{word}" if self.prefix else word})

    async def _keys(self, world: World) -> tuple[bytes, bytes]:
        access_key, colon, secret_key = (await world.secrets.read(self.credentials)).partition(b":")
        if not (access_key and colon and secret_key) or b"\n" in secret_key or not (access_key + secret_key).isascii():
            raise PermanentError(
                f"{self.credentials.summary()} does not hold S3 keys", "make it one line: ACCESS_KEY:SECRET_KEY"
            )
        return access_key.strip(), secret_key.strip()


def _quoted(value: bytes) -> bytes:
    return value if _PLAIN.fullmatch(value) else b"`" + value + b"`"
