"""What follows from the events: one pure fold, used when an event is written and when everything is built anew.

The state stands in tables of plain rows (JSON values, moments as canonical texts that sort as moments do), so that a
million events fold in seconds and a row is stored exactly as it is. `drd.core.catalogue` has the values that people and
engines see. A change of meaning in here is a new `VERSION`: the projections are then built anew at the next start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drd.core.encoding import Fact
from drd.core.projections import incidents, points, policies, restores, runs, stores, wal
from drd.core.projections.effect import Effect
from drd.core.rows import Tables

VERSION = 25
"""Meaning of the rows. Another one on the disk is thrown away and built anew from the events."""

_EFFECTS: Final[Mapping[str, Effect]] = {
    **policies.EFFECTS,
    **runs.EFFECTS,
    **points.EFFECTS,
    **wal.EFFECTS,
    **stores.EFFECTS,
    **restores.EFFECTS,
    **incidents.EFFECTS,
}


def fold(tables: Tables, fact: Fact) -> None:
    """Let one event take effect. Kinds that change nothing here are passed over."""
    effect = _EFFECTS.get(fact.kind)
    if effect is not None:
        effect(tables, fact, fact.body)
