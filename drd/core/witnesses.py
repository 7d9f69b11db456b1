"""Whether witnesses say of a node that it is gone, and not just slow or cut off from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drd.core.health import ClusterView
from drd.core.node_verdicts import Cause, NodeVerdict

_OPEN: Final = frozenset({Cause.UNKNOWN, Cause.OBSERVER_SUSPECT})
"""Verdicts that only say that drd itself cannot tell now."""


class NotLost(Exception):
    """A witness says otherwise, or there is none."""

    def __init__(self, message: str, *, is_open: bool = False) -> None:
        """`is_open`: nobody can tell yet, as when drd was only just started, and a later look may."""
        super().__init__(message)
        self.is_open = is_open


def confirmed_lost(
    view: ClusterView, verdicts: Mapping[str, NodeVerdict], node: str, *, by_probes: bool, by_standbys: bool
) -> str:
    """What the witnesses say. Raises `NotLost` unless all of those that are asked say that the node is gone."""
    if suspicion := view.doubt_of(node):
        raise NotLost(suspicion, is_open=True)
    said = []
    if by_probes:
        verdict = verdicts.get(node)
        cause = Cause.UNKNOWN if verdict is None else verdict.cause
        if verdict is None or not verdict.is_lost:
            raise NotLost(f"{node} is not seen to be lost: {cause}", is_open=cause in _OPEN)
        said.append(f"{node}: {verdict.cause}")
    if by_standbys:
        said += _of_standbys(view, node)
    return "; ".join(said)


def is_well_primary(view: ClusterView, verdicts: Mapping[str, NodeVerdict], node: str) -> bool:
    """Whether it is seen to lead and to be well, and nothing makes anybody doubt that."""
    verdict = verdicts.get(node)
    if view.observer.suspicion or verdict is None or verdict.cause is not Cause.WELL:
        return False
    seen, database = view.node(node).seen, view.node(node).database
    return seen is not None and seen.is_primary and database is not None and database.failing_since is None


def _of_standbys(view: ClusterView, node: str) -> list[str]:
    streak = view.node(node).database
    since = None if streak is None else streak.failing_since
    if since is None:
        raise NotLost(f"{node} answers drd")
    asked = [each for each in view.others(node) if each.seen is not None and each.seen_at > since]
    if not asked:
        raise NotLost(f"no standby has answered since {node} does not", is_open=True)
    for each in asked:
        heard = None if each.seen is None else each.seen.heard_seconds_ago
        if heard is not None and each.seen_at - heard > since:
            raise NotLost(f"{each.name} still receives from {node}")
    return [f"{each.name} receives nothing from it" for each in asked]
