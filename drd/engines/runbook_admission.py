"""Whether a run of a runbook may begin: what it has to be told, what it holds, and what pauses keep it from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from drd.core.catalogue import Pause
from drd.core.errors import AtWork, DrdError, RefusedByGuard, UsageError
from drd.core.holding import Hold, hold_of
from drd.core.incident import told_before
from drd.core.policy import Cause
from drd.core.runbook import KEPT_BY_RUNS, NODE_ROLES, SYNCHRONOUS, VARIABLES, Runbook
from drd.engines.runbook_plan import named_nodes, used_variables
from drd.engines.runbook_run import Tools
from drd.ports.journal import Catalogue

ASKED_FOR: Final = frozenset({"point", "place"})
"""Variables that a person gives at the start."""
LOOKED_AT: Final = 100
"""So many runs of a policy are looked through for what they leave for the next one."""
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


@dataclass(frozen=True, slots=True)
class StartOrder:
    """What a runbook is started with."""

    runbook: str
    by: str
    words: str = ""
    cause: Cause = Cause.MANUAL
    began: datetime | None = None
    """The outage's first symptom; None: now."""
    is_drill: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    against: tuple[str, ...] = ()
    """What would have kept drd from starting it by itself, and a person has overridden."""
    alert: str = ""
    """The occurrence of the alert that starts it."""
    overrides: bool = False
    """Whether a person starts it although failovers are paused."""
    fenced: str = ""
    """Who was told to lead by an earlier run, and neither does nor will, as the person says."""
    was_dead: bool = False
    """Whether the primary's process is gone already."""
    declared: datetime | None = None
    """When the primary was judged to be lost; None where nobody did but who starts this."""


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

    async def blockers(self, runbook: Runbook, order: StartOrder) -> tuple[DrdError, ...]:
        """All that keeps a run from beginning now: what is wrong with the order first, then guards, then other runs."""
        found: list[DrdError] = [*_untold(runbook, order.variables), *self._unknown(runbook, order.variables)]
        if (pause := await self._pause(runbook, order)) is not None:
            found.append(pause)
        if order.is_drill:
            return tuple(found)
        if (ordered := await self._ordered(runbook, order)) is not None:
            found.append(ordered)
        # Which nodes it would work with cannot be told from an order that names some that there are not.
        locks = () if isinstance(next(iter(found), None), UsageError) else self.locks(runbook, order.variables)
        return (*found, *await self._at_work(locks))

    async def overridden(self, runbook: Runbook, order: StartOrder) -> tuple[str, ...]:
        """What a person overrides or answers for by an order that is not refused, beside what the order names."""
        why = (await self.held(runbook.policy)).consent
        paused = (why,) if why and not any(each.startswith("paused") for each in order.against) else ()
        said = (f"{order.fenced} was told to take over before, and is fenced as {order.by} says",)
        return (*paused, *(said if order.fenced else ()))

    async def _pause(self, runbook: Runbook, order: StartOrder) -> RefusedByGuard | None:
        hold = await self.held(runbook.policy)
        if not hold.consent or (order.overrides and not hold.steps):
            return None
        resume = f"type: drd resume {runbook.policy}"
        return RefusedByGuard(
            f"no runbook of {runbook.policy} is started: {hold.steps or hold.consent}",
            resume if hold.steps else f"{resume}, or add: --override",
        )

    async def _ordered(self, runbook: Runbook, order: StartOrder) -> DrdError | None:
        """Why nobody else may be promoted: two would lead if the order of an earlier run came through after that."""
        known = self._known(runbook.policy).primary
        told = told_before(await self._catalogue.incidents(runbook.policy, LOOKED_AT), known)
        name = "" if told is None else told.told_to_lead
        if order.fenced and order.fenced != name:
            return UsageError(f"no earlier run has told {order.fenced} to take over", "leave out: --fenced")
        if told is None or order.fenced or not runbook.moves_primary:
            return None
        by_word = f"if you have seen that it is off, or was started anew since, add: --fenced {name}"
        why = f"run {told.run} has told {name} to take over, which may do so yet"
        # Fencing the one that was told is enough only as long as that run's own fence is: of the primary that was lost.
        policy = await self._catalogue.policy(runbook.policy)
        last = None if policy is None else policy.last_primary
        if last is not None and last.node != name and last.since > told.started:
            return RefusedByGuard(f"{why}, and {last.node} has led since, which has to be fenced as well", by_word)
        if runbook.promotes and order.variables.get("primary") == name:
            return None
        first = f"to have it fenced first, add: --set primary={name}; " if runbook.promotes else ""
        return RefusedByGuard(why, first + by_word)

    async def _at_work(self, locks: tuple[str, ...]) -> tuple[AtWork, ...]:
        shared = [(each, sorted(set(each.start.locks) & set(locks))) for each in await self._catalogue.open_incidents()]
        return tuple(
            AtWork(
                f"{record.runbook} works with {', '.join(nodes)} already, run {record.run}",
                f"type: drd incident show {record.run}",
            )
            for record, nodes in shared
            if nodes
        )

    def _unknown(self, runbook: Runbook, variables: Mapping[str, str]) -> Iterator[UsageError]:
        """Each variable has to be one, and each role that of a node that there is."""
        settable = sorted((VARIABLES.keys() | NODE_ROLES | {SYNCHRONOUS}) - OF_THE_RUN)
        if unknown := sorted(variables.keys() - set(settable) - KEPT_BY_RUNS):
            yield UsageError(
                f"no runbook can be told what {' and '.join(unknown)} is", f"what it can be told: {', '.join(settable)}"
            )
        configuration = self._tools.configuration()
        nodes = configuration.policies[runbook.policy].policy.nodes or tuple(configuration.machines)
        for role in sorted(NODE_ROLES & variables.keys()):
            if variables[role] and variables[role] not in nodes:
                yield UsageError(
                    f"{variables[role]} is no node of {runbook.policy}, so it cannot be the {role}",
                    f"its nodes: {', '.join(nodes) or 'none'}",
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


def together(blockers: Sequence[DrdError]) -> DrdError:
    """One error that names all of them, of the kind of the first."""
    first, hints = blockers[0], dict.fromkeys(each.hint for each in blockers if each.hint)
    if len(blockers) == 1:
        return first
    return type(first)("; ".join(each.message for each in blockers), "; ".join(hints))


def _untold(runbook: Runbook, variables: Mapping[str, str]) -> Iterator[UsageError]:
    """What it has to be told has to be there, and nothing that a run finds out."""
    if own := sorted(KEPT_BY_RUNS & variables.keys()):
        yield UsageError(f"a run finds out by itself what {' and '.join(own)} is", "leave it out")
    if lacking := sorted((used_variables(runbook) & ASKED_FOR) - variables.keys()):
        words = " ".join(f"--{name} {name.upper()}" for name in lacking)
        yield UsageError(f"{runbook.name} has to be told: {', '.join(lacking)}", f"add: {words}")
