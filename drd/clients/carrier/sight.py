"""What a look at a store found: `drd.ports.store.Look` as the child says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sight:
    """Fields as in `drd.ports.store.Look`."""

    reachable: bool
    message: str = ""
    hint: str = ""
    free_bytes: int | None = None
    versioning: bool | None = None
    object_lock_days: int | None = None
