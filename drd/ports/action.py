"""Things that a runbook's steps do.

In this version runbooks are loaded, checked and shown, so an action declares what is checked and shown. Running it,
asking whether it is done, and its form in a drill come with the version that runs runbooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from drd.core.kinds import Spec
from drd.core.runbook import NODE_ROLES


class Referent(StrEnum):
    """What a name in an action stands for."""

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


class Action(Spec):
    """What one step of a runbook does."""

    def references(self) -> tuple[Reference, ...]:
        """The names of other things that this action mentions."""
        return ()


def node_references(name: str | None, key: str = "node") -> tuple[Reference, ...]:
    """The reference to a node of that name under `key`; a role or a variable stands for a node without naming one."""
    if name is None or name in NODE_ROLES or name.startswith("${"):
        return ()
    return (Reference(Referent.NODE, name, (key,)),)
