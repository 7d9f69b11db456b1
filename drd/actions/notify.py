"""Telling people."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.errors import TransientError
from drd.core.lists import OneOrMany
from drd.core.policy import Name
from drd.ports.action import Action, Facts, Preview, Reference, Referent, Situation


class Notify(Action):
    """Tell people what happens, at the addresses that drd.yaml gives for them.

    With `on_failure: continue` no later step waits until they are told: a chat that hangs delays no promotion.
    """

    kind: ClassVar[str] = "notify"
    is_waited_for: ClassVar[bool] = False

    people: Annotated[OneOrMany[Name], Field(min_length=1)]
    """Names under `people:`."""
    message: str | None = None
    """What to say beside the runbook's name, its stage and the time."""

    @property
    def is_repeatable(self) -> bool:
        """Told twice is better than not told."""
        return True

    async def preview(self, at: Situation) -> Preview:
        """Who would be told what."""
        return Preview((f"tell {', '.join(self.people)}: {self._words(at)}",))

    async def apply(self, at: Situation) -> Facts:
        """Tell all of them at once; one who is not reached makes the step fail after the others were told."""
        return await self._tell(at, self._words(at))

    async def rehearse(self, at: Situation) -> Facts | None:
        """The same, saying that it is a drill."""
        return await self._tell(at, f"DRILL, nothing is wrong: {self._words(at)}")

    async def _tell(self, at: Situation, words: str) -> Facts:
        if failures := await at.services.tell(self.people, words):
            raise TransientError("; ".join(failures), "look at `notify:` of these people in drd.yaml")
        return {}

    def _words(self, at: Situation) -> str:
        said = f"{at.runbook} for {at.policy}, stage {at.stage}, run {at.run}"
        return f"{said}: {self.message}" if self.message else said

    def references(self) -> tuple[Reference, ...]:
        """The people."""
        return tuple(Reference(Referent.PERSON, name, ("people", index)) for index, name in enumerate(self.people))

    def summary(self) -> str:
        """Who is told."""
        return f"tell {', '.join(self.people)}"
