"""Readers for the older forms of events: what is stored is never rewritten, so every form ever written stays readable.

When a body's fields change, its `VERSION` grows by one and a function goes in here that turns the older version's
fields into the next one's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from drd.core.errors import JournalDamaged

Fields = dict[str, Any]
"""A body's fields as they stand in the stored JSON."""

Upcaster = Callable[[Fields], Fields]
"""Turns the fields of one version into those of the next."""

Upcasters = Mapping[tuple[str, int], Upcaster]
"""(kind, the version that it reads) → how to get to the next version."""

UPCASTERS: Upcasters = MappingProxyType({})


def upcast(kind: str, version: int, current: int, fields: Fields, upcasters: Upcasters = UPCASTERS) -> Fields:
    """The fields as version `current` of `kind` has them.

    Raises JournalDamaged when the event is newer than this drd, or of a form that no reader here knows.
    """
    if version > current:
        raise JournalDamaged(
            f"an event {kind} has version {version} and this drd reads versions up to {current}",
            "install the newer drd that wrote it",
        )
    while version < current:
        step = upcasters.get((kind, version))
        if step is None:
            raise JournalDamaged(
                f"no reader is left for version {version} of the event {kind}", "report this: it is a mistake in drd"
            )
        fields = step(fields)
        version += 1
    return fields
