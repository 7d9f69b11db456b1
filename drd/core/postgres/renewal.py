"""Why a new base backup is needed at once: nothing that was made before leads on from where the server is now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drd.core.points import RecoveryPoint
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.gaps import Piece, WalState
from drd.core.postgres.server import ServerFacts


@dataclass(frozen=True, slots=True)
class Renewal:
    """A reason for a new base backup. One is asked for once for each `key` and newest base backup."""

    key: str
    message: str
    """One sentence, without the policy."""
    can_wait: bool = False
    """Whether every moment can be restored without it, if more slowly."""


def why_new_base(newest: BaseRecord, facts: ServerFacts, way: Sequence[Piece] = ()) -> Renewal | None:
    """Why the newest base backup does not do any more; None when it does.

    `way` is the state of the WAL that leads to now, in whichever store: what is lost behind the end of the newest base
    backup can only be stepped over by another one.
    """
    system, timeline = facts.system_identifier, facts.timeline
    if newest.system_identifier != system:
        return Renewal(f"system:{system}", f"the server is another cluster now, with the system identifier {system}")
    if newest.timeline != timeline:
        why = f"the server went over from timeline {newest.timeline} to {timeline}"
        # Unless WAL is lost besides: that no restore steps over.
        return Renewal(f"timeline:{system}:{timeline}", why, can_wait=not lost_behind(newest, way))
    if newest.has_checksums is not None and newest.has_checksums is not facts.has_checksums:
        word = "on" if facts.has_checksums else "off"
        return Renewal(f"checksums:{system}:{word}", f"page checksums were switched {word}")
    lost = lost_behind(newest, way)
    if lost:
        more = f" and {len(lost) - 1} more stretches" if len(lost) > 1 else ""
        return Renewal(f"gap:{system}:{lost[-1].last.name}", f"WAL is lost: {lost[0]}{more}")
    return None


def lost_behind(base: BaseRecord, way: Iterable[Piece]) -> tuple[Piece, ...]:
    """What is lost of the WAL behind the end of a base backup."""
    return tuple(piece for piece in way if piece.state is WalState.LOST and piece.last.end > base.end)


def newest_base(points: Iterable[RecoveryPoint]) -> BaseRecord | None:
    """The base backup, among good points, that ended last."""
    found = (BaseRecord.of_tags(facts) for point in points if point.is_good for facts in point.facts.values())
    return max((base for base in found if base is not None), key=lambda base: base.ended_at, default=None)
