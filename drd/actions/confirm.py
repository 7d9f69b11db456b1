"""Confirming that a node is gone, and not just slow or cut off from here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.lists import OneOrMany
from drd.core.runbook import NodeName
from drd.ports.action import Action, Reference, node_references


class Witness(StrEnum):
    """Who is asked about a node."""

    OBSERVERS = "observers"
    PROBES = "probes"
    STANDBYS = "standbys"


class Confirm(Action):
    """Ask more than one witness whether a node is gone, not just slow."""

    kind: ClassVar[str] = "confirm"
    is_carried_out: ClassVar[bool] = False

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""
    by: Annotated[OneOrMany[Witness], Field(min_length=1)] = (Witness.OBSERVERS,)
    """`probes`: drd's own; `standbys`: what they see of their primary; `observers`: both."""

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Whom is asked about which node."""
        return f"ask {', '.join(self.by)} whether {self.node} is gone"
