"""Failures that last are told once: when they are new, when they change, and again when they come back."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from drd.core.events import Body
from drd.ports.journal import Journal

Subject = TypeVar("Subject", bound=Hashable)


class ToldOnce(Generic[Subject]):
    """What was journaled of each subject. It is forgotten at the next start, which tells it once more."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._told: dict[Subject, str] = {}

    async def tell(self, subject: Subject, words: str, *bodies: Body) -> bool:
        """Journal the facts unless the same words were told of the subject last; returns whether it did.

        What the journal could not take was not told, and is new the next time. Raises what `Journal.append` raises.
        """
        if self._told.get(subject) == words:
            return False
        await self._journal.append(*bodies)
        self._told[subject] = words
        return True

    def over(self, subject: Subject) -> None:
        """It is over: when it comes back, it is news."""
        self._told.pop(subject, None)
