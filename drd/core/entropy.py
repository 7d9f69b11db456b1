"""Whether bytes look random, as they do when they are encrypted, and also when they are compressed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import log2

BLOCK_BYTES = 4096
"""What is looked at of a file; so many random bytes have an entropy of 7.95 bits each, give or take 0.02."""
RANDOM_BITS = 7.9
"""Entropy of a byte from which on a block counts as random; texts, tables and programs stay below 7."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Blocks of files that were drawn."""

    blocks: int = 0
    random: int = 0
    """How many of them look random."""

    def __add__(self, other: Samples) -> Samples:
        return Samples(self.blocks + other.blocks, self.random + other.random)

    @classmethod
    def of(cls, blocks: Iterable[bytes]) -> Samples:
        """What these blocks look like; those that are too short to tell do not count."""
        whole = [block for block in blocks if len(block) >= BLOCK_BYTES]
        return cls(len(whole), sum(entropy(block) >= RANDOM_BITS for block in whole))


def entropy(block: bytes) -> float:
    """Shannon's entropy of a block's bytes, in bits a byte: 0 to 8."""
    counts = Counter(block).values()
    return -sum(count / len(block) * log2(count / len(block)) for count in counts)
