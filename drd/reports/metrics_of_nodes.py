"""What Prometheus is told of nodes that are watched."""

from __future__ import annotations

from collections.abc import Iterator

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
