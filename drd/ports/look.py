"""What a look at a store found. It imports next to nothing: the carrier, which looks, is to be ready at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """What a store looks like from here, before restic is let near it."""

    reachable: bool
    message: str = ""
    hint: str = ""
    config: str = ""
    """SHA-256 of the repository's config file, which only mirrors share; empty where there is none."""
    free_bytes: int | None = None
    versioning: bool | None = None
    object_lock_days: int | None = None
    """Default retention of the bucket's object lock; None where there is none."""
