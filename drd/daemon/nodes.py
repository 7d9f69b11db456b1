"""The nodes that are watched, for people and for Prometheus, and what would be done about a primary now."""

from __future__ import annotations

from datetime import datetime

from drd.core.candidates import words_of_loss
from drd.core.decision import Act, Decision
from drd.core.node_verdicts import Cause
from drd.core.units import format_duration
from drd.daemon.house import House
from drd.engines.watching import Watched
from drd.ports.control import NodeStatus
from drd.reports.moments import local_with_offset

FAILOVER = "failover"
"""What a pause names that keeps a primary from being replaced."""


def node_status(house: House) -> tuple[NodeStatus, ...]:
    """All nodes that are watched."""
    found: list[NodeStatus] = []
    for policy in sorted(house.in_force().policies):
        watched = house.watching.of(policy)
        if watched is not None:
            found += [_status(policy, name, watched) for name in watched.nodes]
    return tuple(found)


def _status(policy: str, name: str, watched: Watched) -> NodeStatus:
    node, verdict = watched.nodes[name], watched.verdicts.get(name)
    streak = node.database or next(iter(node.streaks.values()), None)
    role = "" if node.seen is None else node.seen.role.value
    return NodeStatus(
        policy=policy,
        node=name,
        role=role,
        state="unknown" if verdict is None else verdict.state.value,
        verdict=Cause.UNKNOWN if verdict is None else verdict.cause,
        why="" if verdict is None else verdict.why,
        since=watched.changed.get(name),
        seconds=streak.last.latency if streak is not None and streak.last is not None and streak.last.is_good else None,
        failures={probe: count for (node_name, probe), count in watched.failures.items() if node_name == name},
    )


async def failover_lines(house: House, policy: str) -> list[str]:
    """How each node stands, and what would be done about the primary now and why; nothing where none is watched."""
    watched = house.watching.of(policy)
    if watched is None:
        return []
    lines = [_node_line(status) for status in node_status(house) if status.policy == policy]
    lines += watched.notes
    decision = house.watching.decision(house.in_force().policies[policy], await why_paused(house, policy), _now(house))
    if decision is None or not _has_database(watched):
        return lines
    lines.append(f"failover: {decision.summary}")
    if not house.in_force().policies[policy].policy.disasters:
        return lines
    return [*lines, *_details(decision)]


async def why_paused(house: House, policy: str) -> str:
    """Why a primary may not be replaced now; empty where it may."""
    for pause in await house.catalogue.pauses():
        if pause.policy == policy and pause.what in (FAILOVER, "all") and pause.until > _now(house):
            until = local_with_offset(pause.until, house.in_force().zone)
            return f"paused until {until} by {pause.by}: {pause.reason}"
    return ""


def _details(decision: Decision) -> list[str]:
    """What it would cost, by which rung the old primary would be fenced, and all that stands in the way."""
    lines = []
    best = decision.candidate
    if best is not None:
        forecast = format_duration(best.forecast)
        lines.append(f"if it were lost now, {best.node} would be promoted, in about {forecast}; {words_of_loss(best)}")
    lines += [f"{each.node} would not be promoted: {each.why_not}" for each in decision.candidates if each.why_not]
    lines += [
        f"fence by {fence.rung}: {fence.state}{f': {fence.why}' if fence.why else ''}" for fence in decision.fences
    ]
    if decision.act is Act.HOLD:
        lines += [f"held back by {blocker}" for blocker in decision.blockers]
    return lines


def _node_line(status: NodeStatus) -> str:
    role = f", {status.role}" if status.role else ""
    why = f": {status.why}" if status.why else ""
    return f"node {status.node}{role}: {status.verdict}{why}"


def _has_database(watched: Watched) -> bool:
    return any(node.database is not None for node in watched.nodes.values())


def _now(house: House) -> datetime:
    return house.clock.now()
