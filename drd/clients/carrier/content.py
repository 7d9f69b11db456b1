"""One file on its way: hashed, paced and counted; it never gets through whole if it is not what it is called."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from drd.clients.carrier.files import Readable
from drd.clients.carrier.pace import Pace

BLOCK_BYTES = 1024 * 1024
FIRST_BLOCK_BYTES = 256 * 1024
"""Smaller blocks cost a connection more in waking up than in carrying, and larger ones time out on a slow line: they
grow while they are taken quickly."""
QUICK_SECONDS = 0.1


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
        self._most = FIRST_BLOCK_BYTES // 2
        self._handed_out = time.monotonic()

    def read(self, _size: int = -1, /) -> bytes:
        """The next block, whatever size is asked for; empty at the end. Raises `Refused` and what the source raises."""
        if self._seen == self.size > 0:
            return b""
        try:
            block = self._source.read(min(self._pace.at_once(self._block_bytes()), self.size - self._seen))
            self._pace.take(len(block))
            self._examine(block)
        except Exception as failure:
            self.failure = failure
            raise
        self._on_block(len(block))
        self._handed_out = time.monotonic()
        return block

    def _block_bytes(self) -> int:
        """How much to read, by how quickly the last block was taken."""
        is_quick = time.monotonic() - self._handed_out < QUICK_SECONDS
        self._most = min(2 * self._most, BLOCK_BYTES) if is_quick else FIRST_BLOCK_BYTES
        return self._most

    def _examine(self, block: bytes) -> None:
        if not block and self.size == 0 and self.name is None:
            return
        if not block:
            raise Refused(f"it ends after {self._seen} of {self.size} bytes")
        self._seen += len(block)
        self._digest.update(block)
        if self._seen == self.size and self.name is not None and self._digest.hexdigest() != self.name:
            raise Refused("its content does not hash to its name")
