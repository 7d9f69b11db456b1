"""Things that a runbook's steps do.

An action declares what is checked and shown, and carries it out. It knows no other action and nothing of the order of
steps: that is `drd.core.runbook_next`, and the engine asks it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar

from drd.core.errors import PermanentError, UsageError
from drd.core.kinds import Spec
from drd.core.runbook import NODE_ROLES
from drd.core.runbook_step import Answer, Waiting
from drd.ports.machines import Machine
from drd.ports.services import Services
from drd.ports.world import World

Facts = Mapping[str, str]
"""What a step has found out and later steps, or the report of times, use: `up`, `fenced`, `new_primary` …"""


class Referent(StrEnum):
    """What a name in an action stands for."""

    DATABASE = "database"
    """A policy that protects a database."""
    NODE = "node"
    PERSON = "person"
    POLICY = "policy"
    RUNBOOK = "runbook"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in an action that must exist: it is checked when the file is read."""

    kind: Referent
    name: str
    path: tuple[str | int, ...]
    """Where it stands below the action's key."""


async def _nowhere(_facts: Facts) -> None:
    """Where there is no run, as in a preview, nothing is ordered."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an action is carried out: of which run, with which machines, beside which facts."""

    world: World
    services: Services
    machines: Mapping[str, Machine]
    run: str
    runbook: str
    policy: str
    stage: str = ""
    step: str = ""
    since: datetime | None = None
    """When the step was begun first."""
    is_again: bool = False
    """Whether it was begun before in this run, and nobody knows for sure how far that came."""
    timeout: timedelta | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """What `${name}` and the roles stand for by now."""
    members: tuple[str, ...] = ()
    """The nodes of the policy."""
    done: frozenset[str] = frozenset()
    """The kinds of the actions that are done in this run."""
    by: str = ""
    """Who started the run."""
    is_by_person: bool = False
    """Whether that is a person, and not drd or an alert."""
    ordering: Callable[[Facts], Awaitable[None]] = _nowhere
    """Puts on record what is chosen and about to be ordered; every later try of the run finds it in `variables`.

    Raises a `DrdError` when nothing can be put on record now: then nothing is ordered.
    """

    def machine(self, node: str) -> Machine:
        """The machine of a name or a role. Raises `PermanentError` when nothing tells which one has that role."""
        name = self.variables.get(node, "") if node in NODE_ROLES else node
        if not name:
            raise PermanentError(
                f"nothing in this run tells which node is the {node}", f"type: drd runbook start … --set {node}=NODE"
            )
        if name not in self.machines:
            raise UsageError(f"there is no node {name} in drd.yaml", "write it under `nodes:`")
        return self.machines[name]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do: each command with its target, and what could not be looked at from here."""

    commands: tuple[str, ...]
    unchecked: tuple[str, ...] = ()


class Action(Spec):
    """What one step of a runbook does."""

    is_final: ClassVar[bool] = False
    """Whether nothing brings back what was before, whatever the step says."""
    relies_on: ClassVar[Mapping[str, timedelta]] = MappingProxyType({})
    """Kind of action → for how long it is believed that what such a step has done still holds when this one begins.

    What is older is asked by `is_done` once more, and done once more unless it is.
    """
    looks_first: ClassVar[bool] = False
    """Whether it looks itself at what is done already before it changes anything, where `is_done` cannot tell too."""
    is_waited_for: ClassVar[bool] = True
    """Whether later steps wait for it also where they would go on if it failed."""
    is_looked_at_last: ClassVar[bool] = False
    """Whether somebody may take away what it has done while the run goes on: it is asked once more at its end."""

    @property
    def is_repeatable(self) -> bool:
        """Whether doing it twice is as good as doing it once."""
        return False

    @property
    def is_undoable(self) -> bool:
        """Whether it can take itself back."""
        return False

    @property
    def waits(self) -> Waiting | None:
        """What it waits for, where that is all that it does."""
        return None

    def references(self) -> tuple[Reference, ...]:
        """The names of other things that this action mentions."""
        return ()

    def commands_on(self, node: str, user: str, *, is_own: bool) -> tuple[tuple[str, ...], ...]:
        """The commands that it may give on a node as that user, besides those for its database: for `drd grants`.

        `is_own` says that the node is one of the policy's, so that roles may stand for it.
        """
        return ()

    async def preview(self, at: Situation) -> Preview:
        """What it would do now. Changes nothing."""
        return Preview((self.summary(),))

    async def is_done(self, at: Situation) -> Answer:
        """Whether it has been done already since `at.since`. Changes nothing; raises `DrdError` for unknown too."""
        return Answer.UNKNOWN

    async def found(self, at: Situation) -> Facts:
        """What `apply` would have told of something that is found to be done."""
        return {}

    async def found_by_hand(self, at: Situation) -> Facts:
        """What `apply` would have told of something that a person says to have done."""
        return await self.found(at)

    async def apply(self, at: Situation) -> Facts:
        """Do it. Raises `TransientError` when it may have taken effect all the same, other `DrdError`s when it failed.

        An action that only waits has none: the run's own loop waits.
        """
        raise PermanentError(f"{self.kind} is nothing that could be carried out", "do it by hand")

    async def undo(self, at: Situation) -> Facts:
        """Take it back."""
        raise PermanentError(f"{self.kind} cannot be taken back by itself", "write an `undo:` at the step")

    async def rehearse(self, at: Situation) -> Facts | None:
        """Its form in a drill, which touches nothing in production; None where there is none and it is skipped."""
        return None


class ClientsMove(Action):
    """Sends clients to a node: told twice it changes nothing more, and they can be sent back.

    Its `preview` asks whoever it would tell, and nothing of the rest of drd.
    """

    @property
    def is_repeatable(self) -> bool:
        """Those who are there already stay."""
        return True

    @property
    def is_undoable(self) -> bool:
        """They can go back to where they were."""
        return True


def node_references(name: str | None, key: str = "node") -> tuple[Reference, ...]:
    """The reference to a node of that name under `key`; a role or a variable stands for a node without naming one."""
    if name is None or name in NODE_ROLES or name.startswith("${"):
        return ()
    return (Reference(Referent.NODE, name, (key,)),)


def may_be(name: str | None, node: str, *, is_own: bool) -> bool:
    """Whether what an action calls a node may be that one; roles and variables stand for the policy's own nodes."""
    return name == node or (is_own and name is not None and (name in NODE_ROLES or name.startswith("${")))
