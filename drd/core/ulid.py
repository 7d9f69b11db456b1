"""Identifiers that sort by time: ULIDs, as specified at github.com/ulid/spec."""

from __future__ import annotations

from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_BYTES = 10


def ulid(now: datetime, randomness: bytes) -> str:
    """26 characters of Crockford's base 32: 48 bits of milliseconds since 1970, then the 80 random bits given."""
    milliseconds = int(now.timestamp() * 1000)
    number = (milliseconds << 80) | int.from_bytes(randomness[:RANDOM_BYTES], "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
