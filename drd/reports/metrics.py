"""What Prometheus is told: a pure function of the configuration and the catalogue.

Every series of a policy is there as soon as the policy is, and goes with it. No run, host or error text is a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain

from drd.core.catalogue import Pause, PolicyRecord, RestoreRecord, StoreRecord, damaged_stores
from drd.core.points import RecoveryPoint, counted_newest
from drd.core.policy import Mode, Outcome, Policy
from drd.core.requirements import Clause, rpo_in
from drd.ports.configuration import Configuration
from drd.ports.control import NodeStatus, ServiceStatus, WalStatus
from drd.ports.incidents import IncidentStatus
from drd.reports.exposition import Family, Sample, expose, gauge, seconds
from drd.reports.metrics_of_incidents import families_of_incidents
from drd.reports.metrics_of_nodes import families_of_failover, families_of_nodes
from drd.reports.metrics_of_services import families_of_services
from drd.reports.metrics_of_stores import families_of_stores
from drd.reports.metrics_of_wal import families_of_wal


@dataclass(frozen=True, slots=True)
class MetricsInput:
    """Everything that one scrape shows, as it is at one moment."""

    version: str
    restic: str
    """Version of the restic program."""
    configuration: Configuration
    is_last_reload_good: bool
    policies: Mapping[str, PolicyRecord]
    stores: Mapping[str, StoreRecord]
    newest: Mapping[tuple[str, str], RecoveryPoint]
    """(policy, store) → the newest good point there, also in a damaged store, where it does not count."""
    proven: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    """(policy, store) → the moment of the newest point whose copy there a restore has read."""
    restores: tuple[RestoreRecord, ...] = ()
    """The newest restores of each policy, oldest first."""
    requirements: Mapping[str, tuple[Clause, ...]] = field(default_factory=dict)
    """Policy → how each clause of its `require:` stands."""
    intervals: Mapping[str, timedelta] = field(default_factory=dict)
    """Policy → the longest time between two runs that its schedule allows; none for a policy without a schedule."""
    pauses: tuple[Pause, ...] = ()
    quarantined: frozenset[str] = frozenset()
    """Policies that mistakes in drd keep from being started by themselves."""
    away: frozenset[str] = frozenset()
    """Stores that do not answer."""
    free_bytes: Mapping[str, int] = field(default_factory=dict)
    """Room in the stores where it can be known."""
    wal: tuple[WalStatus, ...] = ()
    """Of the policies whose WAL is received."""
    services: tuple[ServiceStatus, ...] = ()
    """Those that are looked at as their users reach them."""
    nodes: tuple[NodeStatus, ...] = ()
    """Those that are watched."""
    held: Mapping[str, bool] = field(default_factory=dict)
    """Policy whose nodes are watched → whether its primary is lost and drd starts nothing."""
    rivals: Mapping[str, int] = field(default_factory=dict)
    """Policy whose nodes are watched → how many other daemons keep its heartbeat."""
    incidents: tuple[IncidentStatus, ...] = ()
    """The newest runs of runbooks, newest first."""
    is_chain_valid: bool = True
    """What the last verification of the journal found; true until one has been."""
    last_tick: datetime | None = None
    """When the scheduler's loop last came round."""


def render(snapshot: MetricsInput) -> bytes:
    """The whole scrape, in the text exposition format."""
    damaged = damaged_stores(snapshot.stores)
    snapshot = replace(
        snapshot,
        newest=counted_newest(snapshot.newest, damaged),
        proven={key: moment for key, moment in snapshot.proven.items() if key[1] not in damaged},
    )
    families = (_of_the_daemon, _of_policies, _of_copies, _of_restores)
    found = chain.from_iterable(each(snapshot) for each in families)
    stores = families_of_stores(snapshot.configuration.stores, snapshot.stores, snapshot.away, snapshot.free_bytes)
    nodes = chain(families_of_nodes(snapshot.nodes), families_of_failover(snapshot.held, snapshot.rivals))
    watched = chain(families_of_services(snapshot.services), nodes)
    incidents = families_of_incidents(snapshot.configuration.policies, snapshot.incidents)
    return expose(chain(found, stores, families_of_wal(snapshot.wal), watched, incidents))


def _of_the_daemon(snapshot: MetricsInput) -> Iterator[Family]:
    about = (("version", snapshot.version), ("restic", snapshot.restic), ("site", snapshot.configuration.site))
    yield Family("drd_build_info", "gauge", "Always 1; what runs is in the labels.", ((about, 1.0),))
    yield _single(
        "drd_config_last_reload_successful",
        "1 if the last reading of the configuration found no mistake.",
        float(snapshot.is_last_reload_good),
    )
    yield _single(
        "drd_journal_chain_valid",
        "1 if the last verification of the journal's hash chain found it whole.",
        float(snapshot.is_chain_valid),
    )
    yield _single(
        "drd_scheduler_last_tick_timestamp_seconds",
        "When the scheduler's loop last came round.",
        seconds(snapshot.last_tick),
    )


def _of_policies(snapshot: MetricsInput) -> Iterator[Family]:
    yield gauge(
        "drd_backup_interval_seconds",
        "The longest time between two runs that the schedule allows.",
        [((("policy", name),), interval.total_seconds()) for name, interval in _intervals(snapshot)],
    )
    yield gauge(
        "drd_paused_until_timestamp_seconds",
        "When a pause ends by itself; 0 without a pause.",
        _paused(snapshot),
    )
    yield gauge(
        "drd_policy_quarantined",
        "1 if mistakes in drd ended the last runs, so that nothing starts by itself.",
        [((("policy", name),), float(name in snapshot.quarantined)) for name in snapshot.configuration.policies],
    )
    records = [(name, snapshot.policies.get(name)) for name in snapshot.configuration.policies]
    yield gauge(
        "drd_policy_suspect",
        "1 if a run looks as if what it read had been destroyed: nothing is forgotten until a person has looked.",
        [((("policy", name),), float(record is not None and record.suspicion is not None)) for name, record in records],
    )
    last_runs = [(name, record.last_run if record else None) for name, record in records]
    yield Family(
        "drd_backup_runs_total",
        "counter",
        "Runs that started, whatever became of them.",
        tuple(((("policy", name),), float(record.runs if record else 0)) for name, record in records),
    )
    yield Family(
        "drd_backup_failures_total",
        "counter",
        "Runs that ended without a good recovery point, by the store that they wrote to or were to write to.",
        tuple(
            ((("policy", name), ("store", store), ("mode", mode.value)), float(_failures(record, store, mode)))
            for name, record in records
            for store in snapshot.configuration.policies[name].policy.backup.to
            for mode in dict.fromkeys((Mode.FULL, *_modes(snapshot.configuration.policies[name].policy)))
        ),
    )
    yield gauge(
        "drd_backup_last_start_timestamp_seconds",
        "When the newest run of a mode started.",
        [
            ((("policy", name), ("mode", mode.value)), seconds(record.last_start.get(mode) if record else None))
            for name, record in records
            for mode in _modes(snapshot.configuration.policies[name].policy)
        ],
    )
    yield gauge(
        "drd_backup_last_completion_timestamp_seconds",
        "When the newest run ended, whatever became of it.",
        [((("policy", name),), seconds(run.finished if run else None)) for name, run in last_runs],
    )
    yield gauge(
        "drd_backup_last_success_timestamp_seconds",
        "When the newest run that succeeded ended.",
        [((("policy", name),), seconds(record.last_success_finished if record else None)) for name, record in records],
    )
    yield gauge(
        "drd_backup_last_duration_seconds",
        "How long the newest run took.",
        [
            ((("policy", name),), (run.finished - run.started).total_seconds() if run and run.finished else 0.0)
            for name, run in last_runs
        ],
    )
    yield gauge(
        "drd_backup_last_added_bytes",
        "New data that the newest run wrote into its first store.",
        [((("policy", name),), float(run.added_bytes if run else 0)) for name, run in last_runs],
    )
    yield gauge(
        "drd_copies",
        "Stores that hold the newest good recovery point; one that is damaged does not count.",
        [((("policy", name),), float(_copies(snapshot, name))) for name in snapshot.configuration.policies],
    )
    yield gauge(
        "drd_requirement_met",
        "1 if the copies of a policy are what this clause of its require: asks for.",
        [
            ((("policy", name), ("clause", clause.name)), float(clause.is_met))
            for name in snapshot.configuration.policies
            for clause in snapshot.requirements.get(name, ())
        ],
    )


def _of_copies(snapshot: MetricsInput) -> Iterator[Family]:
    pairs = [
        (name, store, (("policy", name), ("store", store)))
        for name, protected in snapshot.configuration.policies.items()
        for store in protected.policy.backup.to
    ]
    created = {name: seconds(record.created) for name, record in snapshot.policies.items()}
    yield gauge(
        "drd_policy_created_timestamp_seconds",
        "Since when a policy is protected; stands in for a recovery point that is not there yet.",
        [(labels, created.get(name, 0.0)) for name, _, labels in pairs],
    )
    yield gauge(
        "drd_rpo_objective_seconds",
        "How old the newest recovery point in a store may be; off-site, what is promised for the loss of a site.",
        [
            (labels, objective.total_seconds())
            for name, store, labels in pairs
            if (objective := _objective(snapshot.configuration, name, store)) is not None
        ],
    )
    yield gauge(
        "drd_recovery_point_timestamp_seconds",
        "The moment of the newest good recovery point in a store; 0 without one, or in one that is damaged.",
        [
            (labels, seconds(point.moment if (point := snapshot.newest.get((name, store))) else None))
            for name, store, labels in pairs
        ],
    )
    yield gauge(
        "drd_recovery_point_proven_timestamp_seconds",
        "The moment of the newest recovery point in a store that a restore has read; 0 without one.",
        [(labels, seconds(snapshot.proven.get((name, store)))) for name, store, labels in pairs],
    )


def _of_restores(snapshot: MetricsInput) -> Iterator[Family]:
    rates: dict[tuple[str, str], float] = {}
    for record in snapshot.restores:
        if record.whole and record.outcome is Outcome.SUCCEEDED and record.seconds > 0:
            rates[record.policy, record.store] = record.bytes / record.seconds
    yield gauge(
        "drd_restore_bytes_per_second",
        "How fast the newest whole restore from a store was, with its verification; 0 without one.",
        [
            ((("policy", name), ("store", store)), rates.get((name, store), 0.0))
            for name, protected in snapshot.configuration.policies.items()
            for store in protected.policy.backup.to
        ],
    )


def _single(name: str, explanation: str, value: float) -> Family:
    return Family(name, "gauge", explanation, (((), value),))


def _intervals(snapshot: MetricsInput) -> list[tuple[str, timedelta]]:
    return [(name, snapshot.intervals[name]) for name in snapshot.configuration.policies if name in snapshot.intervals]


def _paused(snapshot: MetricsInput) -> list[Sample]:
    until = {(name, "backup"): 0.0 for name in snapshot.configuration.policies}
    for pause in snapshot.pauses:
        if pause.policy in snapshot.configuration.policies:
            key = (pause.policy, pause.what)
            until[key] = max(until.get(key, 0.0), seconds(pause.until))
    return [((("policy", name), ("what", what)), moment) for (name, what), moment in until.items()]


def _modes(policy: Policy) -> tuple[Mode, ...]:
    planned = ((Mode.FULL, policy.backup.full), (Mode.INCREMENTAL, policy.backup.incremental))
    return tuple(mode for mode, timing in planned if timing is not None) or (Mode.FULL,)


def _failures(record: PolicyRecord | None, store: str, mode: Mode) -> int:
    return record.failures.get(store, {}).get(mode, 0) if record is not None else 0


def _copies(snapshot: MetricsInput, policy: str) -> int:
    stores = snapshot.configuration.policies[policy].policy.backup.to
    points = [point for store in stores if (point := snapshot.newest.get((policy, store))) is not None]
    newest = max(points, key=lambda point: point.order, default=None)
    return len(newest.stores) if newest else 0


def _objective(configuration: Configuration, name: str, store: str) -> timedelta | None:
    is_offsite = configuration.stores[store].site != configuration.site
    protected = configuration.policies[name]
    return rpo_in(protected.policy, is_offsite=is_offsite, ships_wal=bool(protected.wal_stores))
