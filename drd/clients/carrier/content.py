"""One file on its way: hashed, paced and counted; it never gets through whole if it is not what it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from drd.clients.carrier.files import Readable
from drd.clients.carrier.pace import Pace

BLOCK_BYTES = 1024 * 1024
"""Smaller ones cost a connection more in waking up than in carrying."""


class Refused(Exception):
    """A file's content does not match its name."""


class NamedContent:
    """The bytes of a file whose name is their SHA-256.

    The block that completes the file is handed out only when all bytes hash to the name. A receiver that is told the
    size beforehand, as every store's protocol is, therefore never gets a whole file that is damaged. `name` may be
    None for the one kind of file that is not named by its content.
    """

    def __init__(
        self, source: Readable, name: str | None, size: int, pace: Pace, on_block: Callable[[int], None]
    ) -> None:
        self.size = size
        self.name = name
        self.failure: Exception | None = None
        """Why reading failed: the libraries that read from here may wrap it in errors of their own."""
        self._source = source
        self._pace = pace
        self._on_block = on_block
        self._digest = hashlib.sha256()
        self._seen = 0

    def read(self, _size: int = -1, /) -> bytes:
        """The next block, whatever size is asked for; empty at the end. Raises `Refused` and what the source raises."""
        if self._seen == self.size > 0:
            return b""
        try:
            block = self._source.read(min(self._pace.at_once(BLOCK_BYTES), self.size - self._seen))
            self._pace.take(len(block))
            self._examine(block)
        except Exception as failure:
            self.failure = failure
            raise
        self._on_block(len(block))
        return block

    def _examine(self, block: bytes) -> None:
        if not block and self.size == 0 and self.name is None:
            return
        if not block:
            raise Refused(f"it ends after {self._seen} of {self.size} bytes")
        self._seen += len(block)
        self._digest.update(block)
        if self._seen == self.size and self.name is not None and self._digest.hexdigest() != self.name:
            raise Refused("its content does not hash to its name")
