"""What Prometheus is told of nodes that are watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drd.core.node_verdicts import Cause
from drd.ports.control import NodeStatus
from drd.reports.exposition import Family, gauge


def families_of_nodes(nodes: tuple[NodeStatus, ...]) -> Iterator[Family]:
    """The series of every node that is watched."""
    labelled = [(node, (("policy", node.policy), ("node", node.node))) for node in nodes]
    yield gauge(
        "drd_node_up",
        "1 if the node is up, 0 if it is down or that is not known.",
        tuple((labels, float(node.state == "up")) for node, labels in labelled),
    )
    yield gauge(
        "drd_node_well",
        "1 if nothing is the matter with the node; what is, is told by drd status.",
        tuple((labels, float(node.verdict == Cause.WELL)) for node, labels in labelled),
    )
    yield gauge(
        "drd_node_primary",
        "1 if the node's database took writes when it was asked last.",
        tuple((labels, float(node.role == "primary")) for node, labels in labelled if node.role),
    )
    yield Family(
        "drd_probe_failures_total",
        "counter",
        "Looks at the node that failed since the daemon's start.",
        tuple(
            ((*labels, ("probe", probe)), float(count))
            for node, labels in labelled
            for probe, count in sorted(node.failures.items())
        ),
    )


def families_of_failover(held: Mapping[str, bool], rivals: Mapping[str, int]) -> Iterator[Family]:
    """What keeps drd from replacing a primary, of each policy whose nodes are watched."""
    yield gauge(
        "drd_failover_held",
        "1 if the primary is lost and drd starts nothing by itself; drd explain tells why.",
        tuple(((("policy", policy),), float(is_held)) for policy, is_held in held.items()),
    )
    yield gauge(
        "drd_rival_daemons",
        "Other daemons that keep the same heartbeat, so that this one replaces no primary.",
        tuple(((("policy", policy),), float(count)) for policy, count in rivals.items()),
    )
