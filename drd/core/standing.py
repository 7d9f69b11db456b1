"""Whether a service is protected as its policy promises, in one word and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from drd.core.catalogue import PolicyRecord, RecoveryPoint
from drd.core.policy import Outcome, Policy
from drd.core.units import format_duration

FIRST_COPIES = timedelta(minutes=15)
"""How long the first copies of a new policy without an RPO may take before they are missed."""

PolicyState = Literal["ok", "running", "late", "failed", "incomplete", "never run", "paused"]


@dataclass(frozen=True, slots=True)
class Assessment:
    """How a policy stands. `note` says why when it is not ok, `hint` what to type."""

    state: PolicyState
    note: str = ""
    hint: str = ""


def assess(
    policy: Policy,
    record: PolicyRecord | None,
    newest: Mapping[str, RecoveryPoint],
    offsite: frozenset[str],
    paused_until: datetime | None,
    is_running: bool,
    now: datetime,
) -> Assessment:
    """Judge a policy; the worst finding is the one that is told.

    `newest` maps a store to the newest good point with a copy there; `offsite` names the stores at other sites.
    """
    name = policy.name
    last = record.last_run if record else None
    if last is not None and last.outcome in (Outcome.FAILED, Outcome.INCOMPLETE) and not is_running:
        state: PolicyState = "failed" if last.outcome is Outcome.FAILED else "incomplete"
        return Assessment(state, last.message, last.hint)
    if paused_until is not None and paused_until > now:
        return Assessment("paused", f"until {paused_until:%F %H:%M} UTC", f"type: drd resume {name}")
    if is_running:
        return Assessment("running")
    if not newest:
        return Assessment("never run", "there is no recovery point yet", f"type: drd backup {name}")
    late = _late(policy, newest, now) or _lacking(policy, newest, offsite, now)
    if late and record is not None and now - record.created < (policy.objectives.rpo or FIRST_COPIES):
        return Assessment("ok", "its first copies are on their way")
    if late:
        return Assessment("late", late, f"type: drd explain {name}")
    return Assessment("ok")


def _late(policy: Policy, newest: Mapping[str, RecoveryPoint], now: datetime) -> str:
    rpo = policy.objectives.rpo
    age = now - max(point.moment for point in newest.values())
    if rpo is None or age <= rpo:
        return ""
    return f"the newest recovery point is {format_duration(_whole(age))} old, the RPO is {format_duration(rpo)}"


def _lacking(policy: Policy, newest: Mapping[str, RecoveryPoint], offsite: frozenset[str], now: datetime) -> str:
    """What is required and not there. A copy older than the RPO does not count: a store away for weeks has one."""
    require, rpo = policy.backup.require, policy.objectives.rpo
    counted = {store for store, point in newest.items() if rpo is None or now - point.moment <= rpo}
    within = "exist" if rpo is None else f"are within the RPO of {format_duration(rpo)}"
    if len(counted) < require.copies:
        return f"{len(counted)} of {require.copies} required copies {within}"
    away = len(offsite & counted)
    if away < require.offsite:
        return f"{away} of {require.offsite} required off-site copies {within}"
    return ""


def _whole(age: timedelta) -> timedelta:
    return timedelta(seconds=int(age.total_seconds()))
