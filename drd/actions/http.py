"""Calling an address."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from drd.core.secrets import SecretReference
from drd.core.units import Count
from drd.ports.action import Action


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

    def summary(self) -> str:
        """Which address; what follows a question mark is left out."""
        return f"{self.method} {self.url.partition('?')[0]}"
