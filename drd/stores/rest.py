"""A repository behind a server of restic's own REST protocol, such as rest-server or `rclone serve restic`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, field_validator, model_validator

from drd.clients.carrier import examine
from drd.core.errors import PermanentError
from drd.core.secrets import SecretReference
from drd.ports.look import Look
from drd.ports.store import Backend, Location, Store
from drd.ports.world import World


class RestStore(Store):
    """A server that can be told to append only, so that a stolen machine cannot remove its own backups."""

    kind: ClassVar[str] = "rest"
    keeps_by: ClassVar[Literal["nothing", "lock", "appending"]] = "appending"

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    """The repository, as `https://backup.example:8000/web-1`, without user and password."""
    user: str | None = None
    """Who this machine is to the server."""
    password: SecretReference | None = None
    """Goes with `user`."""
    ca: Path | None = None
    """Certificates (PEM) to trust instead of the system's."""

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, url: str) -> str:
        if urlsplit(url).username is not None:
            raise ValueError("write the user as `user:` and refer to the password by `password:`, not in the URL")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> RestStore:
        if (self.user is None) != (self.password is None):
            raise ValueError("`user:` and `password:` go together")
        return self

    def summary(self) -> str:
        """Where it is."""
        return self.url

    async def location(self, world: World) -> Location:
        """The `rest:` URL, which holds the password: restic's oldest supported version knows no other way."""
        parts = urlsplit(self.url)
        who = ""
        if self.user is not None:
            who = f"{quote(self.user, safe='')}:{quote(await self._password(world), safe='')}@"
        return Location(
            url=f"rest:{parts.scheme}://{who}{parts.netloc}{parts.path}/",
            environment={} if self.ca is None else {"SSL_CERT_FILE": str(self.ca)},
            url_is_secret=self.user is not None,
        )

    async def backend(self, world: World) -> Backend:
        """The URL, and user and password beside it."""
        return Backend(
            "rest",
            {
                "url": self.url,
                "user": self.user or "",
                "password": await self._password(world),
                "ca": "" if self.ca is None else str(self.ca),
            },
        )

    async def look(self, world: World) -> Look:
        """Whether the server answers to this user."""
        return await examine(world.runner, self.backend(world))

    def beside(self, word: str) -> RestStore:
        """The repository `URL-WORD`; below the URL where that is the server's root, or all that the user may reach."""
        path = urlsplit(self.url).path.strip("/")
        is_all = path in ("", quote(self.user or "", safe=""))
        return self.model_copy(update={"url": f"{self.url}{'/' if is_all else '-'}{word}"})

    async def _password(self, world: World) -> str:
        if self.password is None:
            return ""
        try:
            return (await world.secrets.read(self.password)).decode()
        except UnicodeDecodeError:
            # Without the cause, which holds the secret.
            raise PermanentError(
                f"{self.password.summary()} does not hold a password in UTF-8", "write it there as text, on one line"
            ) from None
