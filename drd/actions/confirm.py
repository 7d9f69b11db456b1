"""Confirming that a node is gone, and not just slow or cut off from here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.errors import DrdError, PermanentError
from drd.core.lists import OneOrMany
from drd.core.runbook import NodeName
from drd.ports.action import Action, Facts, Preview, Reference, Situation, node_references


class Witness(StrEnum):
    """Who is asked about a node."""

    OBSERVERS = "observers"
    PROBES = "probes"
    STANDBYS = "standbys"


class Confirm(Action):
    """Ask more than one witness whether a node is gone, not just slow."""

    kind: ClassVar[str] = "confirm"

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""
    by: Annotated[OneOrMany[Witness], Field(min_length=1)] = (Witness.OBSERVERS,)
    """`probes`: drd's own; `standbys`: what they see of their primary; `observers`: both."""

    @property
    def is_repeatable(self) -> bool:
        """A question more hurts nobody."""
        return True

    async def preview(self, at: Situation) -> Preview:
        """What the witnesses say now."""
        try:
            said = await self._ask(at)
        except DrdError as error:
            return Preview((self.summary(),), (error.message,))
        return Preview((f"{self.summary()} (now: {said})",))

    async def apply(self, at: Situation) -> Facts:
        """Ask. Raises `PermanentError` unless all witnesses say that it is gone.

        To a person who has started the run it tells what they say, and refuses only where the node leads and is well.
        """
        try:
            return {"note": await self._ask(at)}
        except DrdError as error:
            if not at.is_by_person:
                raise
            name = at.machine(self.node).name
            if at.services.is_well_primary(at.policy, name):
                raise PermanentError(
                    f"{name} leads, and is well",
                    "to hand over to another node, start a runbook with postgres_switchover",
                ) from error
            return {"note": f"{error.message}; {at.by} goes on all the same"}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Ask, and tell what they say: in a drill nothing is gone."""
        try:
            return {"note": await self._ask(at)}
        except DrdError as error:
            if at.services.view(at.policy) is None:
                raise
            return {"note": error.message}

    async def _ask(self, at: Situation) -> str:
        everybody = Witness.OBSERVERS in self.by
        by_probes, by_standbys = everybody or Witness.PROBES in self.by, everybody or Witness.STANDBYS in self.by
        return await at.services.confirm_lost(at.policy, at.machine(self.node).name, by_probes, by_standbys)

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Whom is asked about which node."""
        return f"ask {', '.join(self.by)} whether {self.node} is gone"
