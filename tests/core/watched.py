"""Nodes as tests see them: results of looks, one after the other, folded into what is known."""

from dataclasses import replace
from typing import Any

from drd.core.health import ClusterView, Hysteresis, NodeView, Observer
from drd.core.node_verdicts import NodeVerdict, judge
from drd.core.position import Position
from drd.core.probing import DatabaseSeen, Failure, NodeRole, Peer, ProbeResult, Quorum, Sign

RULES = Hysteresis(every_seconds=1.0, timeout_seconds=0.5, fall=3, rise=3)
QUORUM = Quorum(1, ("two", "three"))
PEERS = (Peer("two", is_synchronous=True), Peer("three", is_synchronous=False))


def primary(offset: int = 1000, timeline: int = 1, **more: Any) -> DatabaseSeen:
    return DatabaseSeen("c1", NodeRole.PRIMARY, Position(timeline, offset, more.pop("forks", ())), started="a", **more)


def standby(offset: int = 1000, timeline: int = 1, **more: Any) -> DatabaseSeen:
    given: dict[str, Any] = {
        "replayed": offset,
        "heard_seconds_ago": 0.1,
        "is_receiving": True,
        "started": "b",
        **more,
    }
    return DatabaseSeen("c1", NodeRole.STANDBY, Position(timeline, offset, given.pop("forks", ())), **given)


def good(began: float, seen: DatabaseSeen | None = None, latency: float = 0.01, probe: str = "postgres") -> ProbeResult:
    return ProbeResult(probe, began, latency, database=seen)


def bad(
    began: float, failure: Failure = Failure.TIMEOUT, *signs: Sign, probe: str = "postgres", latency: float = 0.5
) -> ProbeResult:
    return ProbeResult(probe, began, latency, failure, f"{failure}", frozenset(signs))


def refused(began: float, *signs: Sign) -> ProbeResult:
    return bad(began, Failure.REFUSED, *signs, latency=0.001)


def a_node(name: str, *results: ProbeResult, priority: int = 0, rules: Hysteresis = RULES) -> NodeView:
    node = NodeView(name, priority)
    for result in results:
        node = node.after(result, rules)
    return node


def a_view(*nodes: NodeView, at: float = 10.0, primary: str | None = "one", **more: Any) -> ClusterView:
    return ClusterView(at, nodes, more.pop("rules", RULES), more.pop("observer", Observer()), primary)


def verdict(view: ClusterView, node: str = "one", before: NodeVerdict | None = None) -> NodeVerdict:
    return judge(view, {} if before is None else {before.node: before})[node]


def of_three(one: tuple[ProbeResult, ...], at: float = 10.0, **changes: Any) -> ClusterView:
    """A primary that went through `one`, and two standbys that answered just now; `changes` are of both of them."""
    seen = replace(standby(heard_seconds_ago=at), **changes)
    two = a_node("two", good(at - 0.2, replace(seen, replicates_as="two")))
    three = a_node("three", good(at - 0.2, replace(seen, replicates_as="three")))
    return a_view(a_node("one", *one), two, three, at=at)
