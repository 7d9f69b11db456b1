"""Positions in the write-ahead log (WAL), as PostgreSQL's type `pg_lsn` writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


@dataclass(frozen=True, slots=True, order=True)
class Lsn:
    """A log sequence number: how many bytes of WAL lie before it. It means nothing without a timeline."""

    value: int

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """`16/B374D848` → a position. Raises ValueError that says what to write."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no position in the WAL: write it as in 16/B374D848")
        return cls(int(match[1], 16) << 32 | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self.value >> 32:X}/{self.value & 0xFFFFFFFF:X}"

    def __add__(self, byte_count: int) -> Lsn:
        return Lsn(self.value + byte_count)

    def __sub__(self, other: Lsn) -> int:
        """Bytes of WAL from `other` to this."""
        return self.value - other.value
