"""What Prometheus is told of incidents: real runs of runbooks, the newest of each policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from drd.ports.incidents import IncidentStatus
from drd.reports.exposition import Family


def families_of_incidents(policies: Iterable[str], incidents: tuple[IncidentStatus, ...]) -> Iterator[Family]:
    """The series of every policy; `incidents` are newest first."""
    real = [each for each in incidents if not each.is_drill]
    newest: dict[str, IncidentStatus] = {}
    for each in real:
        newest.setdefault(each.policy, each)
    for name, about, found in (
        ("drd_incident_open", "Runbooks that run for the policy now.", _is_open),
        ("drd_incident_waiting", "Those of them that wait for a person.", _is_waiting),
        ("drd_incident_late_stages", "Stages of them that were not over by their deadlines.", _late_stages),
    ):
        yield Family(
            name,
            "gauge",
            about,
            tuple(
                ((("policy", policy),), float(sum(found(each) for each in real if each.policy == policy)))
                for policy in policies
            ),
        )
    ended = [(policy, each.times) for policy, each in newest.items() if each.finished is not None]
    for name, about, values in (
        (
            "drd_incident_rta_seconds",
            "How long the newest recovery took.",
            [(policy, times.rta) for policy, times in ended],
        ),
        ("drd_incident_rto_seconds", "What was promised for it.", [(policy, times.rto) for policy, times in ended]),
        ("drd_incident_rpa_seconds", "What it has lost at most.", [(policy, times.rpa) for policy, times in ended]),
        (
            "drd_incident_rpo_seconds",
            "What it was promised to lose at most.",
            [(policy, times.rpo) for policy, times in ended],
        ),
    ):
        yield Family(name, "gauge", about, tuple(_samples(values)))


def _samples(values: list[tuple[str, timedelta | None]]) -> Iterator[tuple[tuple[tuple[str, str], ...], float]]:
    for policy, value in values:
        if value is not None:
            yield (("policy", policy),), value.total_seconds()


def _is_open(incident: IncidentStatus) -> int:
    return int(incident.finished is None)


def _is_waiting(incident: IncidentStatus) -> int:
    return int(incident.finished is None and bool(incident.questions))


def _late_stages(incident: IncidentStatus) -> int:
    return 0 if incident.finished is not None else sum(stage.is_missed for stage in incident.stages)
