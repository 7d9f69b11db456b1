"""Whether the standby that would take over may: asked once more just before it is told to, by what all answer then."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, replace

from drd.core.candidates import candidates
from drd.core.health import ClusterView
from drd.core.probing import Quorum


@dataclass(frozen=True, slots=True)
class Answering:
    """A standby that answers now."""

    node: str
    member: str
    """The name under which it replicates."""
    position: tuple[int, int]
    """The timeline and the offset up to which it has received."""


def unfit(view: ClusterView) -> Mapping[str, str]:
    """Node → why it may not be promoted, as drd has watched it.

    How long ago a node answered counts for nothing here: it is looked at now. Neither does what a daemon that has only
    just started does not know yet: the one before it has judged when the run began.
    """
    known = {node.name for node in view.nodes if node.seen is not None}
    if view.primary not in known and view.recalled is None:
        return {}
    looked_at = replace(view, nodes=tuple(replace(node, seen_at=view.at) for node in view.nodes))
    return {each.node: each.why_not for each in candidates(looked_at) if each.why_not and each.node in known}


def cluster_of(view: ClusterView | None) -> str:
    """The identifier of the database cluster whose primary was lost; empty where nobody knows it."""
    if view is None:
        return ""
    was = next((node.seen for node in view.nodes if node.name == view.primary), None)
    if was is not None:
        return was.cluster
    return "" if view.recalled is None else view.recalled.cluster


def lacking(view: ClusterView, chosen: str, best: Answering, answering: Set[str]) -> str:
    """Why a standby that is not the `chosen` one may lack what that has; empty where it has as much.

    `answering` are the nodes that answer now.
    """
    seen = next((node.seen for node in view.nodes if node.name == chosen), None)
    if seen is None:  # an earlier daemon knew
        return "" if chosen in answering else f"{best.node} may lack log that {chosen} has, which does not answer now"
    if best.position < (seen.position.timeline, seen.position.offset):
        return f"{best.node} lacks log that {chosen} was seen to have, which does not answer as a standby now"
    return ""


def unconfirmed(rule: Quorum | None, best: Answering, standbys: Collection[Answering]) -> str:
    """Why a standby may lack what was acknowledged; empty where it has all of it, or nobody can tell.

    A commit is on so many (W) of the N standbys that the old primary's rule names. So it is on one of R of them only if
    R + W > N, and on the best one if that has as much as each of these R.
    """
    if rule is None or rule.needed < 1 or rule.is_any:
        return ""
    heard = {each.member.casefold() for each in standbys if each.position <= best.position} & set(rule.named)
    if len(heard) + rule.needed > len(rule.named):
        return ""
    missing = [name for name in rule.named if name not in heard]
    return (
        f"{best.node} may lack what was acknowledged: commits were confirmed by {rule.needed} of "
        f"{', '.join(rule.named)}, and no standby answers as {' or '.join(missing)} that has no more than it"
    )


def promoted_meanwhile(view: ClusterView | None, lost: str | None, silent: Set[str]) -> str:
    """A node that is silent now and was seen to lead on a newer timeline than the lost one: somebody promoted it.

    Empty where there is none. One that led before the lost one did is of the past.
    """
    seen = {} if view is None else {node.name: node.seen for node in view.nodes if node.seen is not None}
    was = None if lost is None else seen.get(lost)
    if was is None:
        return ""
    newer = (
        name
        for name in sorted(silent & seen.keys())
        if seen[name].is_primary and seen[name].position.timeline > was.position.timeline
    )
    return next(newer, "")
