"""What people are told of a restore."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from drd.core.events import Event, StoreChecked
from drd.core.points import RecoveryPoint
from drd.core.postgres.recovery import RecoveryPlan
from drd.core.postgres.target import AtTime
from drd.core.recovery_sets import is_of
from drd.core.units import format_size
from drd.engines.restore_request import Landed, Plan
from drd.reports.moments import local_with_offset


def as_of(point: RecoveryPoint, recovery: RecoveryPlan | None, zone: ZoneInfo) -> str:
    """Which moment is brought back, and from which point on."""
    begins = local_with_offset(point.moment, zone)
    if recovery is None:
        return begins
    target = (
        local_with_offset(recovery.target.moment, zone) if isinstance(recovery.target, AtTime) else str(recovery.target)
    )
    return f"{target}, from the base backup of {begins}"


def parts_of(plan: Plan, zone: ZoneInfo) -> tuple[str, ...]:
    """What a point of several parts is put together from where WAL brings one of them on; a line each."""
    recovery = plan.recovery
    if recovery is None or len(plan.point.parts) == 1:
        return ()
    return tuple(
        f"part {part}: its WAL leads to the moment"
        if is_of(plan.point.facts.get(part, ()), recovery)
        else f"part {part}: of {local_with_offset(plan.point.moment_of(part), zone)}, the newest not after that"
        for part in sorted(plan.point.parts)
    )


def damage_met(event: Event, run: str) -> tuple[str, ...]:
    """What a fact of a run tells of a store that does not give back what it was given."""
    body = event.body
    if event.run != run or not isinstance(body, StoreChecked) or body.sound:
        return ()
    return (f"store {body.store} is damaged: what it does not give is looked for in the others",)


def landed_text(landed: Landed, beside: bool, lacks_wal: bool, zone: ZoneInfo, parts: tuple[str, ...] = ()) -> str:
    """What came back, and what a person should know of it; a line each."""
    files = "1 file" if landed.files == 1 else f"{landed.files} files"
    words = f"{files}, {format_size(landed.bytes)} from store {landed.store}, every file verified"
    words = f"{words}: {', '.join(landed.places)}" if beside else words
    lines = [words, *parts, *landed.notes, *map(str, landed.checks)]
    if landed.heartbeat is not None:
        shown = landed.heartbeat.astimezone(zone).isoformat(sep=" ", timespec="milliseconds")
        lines.append(f"its newest heartbeat is of {shown}: all that was committed before is there")
    if lacks_wal:
        lines.append("no WAL of it is in any store: it is of the moment at which its base backup ended")
    return "\n  ".join(lines)
