"""Whether a service is protected as its policy promises, in one word and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from drd.core.catalogue import PolicyRecord
from drd.core.policy import Outcome, Policy
from drd.core.requirements import Place, hold_against
from drd.core.suspicion import to_release
from drd.core.units import format_duration

FIRST_COPIES = timedelta(minutes=15)
"""How long the first copies of a new policy without an RPO may take before they are missed."""

UNSAVED = (Outcome.FAILED, Outcome.INCOMPLETE)

PolicyState = Literal["ok", "running", "late", "lacking", "failed", "incomplete", "never run", "paused", "suspect"]


@dataclass(frozen=True, slots=True)
class Assessment:
    """How a policy stands. `note` says why when it is not ok, `hint` what to type."""

    state: PolicyState
    note: str = ""
    hint: str = ""


def assess(
    policy: Policy,
    record: PolicyRecord | None,
    places: Sequence[Place],
    paused_until: datetime | None,
    is_running: bool,
    now: datetime,
    received: datetime | None = None,
) -> Assessment:
    """Judge a policy; the worst finding is the one that is told. `places` are the stores that its points go to.

    `received`: all that was committed before it is safe here as WAL, which counts from the first recovery point on.

    Moments are told in the zone in which they are given.
    """
    name = policy.name
    last = record.last_run if record else None
    if record is not None and record.suspicion is not None:
        failed = f"; its last run {last.outcome}" if last is not None and last.outcome in UNSAVED else ""
        note = f"{record.suspicion.message}; until somebody has looked nothing of it is forgotten{failed}"
        return Assessment("suspect", note, f"look at the source and at drd points {name}; {to_release(name)}")
    if last is not None and last.outcome in UNSAVED and not is_running:
        state: PolicyState = "failed" if last.outcome is Outcome.FAILED else "incomplete"
        return Assessment(state, last.message, last.hint)
    if paused_until is not None and paused_until > now:
        until = paused_until.isoformat(sep=" ", timespec="minutes")
        return Assessment("paused", f"until {until}", f"type: drd resume {name}")
    if is_running:
        return Assessment("running")
    newest = max((place.newest for place in places if place.newest is not None), default=None)
    if newest is None:
        return Assessment("never run", "there is no recovery point yet", f"type: drd backup {name}")
    late = _late(policy, max(newest, received or newest), now)
    finding = Assessment("late", late, f"type: drd explain {name}") if late else _unmet(policy, places, now)
    is_new = record is not None and now - record.created < (policy.objectives.rpo or FIRST_COPIES)
    if finding is not None and finding.state == "late" and is_new:
        return Assessment("ok", "its first copies are on their way")
    return finding or Assessment("ok")


def _late(policy: Policy, newest: datetime, now: datetime) -> str:
    rpo = policy.objectives.rpo
    age = now - newest
    if rpo is None or age <= rpo:
        return ""
    return f"the newest recovery point is {format_duration(_whole(age))} old, the RPO is {format_duration(rpo)}"


def _unmet(policy: Policy, places: Sequence[Place], now: datetime) -> Assessment | None:
    """The worst of what is required and not there: what somebody has to repair before what is only late."""
    unmet = [clause for clause in hold_against(policy.backup.require, places, now) if not clause.is_met]
    if not unmet:
        return None
    worst = min(unmet, key=lambda clause: clause.is_late)
    others = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
    return Assessment("late" if worst.is_late else "lacking", f"{worst}{others}", f"type: drd explain {policy.name}")


def _whole(age: timedelta) -> timedelta:
    return timedelta(seconds=int(age.total_seconds()))
