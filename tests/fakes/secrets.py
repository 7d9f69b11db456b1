"""Secrets that a test has made up: each reference opens to its own name."""

from drd.core.secrets import SecretReference


class FakeSecrets:
    async def read(self, reference: SecretReference) -> bytes:
        return reference.summary().encode()
