"""Whether a run of a runbook may begin: what it has to be told, what it holds, and what pauses keep it from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from drd.core.catalogue import Pause
from drd.core.errors import AtWork, RefusedByGuard, UsageError
from drd.core.holding import Hold, hold_of
from drd.core.runbook import KEPT_BY_RUNS, NODE_ROLES, SYNCHRONOUS, VARIABLES, Runbook
from drd.engines.runbook_plan import named_nodes, used_variables
from drd.engines.runbook_run import Tools
from drd.ports.journal import Catalogue

ASKED_FOR: Final = frozenset({"point", "place"})
"""Variables that a person gives at the start."""
OF_THE_RUN: Final = frozenset({"policy", "run", "incident", "disaster"})
"""Variables that nobody gives."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is seen of a policy's nodes, as a start needs it; empty where nothing is."""

    primary: str = ""
    cluster: str = ""
    """The identifier that all copies of one database share."""
    synchronous: str = ""
    """What the primary's commits wait for, as `synchronous_standby_names` says it."""


class Admission:
    """Asked before a run begins, and at each turn of one that is under way."""

    def __init__(self, tools: Tools, catalogue: Catalogue, known: Callable[[str], Known]) -> None:
        self._tools = tools
        self._catalogue = catalogue
        self._known = known
        self._pauses: tuple[Pause, ...] | None = None
        """As they were read last; None once one has begun or ended since."""
        self._changes = 0
        """How often one has."""

    def pauses_have_changed(self) -> None:
        """One has begun or ended."""
        self._pauses = None
        self._changes += 1

    def locks(self, runbook: Runbook, variables: Mapping[str, str]) -> tuple[str, ...]:
        """What a run of it keeps from all others: nodes, or the policy where it names none, and the cluster."""
        nodes = self._tools.configuration().policies[runbook.policy].policy.nodes
        cluster = self._known(runbook.policy).cluster
        others = sorted(named_nodes(runbook, variables) - set(nodes))
        own = (*(nodes or (f"policy {runbook.policy}",)), *others)
        return (*own, f"cluster {cluster}") if cluster else own

    async def demand_startable(self, runbook: Runbook, variables: Mapping[str, str], *, is_drill: bool = False) -> None:
        """Raises `RefusedByGuard` while it is paused, and `AtWork` while another run works with one of its nodes."""
        await self._demand_not_paused(runbook.policy)
        await self._demand_free(() if is_drill else self.locks(runbook, variables))

    async def demand_told(self, runbook: Runbook, variables: Mapping[str, str]) -> None:
        """Raises `UsageError` unless what it has to be told is there, and nothing that nobody knows."""
        if own := sorted(KEPT_BY_RUNS & variables.keys()):
            raise UsageError(f"a run finds out by itself what {' and '.join(own)} is", "leave it out")
        self._demand_known(runbook, variables)
        lacking = sorted((used_variables(runbook) & ASKED_FOR) - variables.keys())
        if lacking:
            words = " ".join(f"--{name} {name.upper()}" for name in lacking)
            raise UsageError(f"{runbook.name} has to be told: {', '.join(lacking)}", f"add: {words}")

    def _demand_known(self, runbook: Runbook, variables: Mapping[str, str]) -> None:
        """See that each variable is one, and that each role is that of a node that there is."""
        settable = sorted((VARIABLES.keys() | NODE_ROLES | {SYNCHRONOUS}) - OF_THE_RUN)
        if unknown := sorted(variables.keys() - set(settable)):
            raise UsageError(
                f"no runbook can be told what {' and '.join(unknown)} is", f"what it can be told: {', '.join(settable)}"
            )
        configuration = self._tools.configuration()
        nodes = configuration.policies[runbook.policy].policy.nodes or tuple(configuration.machines)
        for role in sorted(NODE_ROLES & variables.keys()):
            if variables[role] and variables[role] not in nodes:
                raise UsageError(
                    f"{variables[role]} is no node of {runbook.policy}, so it cannot be the {role}",
                    f"its nodes: {', '.join(nodes) or 'none'}",
                )

    async def _demand_not_paused(self, policy: str) -> None:
        if why := (await self.held(policy)).consent:
            raise RefusedByGuard(f"no runbook of {policy} is started: {why}", f"type: drd resume {policy}")

    async def _demand_free(self, locks: tuple[str, ...]) -> None:
        for record in await self._catalogue.open_incidents():
            shared = sorted(set(record.start.locks) & set(locks))
            if shared:
                raise AtWork(
                    f"{record.runbook} works with {', '.join(shared)} already, run {record.run}",
                    f"type: drd incident show {record.run}",
                )

    async def held(self, policy: str) -> Hold:
        """What the pauses of a policy keep its runs from now."""
        return hold_of(await self._paused(), policy, self._tools.world.clock.now())

    async def _paused(self) -> tuple[Pause, ...]:
        """The pauses, read once after each change: they are wanted at each turn of a run."""
        while self._pauses is None:
            before = self._changes
            found = await self._catalogue.pauses()
            if self._changes == before:
                self._pauses = found
        return self._pauses
