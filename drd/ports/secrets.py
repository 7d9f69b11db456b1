"""Reading secrets when they are used."""

from __future__ import annotations

from typing import Protocol

from drd.core.secrets import SecretReference


class Secrets(Protocol):
    """Resolves references to secrets."""

    async def read(self, reference: SecretReference) -> bytes:
        """The secret, without a trailing line end. Raises `PermanentError` that names the place, never the content."""
        ...
