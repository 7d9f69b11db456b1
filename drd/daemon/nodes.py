"""The nodes that are watched, for people and for Prometheus, and what would be done about a primary now."""

from __future__ import annotations

from drd.core.candidates import words_of_loss
from drd.core.decision import HELD_BACK, Act, Decision
from drd.core.node_verdicts import Cause
from drd.core.units import format_duration, format_size
from drd.daemon.house import House
from drd.engines.watched import Watched
from drd.ports.control import NodeStatus
from drd.reports.moments import local_with_offset


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
    """How each node stands, and what would be done about the primary now and why; nothing where none is watched.

    Where only the journal tells, and no daemon looks at the nodes, that is said.
    """
    watched = house.watching.of(policy)
    if watched is None:
        return await _unwatched(house, policy)
    lines = [_node_line(status) for status in node_status(house) if status.policy == policy]
    lines += _replication(watched)
    lines += watched.notes
    decision = await house.acting.decision(policy)
    if decision is None or not _has_database(watched):
        return lines
    lines.append(f"failover: {decision.summary}")
    if not house.in_force().policies[policy].policy.disasters:
        return lines
    return [*lines, *cost_lines(decision), *_held_back(decision)]


async def _unwatched(house: House, policy: str) -> list[str]:
    """That nobody looks at nodes which a daemon would watch, and what an earlier one has seen of them."""
    if house.in_force().policies[policy].watch is None:
        return []
    record = await house.catalogue.policy(policy)
    last = None if record is None else record.last_primary
    lines = ["failover: the nodes are not looked at here, so what would be done now is not known: only the daemon does"]
    if last is not None:
        since = local_with_offset(last.since, house.in_force().zone)
        lines.append(f"the primary was {last.node} when a daemon saw it last, which it had been since {since}")
    return lines


def cost_lines(decision: Decision) -> list[str]:
    """What it would cost, and by which rung the old primary would be fenced."""
    lines = []
    best = decision.candidate
    if best is not None:
        forecast = format_duration(best.forecast)
        lines.append(f"if it were lost now, {best.node} would be promoted, in about {forecast}; {words_of_loss(best)}")
        lines += [f"{best.node} may take longer: {best.risk}"] if best.risk else []
    lines += [f"{each.node} would not be promoted: {each.why_not}" for each in decision.candidates if each.why_not]
    lines += [
        f"fence by {fence.rung}: {fence.state}{f': {fence.why}' if fence.why else ''}" for fence in decision.fences
    ]
    return lines


def _held_back(decision: Decision) -> list[str]:
    """All that stands in the way."""
    return [f"{HELD_BACK} {blocker}" for blocker in decision.blockers] if decision.act is Act.HOLD else []


def _node_line(status: NodeStatus) -> str:
    role = f", {status.role}" if status.role else ""
    why = f": {status.why}" if status.why else ""
    return f"node {status.node}{role}: {status.verdict}{why}"


def _replication(watched: Watched) -> list[str]:
    """Who receives from the primary, how far behind each is, and for whom log is kept."""
    primary = watched.nodes.get(watched.primary or "")
    if (
        primary is None
        or primary.seen is None
        or primary.database is None
        or primary.database.failing_since is not None
    ):
        return []  # what it told before it stopped answering is no news
    seen, lines = primary.seen, list[str]()
    for peer in seen.peers or ():
        behind = "" if peer.lag_bytes is None else f", {format_size(peer.lag_bytes)} behind"
        lines.append(f"standby {peer.name} receives{behind}{'; commits wait for it' if peer.is_synchronous else ''}")
    for slot in seen.slots:
        unused = "" if slot.is_active else ", and nobody receives by it"
        kept = f"keeps {format_size(slot.kept_bytes or 0)} of log{unused}"
        lines.append(f"slot {slot.name} {'has lost log that it needs' if slot.is_lost else kept}")
    return lines


def _has_database(watched: Watched) -> bool:
    return any(node.database is not None for node in watched.nodes.values())
