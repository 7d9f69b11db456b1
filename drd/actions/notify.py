"""Telling people."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.lists import OneOrMany
from drd.core.policy import Name
from drd.ports.action import Action, Reference, Referent


class Notify(Action):
    """Tell people what happens, at the addresses that drd.yaml gives for them."""

    kind: ClassVar[str] = "notify"

    people: Annotated[OneOrMany[Name], Field(min_length=1)]
    """Names under `people:`."""
    message: str | None = None
    """What to say beside the runbook's name, its stage and the time."""

    def references(self) -> tuple[Reference, ...]:
        """The people."""
        return tuple(Reference(Referent.PERSON, name, ("people", index)) for index, name in enumerate(self.people))

    def summary(self) -> str:
        """Who is told."""
        return f"tell {', '.join(self.people)}"
