"""What people are told of a run, and when it is told again: a message that reaches nobody is as good as none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drd.core.events import PeopleTold

FIRST_DELAY: Final = timedelta(seconds=10)
LONGEST_DELAY: Final = timedelta(minutes=15)
"""How long after a message that reached nobody it is sent again: twice as long each time, from the first on."""
_MOST_DOUBLINGS: Final = 10


@dataclass(frozen=True, slots=True)
class Told:
    """What came of the newest try to tell people something."""

    at: datetime
    place: int
    """Its place among all tries of the run: clocks may be set back."""
    tries: int
    """How often nobody was reached since somebody was."""

    @property
    def delivered(self) -> datetime | None:
        """When somebody was reached; None where nobody was."""
        return self.at if not self.tries else None

    @property
    def again(self) -> datetime | None:
        """When it is sent again; None where somebody was reached."""
        if not self.tries:
            return None
        return self.at + min(FIRST_DELAY * (1 << min(self.tries - 1, _MOST_DOUBLINGS)), LONGEST_DELAY)


def told_again(told: Mapping[str, Told], body: PeopleTold, at: datetime) -> dict[str, Told]:
    """What people were told, after one more try."""
    is_delivered = len(body.failures) < len(set(body.people))
    before = told.get(body.topic)
    tries = 0 if is_delivered else 1 + (0 if before is None else before.tries)
    place = 1 + max((each.place for each in told.values()), default=0)
    return {**told, body.topic: Told(at, place, tries)}


def is_due(told: Told | None, now: datetime) -> bool:
    """Whether people have to be told now, for the first time or again."""
    if told is None:
        return True
    # A clock that was set back must not keep people from being told.
    return told.again is not None and not told.at <= now < told.again


def asking_for(step: str) -> str:
    """The topic under which people are asked for their approval of a step."""
    return f"approval {step}"


def waiting_on(step: str) -> str:
    """The topic under which they are told that it is waited for on, while a pause keeps silence from counting."""
    return f"waiting on {step}"


def asked_at(told: Mapping[str, Told], step: str) -> datetime | None:
    """When somebody was asked for the approval that is waited for now; None where nobody was."""
    asked = told.get(asking_for(step))
    return None if asked is None or is_told_to_wait(told, step) else asked.delivered


def is_told_to_wait(told: Mapping[str, Told], step: str) -> bool:
    """Whether people were told since they were asked that their silence does not count."""
    asked, waited = told.get(asking_for(step)), told.get(waiting_on(step))
    return asked is not None and waited is not None and waited.place > asked.place
