"""Whether it is certain that an old primary acknowledges no write any more, and by which rung that was confirmed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drd.core.health import ClusterView, Hysteresis, NodeView, fall_seconds
from drd.core.probing import Peer, Quorum


class Rung(StrEnum):
    """A way to fence."""

    SSH = "ssh"
    POWER = "power"
    REVOKE = "revoke"
    PROXY = "proxy"


A_PERSON: Final = "a person"
"""Stands for a rung where a person says that a node is fenced."""


class FenceState(StrEnum):
    """How far a rung got."""

    AVAILABLE = "available"
    """It can be tried."""
    CONFIRMED = "confirmed"
    """It was seen to hold."""
    FAILED = "failed"
    """It was tried, and nothing was seen to hold."""
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Fence:
    """One rung for the node that is to be fenced."""

    rung: Rung
    state: FenceState
    why: str = ""


class Clients(StrEnum):
    """How clients reach the database."""

    LIBPQ = "libpq"
    """They know all its nodes themselves."""
    PROXY = "proxy"
    """Through a proxy alone, so that cutting it off there cuts off all of them."""


def revocation(view: ClusterView, cut: Iterable[str] = ()) -> Fence:
    """Whether cutting standbys off keeps the primary from acknowledging a commit.

    A commit waits for W of N named standbys. With N − W + 1 of them cut off fewer than W are left, so that none is
    acknowledged. `cut` are nodes whose receivers were seen to be gone after they were told to stop. Counts only where
    the last look at the primary is young, showed that rule in force, and that nobody is let off it.
    """
    primary = next((node for node in view.nodes if node.name == view.primary), None)
    if primary is None or primary.seen is None:
        return _impossible("the primary has never been seen")
    quorum = primary.seen.quorum
    why_not = _why_not_by_quorum(quorum) or _why_too_old(primary, view)
    if quorum is None or why_not:
        return _impossible(why_not)
    if primary.seen.peers is None or sum(peer.is_synchronous for peer in primary.seen.peers) < quorum.needed:
        return _impossible("the last look at the primary did not show synchronous replication in force")
    if doubled := _doubled(quorum, primary.seen.peers):
        return _impossible(f"more than one standby replicates as {doubled}, so that cutting one off leaves another")
    needed = cuts_needed(quorum)
    reachable = {
        node.seen.replicates_as
        for node in view.others(primary.name)
        if node.seen is not None and not node.seen.is_primary and node.is_fresh(view.at, view.fresh_seconds)
    } & set(quorum.named)
    gone = {
        node.seen.replicates_as
        for node in view.others(primary.name)
        if node.name in set(cut) and node.seen is not None and node.seen.is_receiving is False
    } & reachable
    if len(gone) >= needed:
        return Fence(Rung.REVOKE, FenceState.CONFIRMED, f"{len(gone)} of {len(quorum.named)} standbys are cut off")
    if len(reachable) >= needed:
        return Fence(Rung.REVOKE, FenceState.AVAILABLE, f"{needed} of {len(quorum.named)} standbys have to be cut off")
    return _impossible(f"{needed} standbys have to be cut off, and drd reaches {len(reachable)} of those that count")


def left_cut_off(view: ClusterView) -> tuple[str, ...]:
    """Standbys that are cut off from a primary that answers, as where a run ended before anything was promoted.

    One that has not replayed all that it has may be about to be promoted by an order that was given before.
    """
    primary = next((node for node in view.nodes if node.name == view.primary), None)
    if primary is None or primary.seen is None or not primary.seen.is_primary:
        return ()
    if primary.database is None or primary.database.failing_since is not None:
        return ()
    was = primary.seen
    return tuple(
        node.name
        for node in view.others(primary.name)
        if node.seen is not None
        and node.seen.is_cut_off
        and node.is_fresh(view.at, view.fresh_seconds)
        and (node.seen.cluster, node.seen.position.timeline) == (was.cluster, was.position.timeline)
        and node.seen.replayed == node.seen.position.offset
    )


def cuts_needed(quorum: Quorum) -> int:
    """How many of the named standbys have to be cut off until no commit is confirmed: N − W + 1."""
    return len(quorum.named) - quorum.needed + 1


def _why_not_by_quorum(quorum: Quorum | None) -> str:
    if quorum is None or quorum.needed < 1:
        return "commits wait for no standby"
    if quorum.is_any:
        return "any standby of whatever name may confirm commits (`*`), so nobody can say who else does"
    if quorum.lowered_by:
        return f"commits of {', '.join(quorum.lowered_by)} wait for no standby"
    return ""


def _doubled(quorum: Quorum, peers: Iterable[Peer]) -> str:
    """A name that counts and that several standbys have, as a copy of one that nobody knows of; empty if there is none.

    PostgreSQL compares names without regard to case.
    """
    names = [peer.name.casefold() for peer in peers]
    return next((name for name in quorum.named if names.count(name.casefold()) > 1), "")


def _why_too_old(primary: NodeView, view: ClusterView) -> str:
    """What was seen long ago may have been changed since, by somebody who reaches the primary."""
    age = view.at - primary.seen_at
    return "" if age <= young_seconds(view.rules) else f"the last look at the primary is {age:.0f} s old"


def young_seconds(rules: Hysteresis) -> float:
    """For how long what the last look at the primary showed counts for a fence."""
    return 2 * fall_seconds(rules)


def proxy(view: ClusterView, clients: Clients, proxies: frozenset[str]) -> Fence:
    """Whether cutting the proxy cuts off every client: only where all came through it when last seen."""
    if clients is not Clients.PROXY:
        return Fence(Rung.PROXY, FenceState.IMPOSSIBLE, "clients reach the nodes without a proxy (clients: libpq)")
    primary = next((node for node in view.nodes if node.name == view.primary), None)
    found = None if primary is None or primary.seen is None else primary.seen.clients
    if found is None:
        return Fence(Rung.PROXY, FenceState.IMPOSSIBLE, "where the primary's clients come from is not known")
    if not proxies:
        return Fence(Rung.PROXY, FenceState.IMPOSSIBLE, "the proxy's own address is not known")
    if primary is not None and (why_not := _why_too_old(primary, view)):
        return Fence(Rung.PROXY, FenceState.IMPOSSIBLE, why_not)
    if others := sorted(found - proxies):
        return Fence(Rung.PROXY, FenceState.IMPOSSIBLE, f"clients came from elsewhere too: {', '.join(others)}")
    return Fence(Rung.PROXY, FenceState.AVAILABLE, "all clients came through the proxy")


def why_silence_is_not_served(rungs: Iterable[Rung], without_power: Iterable[str]) -> str:
    """Why a runbook that starts by itself cannot replace a host that went silent; empty where it can.

    `without_power` are the nodes that cannot be switched off from outside. A silent host answers no shell, so that only
    its power and, with synchronous replication, its standbys can make certain that it acknowledges nothing.
    """
    named, lacking = set(rungs), sorted(without_power)
    if Rung.REVOKE in named or (Rung.POWER in named and not lacking):
        return ""
    how = f"give {', '.join(lacking)} a `power:` in drd.yaml" if Rung.POWER in named else "add `power` to its fence"
    return f"a host that goes silent is not replaced without a person's approval: {how}, or `revoke`"


def _impossible(why: str) -> Fence:
    return Fence(Rung.REVOKE, FenceState.IMPOSSIBLE, why)
