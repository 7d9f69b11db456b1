"""Whether whoever sends a policy's clients to another node could be told to, asked before that matters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

from drd.core.errors import DrdError
from drd.core.findings import Finding, Severity
from drd.core.runbook import NODE_ROLES, Runbook, Stage, Step
from drd.engines.runbook_plan import filled
from drd.ports.action import ClientsMove, Situation
from drd.ports.configuration import Configuration, Protected
from drd.ports.services import Services
from drd.ports.world import World

LOOK_SECONDS = 30.0
RUN = "RUN"
"""Stands for the run that there is none of."""


async def reach_proxies(world: World, configuration: Configuration, protected: Protected) -> tuple[Finding, ...]:
    """Ask the proxies and name servers that a policy's runbooks tell, for each of its nodes. Changes nothing."""
    policy = protected.policy
    found: dict[Finding, None] = {}
    for runbook in configuration.runbooks.values():
        for stage, step, move in _moves(runbook) if runbook.policy == policy.name else ():
            for node in policy.nodes:  # one after the other: a step may look at every node, and sshd lets in a few
                found |= dict.fromkeys(await _look(world, configuration, runbook, stage, step, move, node))
    return tuple(found)


def _moves(runbook: Runbook) -> Iterator[tuple[Stage, Step, ClientsMove]]:
    """The steps that send clients somewhere."""
    for stage in runbook.stages:
        for step in stage.steps:
            if isinstance(step.action, ClientsMove):
                yield stage, step, step.action


async def _look(
    world: World, configuration: Configuration, runbook: Runbook, stage: Stage, step: Step, move: ClientsMove, node: str
) -> tuple[Finding, ...]:
    own = {"policy": runbook.policy, "run": RUN, "incident": RUN, "disaster": runbook.disaster.value}
    at = Situation(
        world=world,
        services=cast(Services, None),  # no daemon runs here, and what moves clients asks nothing of it
        machines=configuration.machines,
        run=RUN,
        runbook=runbook.name,
        policy=runbook.policy,
        stage=stage.stage.value,
        step=step.title,
        variables={**dict.fromkeys(NODE_ROLES, node), **own},
        members=tuple(configuration.policies[runbook.policy].policy.nodes),
    )
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            missing = (await filled(move, at.variables).preview(at)).unchecked
    except TimeoutError:
        missing = (f"there is no answer within {LOOK_SECONDS:.0f} s",)
    except DrdError as error:
        missing = (error.message,)
    what, hint = f"runbook {runbook.name}, step {step.title}", f"drd runbook plan {runbook.name}"
    return tuple(Finding(what, each, hint, Severity.WARNING) for each in missing)
