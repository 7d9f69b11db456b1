"""Waiting for a person's approval."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.lists import OneOrMany
from drd.core.policy import Name
from drd.core.runbook_step import Silence, Waiting
from drd.core.units import PositiveDuration, format_duration
from drd.ports.action import Action, Reference, Referent


class Approve(Action):
    """Ask people for their approval; what their silence means has to be written down."""

    kind: ClassVar[str] = "approve"

    by: Annotated[OneOrMany[Name], Field(min_length=1)]
    """Names under `people:`; one of them is enough."""
    within: PositiveDuration
    """How long they are waited for."""
    on_timeout: Silence
    """What happens when nobody answers."""

    @property
    def waits(self) -> Waiting:
        """For one of the people."""
        return Waiting(self.by, self.within, self.on_timeout)

    def references(self) -> tuple[Reference, ...]:
        """The people."""
        return tuple(Reference(Referent.PERSON, name, ("by", index)) for index, name in enumerate(self.by))

    def summary(self) -> str:
        """Who is asked, and for how long."""
        return f"ask {' or '.join(self.by)} for approval; {self.on_timeout} after {format_duration(self.within)}"
