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


REMINDED_AFTER: Final = timedelta(minutes=5)
"""How long a question that has reached its owner stays without an answer before the deputy is told too."""
REMINDED_EVERY: Final = timedelta(hours=1)
"""How often both are told again from then on."""


def reminder_of(told: Mapping[str, Told], question: str) -> datetime | None:
    """When people are reminded of a question; None where it has reached nobody yet, so that it is put once more."""
    asked, reminded = told.get(question), told.get(reminding_of(question))
    if reminded is not None:
        return reminded.again or reminded.at + REMINDED_EVERY
    return None if asked is None or asked.delivered is None else asked.delivered + REMINDED_AFTER


def is_to_be_reminded(told: Mapping[str, Told], question: str, now: datetime) -> bool:
    """Whether that is so now."""
    due, last = reminder_of(told, question), told.get(reminding_of(question)) or told.get(question)
    # A clock that was set back must not keep people from being told.
    return due is not None and last is not None and not last.at <= now < due


def question_about(step: str, order: int, failures: int) -> str:
    """The topic under which people are asked what becomes of a step, once for each of its failures."""
    return f"question {step} {order}.{failures}"


def reminding_of(question: str) -> str:
    """The topic under which people are reminded of a question that nobody has answered."""
    return f"unanswered {question}"


def asks_for_a_decision(topic: str) -> bool:
    """Whether people have to decide something, for which they need to know what it costs."""
    return topic.startswith(("approval ", "waiting on ", "question ", "unanswered "))


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
