"""Whether what the runbooks of a policy do with its nodes could be done: rights, shells, and where drd itself runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from drd.clients.postgres.of_machines import dsn_of
from drd.clients.postgres.orders import demand_right
from drd.clients.postgres.promotion import asks_after_seconds, demand_right_to_promote
from drd.clients.postgres_node import PostgresNode
from drd.clients.this_machine import is_this_machine
from drd.clients.unit import demand_maskable, unit_state
from drd.core.errors import DrdError
from drd.core.fencing import Rung
from drd.core.findings import Finding, Severity
from drd.core.health import Hysteresis
from drd.core.runbook import Runbook, RunbookMode
from drd.core.silence import late_revocation
from drd.ports.configuration import Configuration, Protected
from drd.ports.machines import Machine
from drd.ports.world import World

PARAMETERS = ("synchronous_standby_names", "primary_slot_name")
PROMOTE, REJOIN, SWITCHOVER = "postgres_promote", "postgres_rejoin", "postgres_switchover"


def kinds_of(configuration: Configuration, policy: str) -> frozenset[str]:
    """The kinds of steps that a policy's runbooks have."""
    return frozenset(kind for runbook in _runbooks_of(configuration, policy) for kind in _kinds(runbook))


async def reach_nodes(world: World, configuration: Configuration, protected: Protected) -> tuple[Finding, ...]:
    """Look at each node of a policy whose runbooks promote. Changes nothing."""
    policy = protected.policy
    kinds = kinds_of(configuration, policy.name)
    if not kinds & {PROMOTE, SWITCHOVER}:
        return ()
    machines = [configuration.machines[name] for name in policy.nodes]
    by_itself = tuple(
        each.name
        for each in _runbooks_of(configuration, policy.name)
        if each.mode is RunbookMode.AUTOMATIC and PROMOTE in _kinds(each)
    )
    found = await asyncio.gather(*(_of_node(world, machine, kinds, by_itself) for machine in machines))
    fences = {rung for each in _runbooks_of(configuration, policy.name) if each.promotes for rung in each.fences}
    if Rung.REVOKE in fences and protected.watch is not None:
        rules = protected.watch.rules
        found += await asyncio.gather(*(_revoked_in_time(world, machine, rules) for machine in machines))
    return tuple(finding for findings in found for finding in findings)


def _runbooks_of(configuration: Configuration, policy: str) -> Iterator[Runbook]:
    return (each for each in configuration.runbooks.values() if each.policy == policy)


def _kinds(runbook: Runbook) -> frozenset[str]:
    return frozenset(step.action.kind for stage in runbook.stages for step in stage.steps)


async def _of_node(world: World, machine: Machine, kinds: frozenset[str], by_itself: tuple[str, ...]) -> list[Finding]:
    """What one node lacks. `by_itself` are the runbooks that promote another one without asking anybody."""
    what = f"node {machine.name}"
    found = []
    if is_this_machine(machine.host):
        message = "drd runs on the same machine: when that is lost, nobody replaces its primary"
        found.append(Finding(what, message, "run drd on a machine of its own", Severity.WARNING))
    try:
        dsn = await dsn_of(world.secrets, machine)
        for parameter in PARAMETERS:
            await demand_right(dsn, parameter)
        await demand_right_to_promote(dsn)
    except DrdError as error:
        found.append(Finding(what, error.message, error.hint, Severity.WARNING))
    try:
        state = await PostgresNode(world.runner, machine).state()
        if not state.is_guarded:
            found.append(_unguarded(machine, by_itself))
    except DrdError as error:
        message = error.message
        if not kinds & {REJOIN, SWITCHOVER}:
            message = f"nobody can tell whether PostgreSQL starts as a primary by itself after a reboot: {message}"
        found.append(Finding(what, message, error.hint, Severity.WARNING))
        return found
    if machine.unit is not None:
        try:
            demand_maskable(await unit_state(world.runner, machine), machine)
        except DrdError as error:
            found.append(Finding(what, error.message, error.hint, Severity.WARNING))
    return found


async def _revoked_in_time(world: World, machine: Machine, rules: Hysteresis) -> list[Finding]:
    """Whether a host that goes silent is certain to be so while `revoke` counts yet, with this node as a standby."""
    try:
        asks_after = await asks_after_seconds(await dsn_of(world.secrets, machine))
    except DrdError:
        return []  # which is told already
    late = late_revocation(rules, asks_after)
    if late is None:
        return []
    message = (
        f"wal_receiver_timeout is {2 * asks_after:g} s: of a host that goes silent drd is sure only after up to "
        f"{late.sure_after_seconds:g} s, and `revoke` counts for {late.counts_for_seconds:g} s after the last look"
    )
    milliseconds = int(2000 * late.asks_after_seconds)
    hint = f"ALTER SYSTEM SET wal_receiver_timeout = '{milliseconds}ms'; SELECT pg_reload_conf();"
    if milliseconds <= 0:
        hint = "under `health:` raise `fall:`, or the `timeout:` of its probe, so that it counts for longer"
    return [Finding(f"node {machine.name}", message, hint, Severity.WARNING)]


def _unguarded(machine: Machine, by_itself: tuple[str, ...]) -> Finding:
    """Where nobody is asked whether to promote, nobody looks either whether the old primary comes back beside it."""
    message = "PostgreSQL may start as a primary by itself after a reboot, beside the one that replaced it"
    hint = f"put systemd/postgresql-as-standby.conf into: systemctl edit {machine.unit or 'its unit'}; then restart it"
    if by_itself:
        message += f", so `mode: automatic` of {' and '.join(by_itself)} is refused"
        hint += ", or write `mode: approve` or `mode: manual`"
    return Finding(f"node {machine.name}", message, hint, Severity.BROKEN if by_itself else Severity.WARNING)
