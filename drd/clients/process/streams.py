"""A child's output as lines of any length, and the end of its standard error without the command's secrets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from drd.clients.process.redaction import Redaction

TAIL_BYTES = 8192


class LineProtocol(asyncio.Protocol):
    """Cuts a pipe into lines and hands each to `on_line`.

    Chunks are joined only when a line is complete, so a line of 20 MB costs no more than its bytes. An error that
    `on_line` raises is kept in `failure`; the rest of the stream is then read and dropped, so that the child is not
    held up.
    """

    def __init__(self, on_line: Callable[[bytes], None], on_failure: Callable[[], None]) -> None:
        self._on_line = on_line
        self._on_failure = on_failure
        self._chunks: list[bytes] = []
        self.failure: Exception | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Take a chunk."""
        first, *others = data.split(b"\n")
        self._chunks.append(first)
        for following in others:
            self._complete()
            self._chunks.append(following)

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand over a last line that has no line end."""
        if any(self._chunks):
            self._complete()
        if not self.ended.done():
            self.ended.set_result(None)

    def _complete(self) -> None:
        line = b"".join(self._chunks)
        self._chunks.clear()
        if self.failure is not None:
            return
        try:
            self._on_line(line)
        except Exception as error:  # noqa: BLE001 - raised again by the runner, once the child is gone
            self.failure = error
            self._on_failure()


class Tail:
    """The last kilobytes of a stream, without secrets."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._redaction = Redaction(secrets)
        self._lines: deque[bytes] = deque()
        self._size = 0

    def add(self, line: bytes) -> None:
        """Take a line."""
        line = self._redaction.hide(line)[-TAIL_BYTES:]
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > TAIL_BYTES and len(self._lines) > 1:
            self._size -= len(self._lines.popleft()) + 1

    @property
    def text(self) -> str:
        """What is kept, decoded."""
        return b"\n".join(self._lines).decode(errors="replace")
