"""Hiding a command's secrets in what its program wrote."""

from __future__ import annotations

from collections.abc import Iterable

SHORTEST_LINE_BYTES = 8
"""Of a secret of several lines, lines shorter than this are no secret."""


class Redaction:
    """Puts `[secret]` in the place of each of these secrets.

    A secret of several lines (a private key) is never seen whole, so each of its lines is hidden too.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        whole = {secret for secret in secrets if secret}
        lines = {line.strip() for secret in whole for line in secret.splitlines()}
        parts = {line for line in lines if len(line) >= SHORTEST_LINE_BYTES}
        self._hidden = sorted(whole | parts, key=len, reverse=True)

    def hide(self, text: bytes) -> bytes:
        """The text without them."""
        for secret in self._hidden:
            text = text.replace(secret, b"[secret]")
        return text
