"""How figures are printed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median [min–max]`."""
    return f"{median(values):.{digits}f} [{min(values):.{digits}f}–{max(values):.{digits}f}]"


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Ratios of interleaved pairs, as `median [min–max]`."""
    return spread([our / their for our, their in zip(ours, theirs, strict=True)], 3)
