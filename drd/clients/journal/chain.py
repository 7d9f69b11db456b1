"""The chain: every event's head is SHA-256 over the head before it and the event's stored bytes."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drd.ports.journal import Verdict

GENESIS = bytes(32)
"""The head before the first event."""

StoredEvent = tuple[int, bytes, bytes]
"""Sequence, bytes, head: a row of the table `events`."""


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain."""

    sequence: int
    head: bytes

    @property
    def digest(self) -> str:
        """The head in hexadecimal digits."""
        return self.head.hex()


START = Link(0, GENESIS)


def next_head(previous: bytes, data: bytes) -> bytes:
    """The head of the event with these bytes."""
    return hashlib.sha256(previous + data).digest()


class ChainWalk:
    """Follows the chain over the rows of one file after the other and stops at the first that does not fit."""

    def __init__(self, anchors: Mapping[int, str]) -> None:
        self.link = START
        self._verdict: Verdict | None = None
        self._anchors = anchors
        """Sequence → hexadecimal head, as they were written down outside this machine."""

    def follow(self, rows: Iterable[StoredEvent], segment: str) -> bool:
        """Check the rows of `segment`; False when one does not fit."""
        sha256, anchors = hashlib.sha256, self._anchors
        sequence, head = self.link.sequence, self.link.head
        try:
            for stored_sequence, data, stored_head in rows:
                sequence += 1
                if stored_sequence != sequence:
                    return self._fail(sequence, _gap(sequence, stored_sequence, segment))
                head = sha256(head + data).digest()
                if head != stored_head:
                    return self._fail(sequence, f"its bytes do not give the head that is stored for it in {segment}")
                if b'"sequence":%d,' % sequence not in data:
                    return self._fail(sequence, f"it stands at a place in {segment} that is not its own")
                if sequence in anchors and anchors[sequence] != head.hex():
                    return self._fail(sequence, "its head differs from the one that was anchored outside")
        except (sqlite3.DatabaseError, TypeError) as error:
            return self._fail(sequence + 1, f"it cannot be read from {segment}: {error}")
        self.link = Link(sequence, head)
        return True

    def end(self, known: Link | None) -> Verdict:
        """The verdict after the last file; `known` is the end of the chain as the projections remember it."""
        last = max([*self._anchors, known.sequence if known else 0])
        if self._verdict is None and last > self.link.sequence:
            self._fail(self.link.sequence + 1, f"it and all up to {last} were here once and are missing at the end")
        elif self._verdict is None and known is not None and known != self.link:
            self._fail(self.link.sequence, "its head is not the one that was noted when it was written")
        return self._verdict or Verdict(sound=True, events=self.link.sequence)

    def _fail(self, sequence: int, problem: str) -> bool:
        self._verdict = Verdict(sound=False, events=sequence - 1, sequence=sequence, problem=problem)
        return False


def _gap(expected: int, found: int, segment: str) -> str:
    if found < expected:
        return f"{segment} holds event {found} a second time"
    missing = f"event {expected} is" if found == expected + 1 else f"events {expected} to {found - 1} are"
    return f"{missing} missing before {segment} goes on with {found}"
