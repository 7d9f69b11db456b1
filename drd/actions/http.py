"""Calling an address."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from drd.clients.http import request
from drd.core.errors import PermanentError
from drd.core.secrets import SecretReference
from drd.core.units import Count
from drd.ports.action import Action, Facts, Preview, Situation

ANSWER_TIMEOUT: Final = timedelta(seconds=30)


class Http(Action):
    """Call an address and look at the answer's status."""

    kind: ClassVar[str] = "http"

    url: Annotated[str, Field(pattern="^https?://.+")]
    """The address; a secret in it would be shown."""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """What is done there."""
    token: SecretReference | None = None
    """Sent as a bearer token."""
    body: str | None = None
    """What is sent."""
    status: Annotated[Count, Field(ge=100, le=599)] = 200
    """The status that is success."""

    @property
    def is_repeatable(self) -> bool:
        """Asking changes nothing."""
        return self.method in ("GET", "HEAD")

    async def preview(self, at: Situation) -> Preview:
        """The request and the status that is wanted."""
        return Preview((f"{self.summary()}, which answers {self.status}",), ("whether it answers",))

    async def apply(self, at: Situation) -> Facts:
        """Ask, and compare the status."""
        headers = {}
        if self.token is not None:
            token = await at.world.secrets.read(self.token)
            headers["authorization"] = f"Bearer {token.decode('ascii', 'replace')}"
        body = (self.body or "").encode()
        told = await request(self.method, self.url, body, headers, at.timeout or ANSWER_TIMEOUT)
        if told.status != self.status:
            raise PermanentError(f"{self.summary()} answered {told.status} instead of {self.status}", "")
        return {}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Only what changes nothing is asked in a drill."""
        return await self.apply(at) if self.is_repeatable else None

    def summary(self) -> str:
        """Which address; what follows a question mark is left out."""
        return f"{self.method} {self.url.partition('?')[0]}"
