"""Which rights a policy needs outside of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from drd.app.build import make_world
from drd.app.recovering import kinds_of
from drd.core.errors import UsageError
from drd.core.node_grants import NodeGrants, node_grants
from drd.core.postgres.grants import Grants
from drd.ports.action import Action
from drd.ports.configuration import Configuration, Protected
from drd.ports.machines import Shell

RECOVERING: Final = frozenset({"fence", "postgres_promote", "postgres_rejoin", "postgres_switchover"})
"""Steps of runbooks that need more than a backup does."""


async def grants(
    configuration: Configuration, policy: str, address: str | None
) -> tuple[tuple[Grants, ...], tuple[NodeGrants, ...]]:
    """What to grant for every source of the policy, in order, and on the nodes that its runbooks work on.

    Raises `UsageError` when there is nothing to grant.
    """
    protected = configuration.policies.get(policy)
    if protected is None:
        known = ", ".join(sorted(configuration.policies)) or "none is configured"
        raise UsageError(f"there is no policy {policy}", f"one of: {known}")
    world = make_world(configuration)
    recovers = bool(kinds_of(configuration, policy) & RECOVERING)
    found = [await source.grants(world, address, recovers=recovers) for source in protected.sources.values()]
    needed = tuple(dict.fromkeys(grant for grants in found for grant in grants))
    of_nodes = tuple(_of_nodes(configuration, protected, recovers=recovers))
    if not needed and not of_nodes:
        raise UsageError(f"{policy} protects no database, so there is nothing to grant", f"drd explain {policy}")
    return needed, of_nodes


def _of_nodes(configuration: Configuration, protected: Protected, *, recovers: bool) -> Iterator[NodeGrants]:
    """The policy's own nodes, and those on which its runbooks work besides."""
    actions = tuple(_actions(configuration, protected.policy.name))
    for name, machine in configuration.machines.items():
        is_own = name in protected.policy.nodes
        if machine.shell is None:
            continue
        user = machine.shell.user
        given = [argv for action in actions for argv in action.commands_on(name, user, is_own=is_own)]
        unit = machine.unit if recovers and is_own else None
        if unit is not None or given:
            found = node_grants(name, user, unit, given)
            found = found if isinstance(machine.shell, Shell) else replace(found, ssh="")  # there is no sshd to tell
            if found.sudoers or found.ssh or found.not_granted:
                yield found


def _actions(configuration: Configuration, policy: str) -> Iterator[Action]:
    """Of all steps of a policy's runbooks, with those that take them back and that tell whether they are done."""
    for runbook in configuration.runbooks.values():
        for stage in runbook.stages if runbook.policy == policy else ():
            for step in stage.steps:
                specs = (step.action, step.undo, step.done_when)
                yield from (spec for spec in specs if isinstance(spec, Action))
