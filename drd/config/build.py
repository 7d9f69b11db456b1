"""The configuration in force, from files in which no mistake was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path as FilePath
from typing import Any
from zoneinfo import ZoneInfo

from drd.config.policies import part_names
from drd.config.settings import Node as SettingsNode
from drd.config.settings import Settings
from drd.core.geography import great_circle_metres
from drd.core.health import Hysteresis, recovering_seconds
from drd.core.policy import BackupPlan, DisasterClass, Health, Policy
from drd.core.runbook import Runbook
from drd.ports.configuration import Configuration, Protected, wal_store
from drd.ports.machines import Contact, Machine, Shell, ShellCommand
from drd.ports.probe import ServiceWatch, Target, Watch
from drd.ports.servers import Node
from drd.ports.store import ConfiguredStore, Limits

_DAY = timedelta(days=1)


def configuration_of(
    file: FilePath,
    settings: Settings,
    policies: Iterable[Protected],
    runbooks: Iterable[Runbook],
    digest: str,
    warnings: tuple[str, ...],
    notes: tuple[str, ...] = (),
) -> Configuration:
    """Everything that was read, as the rest of drd knows it."""
    folder = file.absolute().parent
    protected = {each.policy.name: each for each in policies}
    return Configuration(
        site=settings.site,
        zone=ZoneInfo(settings.timezone),
        state=settings.state,
        data=None if settings.data is None else folder / settings.data,
        restic=settings.restic,
        listen=settings.http.listen,
        stores=_with_those_for_wal(_stores(settings), protected.values(), settings.state),
        policies=protected,
        runbooks={runbook.name: runbook for runbook in runbooks},
        people={key: person.name for key, person in settings.people.items()},
        machines={name: _machine(name, node) for name, node in settings.nodes.items()},
        contacts={
            name: Contact(each.name, each.notify, each.deputy, each.users or ())
            for name, each in settings.people.items()
        },
        digest=digest,
        warnings=warnings,
        notes=notes,
        tokens=settings.http.tokens,
        file=file.absolute(),
    )


def protected_of(read: Any, digest: str, file: FilePath, settings: Settings) -> Protected:
    """A policy with its sources, from a file that was read by `policy_model`."""
    nodes = tuple(_node(name, settings.nodes[name]) for name in read.nodes)
    parts = read.backup.source
    plan = BackupPlan.model_construct(**{name: getattr(read.backup, name) for name in BackupPlan.model_fields})
    health = Health.model_construct(**{name: getattr(read.health, name) for name in Health.model_fields})
    own: dict[str, Any] = {name: getattr(read, name) for name in Policy.model_fields}
    return Protected(
        policy=Policy.model_construct(**(own | {"backup": plan, "health": health})),
        sources={name: part.kind.among(nodes) for name, part in zip(part_names(parts), parts, strict=True)},
        digest=digest,
        file=file,
        watch=_watch(read, settings),
        service=_service(read),
    )


def _service(read: Any) -> ServiceWatch | None:
    """How the policy's service is looked at; None where nothing says how its users reach it."""
    if read.service is None:
        return None
    probe = read.service.kind
    every, timeout = read.service.every.total_seconds(), probe.timeout.total_seconds()
    rules = Hysteresis(every_seconds=every, timeout_seconds=timeout, fall=read.service.fall, rise=read.service.rise)
    return ServiceWatch(Target(policy=read.policy, node="", host=""), probe, rules)


def _watch(read: Any, settings: Settings) -> Watch | None:
    """How the policy's nodes are watched; None for a policy that names none."""
    if not read.nodes:
        return None
    probes = tuple(each.kind for each in read.health.probes)
    rules = Hysteresis(
        every_seconds=read.health.every.total_seconds(),
        timeout_seconds=max((probe.timeout.total_seconds() for probe in probes), default=1.0),
        fall=read.health.fall,
        rise=read.health.rise,
        recovering_seconds=recovering_seconds(_rto_of_a_crash(read)),
    )
    return Watch(tuple(_target(read.policy, name, settings.nodes[name]) for name in read.nodes), probes, rules)


def _rto_of_a_crash(read: Any) -> timedelta | None:
    """Within what time the service has to answer again after a crash; None where nothing is promised."""
    process = read.disasters.get(DisasterClass.PROCESS)
    promised: timedelta | None = None if process is None else process.rto
    return promised or read.objectives.rto


def _target(policy: str, name: str, declared: SettingsNode) -> Target:
    return Target(
        policy=policy,
        node=name,
        host=declared.host,
        site=declared.site,
        priority=declared.priority,
        dsn=None if declared.postgres is None else declared.postgres.dsn,
        has_shell=(declared.ssh or declared.shell) is not None,
        has_power=declared.power is not None,
    )


def _machine(name: str, declared: SettingsNode) -> Machine:
    return Machine(
        name,
        declared.host,
        _shell(declared),
        () if declared.power is None else declared.power.command,
        None if declared.postgres is None else declared.postgres.unit,
        None if declared.postgres is None else declared.postgres.dsn,
        declared.priority,
        None if declared.postgres is None else declared.postgres.data_directory,
        "" if declared.postgres is None else declared.postgres.replicates_as or "",
    )


def _shell(declared: SettingsNode) -> Shell | ShellCommand | None:
    if declared.shell is not None:
        return ShellCommand(declared.shell.user, declared.shell.command)
    ssh = declared.ssh
    return None if ssh is None else Shell(ssh.user, ssh.key, ssh.known_hosts, ssh.port)


def _node(name: str, declared: SettingsNode) -> Node:
    dsns = {} if declared.postgres is None else {"postgres": declared.postgres.dsn}
    return Node(name, dsns, declared.priority)


def distances(settings: Settings) -> Mapping[str, float]:
    """How far each site is from this daemon's, in metres."""
    here = settings.sites[settings.site]
    return {
        name: great_circle_metres(here.latitude, here.longitude, site.latitude, site.longitude)
        for name, site in settings.sites.items()
    }


def _stores(settings: Any) -> Mapping[str, ConfiguredStore]:
    distance = distances(settings)
    return {
        name: ConfiguredStore(
            name=name,
            place=store.kind,
            site=store.site,
            distance_metres=distance[store.site],
            password=store.password,
            immutable_days=None if store.immutable is None else store.immutable // _DAY,
            limits=Limits(store.limits.upload, store.limits.download, store.limits.at_once, store.limits.memory),
            independent=store.independent,
            cache=settings.state / "cache" / name,
        )
        for name, store in settings.stores.items()
    }


def _with_those_for_wal(
    stores: Mapping[str, ConfiguredStore], policies: Iterable[Protected], state: FilePath
) -> Mapping[str, ConfiguredStore]:
    """The stores, and beside each that WAL goes to one for that: nothing that is done to backups holds WAL up."""
    wanted = {store for each in policies if each.wal_origin is not None for store in each.policy.backup.to}
    beside = {
        wal_store(name): replace(
            store, name=wal_store(name), place=store.place.beside("wal"), cache=state / "cache" / wal_store(name)
        )
        for name, store in stores.items()
        if name in wanted
    }
    return {**stores, **beside}
