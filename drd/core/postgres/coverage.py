"""The moments to which a cluster can be brought back, and why not to those in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drd.core.postgres.recovery import Covered, Kept, covered
from drd.core.postgres.wal import Gap


@dataclass(frozen=True, slots=True)
class Span:
    """Moments that are covered, and why those between the span before and this one are not."""

    covered: Covered
    gap: str = ""
    """Empty for the first one, and where nothing lies in between."""


def spans(kept: Kept) -> tuple[Span, ...]:
    """All spans, oldest first."""
    found: list[Span] = []
    for each in covered(kept):
        before = found[-1].covered if found else None
        is_apart = before is not None and each.first > before.last
        found.append(Span(each, _reason(kept, before, each) if before is not None and is_apart else ""))
    return tuple(found)


def _reason(kept: Kept, before: Covered, after: Covered) -> str:
    """What lacks between two spans."""
    history = kept.archive.history(after.timeline)
    bases = sorted(
        (base for base in kept.bases if history.contains(base.timeline, base.end)), key=lambda base: base.end
    )
    earlier = [base for base in bases if base.ended_at <= before.last]
    later = [base for base in bases if base.ended_at >= after.first]
    if earlier and later:
        missing = kept.archive.gaps(history, earlier[-1].reads_from, later[0].end)
        if missing:
            return f"{_named(missing)} missing"
    if before.timeline != after.timeline:
        return f"timeline {after.timeline} begins, and nothing tells what was committed when before"
    return "nothing tells what was committed when"


def _named(missing: Sequence[Gap]) -> str:
    count = sum(gap.count for gap in missing)
    first = missing[0]
    if count == 1:
        return f"WAL {first.first.name} is"
    return f"WAL {first.first.name} to {missing[-1].last.name} ({count} segments) is"
