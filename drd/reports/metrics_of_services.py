"""What Prometheus is told of services as their users reach them."""

from __future__ import annotations

from collections.abc import Iterator

from drd.core.outage import ServiceState
from drd.ports.control import ServiceStatus
from drd.reports.exposition import Family, gauge


def families_of_services(services: tuple[ServiceStatus, ...]) -> Iterator[Family]:
    """The series of every service that is looked at."""
    labelled = [(service, (("policy", service.policy),)) for service in services]
    yield gauge(
        "drd_service_up",
        "1 if the service answers its users, 0 if it does not; no series while nobody knows.",
        tuple(
            (labels, float(service.state is ServiceState.ANSWERS))
            for service, labels in labelled
            if service.state is not ServiceState.UNKNOWN
        ),
    )
    yield gauge(
        "drd_service_downtime_seconds",
        "How long the service did not answer in the time that objectives.downtime counts over, or in a year.",
        tuple((labels, service.down.total_seconds()) for service, labels in labelled),
    )
    yield gauge(
        "drd_service_downtime_allowed_seconds",
        "How long it may not answer in that time.",
        tuple((labels, service.allowed.total_seconds()) for service, labels in labelled if service.allowed is not None),
    )
