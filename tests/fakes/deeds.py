"""Runbooks whose steps do what a test says, and a house that runs them."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar

from drd.core.runbook import Runbook
from drd.core.runbook_step import Answer, Silence, Waiting
from drd.ports.action import Action, Facts, Reference, Situation, node_references
from drd.ports.machines import Contact
from tests.fakes.house import FakeHouse, a_policy, protected


@dataclass
class Deeds:
    """What really happened, whatever drd remembers of it."""

    done: list[str] = field(default_factory=list)
    """Marks of steps that were begun, and of those that were taken back."""
    is_there: set[str] = field(default_factory=set)
    failing: dict[str, Exception] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    orders: dict[str, Facts] = field(default_factory=dict)
    """What is put on record before a step does its work."""
    found: dict[str, Facts] = field(default_factory=dict)
    """What is seen of a step that was done by hand."""
    rehearsed: list[str] = field(default_factory=list)
    situations: list[Situation] = field(default_factory=list)
    """Those in which steps were begun."""


DEEDS = Deeds()


class Deed(Action):
    """Does what the test says, and remembers it."""

    kind: ClassVar[str] = "deed"
    mark: str
    waiting: tuple[str, ...] = ()
    within: timedelta | None = None
    silence: Silence = Silence.STOP
    repeatable: bool = False
    drilled: bool = False
    node: str | None = None

    @property
    def is_undoable(self) -> bool:
        return True

    @property
    def is_repeatable(self) -> bool:
        return self.repeatable

    @property
    def waits(self) -> Waiting | None:
        return Waiting(self.waiting, self.within, self.silence) if self.waiting or self.within else None

    def references(self) -> tuple[Reference, ...]:
        return node_references(self.node)

    def summary(self) -> str:
        return f"do {self.mark}"

    async def is_done(self, at: Situation) -> Answer:
        assert at.since is not None
        return DEEDS.answers.get(self.mark, Answer.DONE if self.mark in DEEDS.is_there else Answer.NOT_DONE)

    async def apply(self, at: Situation) -> Facts:
        DEEDS.done.append(self.mark)
        DEEDS.situations.append(at)
        if self.mark in DEEDS.orders:
            await at.ordering(DEEDS.orders[self.mark])
        await asyncio.sleep(DEEDS.seconds.get(self.mark, 0))
        if self.mark in DEEDS.failing:
            raise DEEDS.failing.pop(self.mark)
        DEEDS.is_there.add(self.mark)
        return {"up": self.mark}

    async def found_by_hand(self, at: Situation) -> Facts:
        if (error := DEEDS.failing.pop(f"found {self.mark}", None)) is not None:
            raise error
        return DEEDS.found.get(self.mark, {})

    async def undo(self, at: Situation) -> Facts:
        DEEDS.done.append(f"not {self.mark}")
        return {}

    async def rehearse(self, at: Situation) -> Facts | None:
        if not self.drilled:
            return None
        DEEDS.rehearsed.append(self.mark)
        return {}


def a_step(mark: str, **more: Any) -> dict[str, Any]:
    own = {name: more.pop(name) for name in tuple(more) if name in Deed.model_fields}
    return {"step": f"Do {mark}", "action": Deed(mark=mark, **own), **more}


def a_runbook(*steps: dict[str, Any], name: str = "orders-loss", deadline: timedelta = timedelta(hours=1)) -> Runbook:
    return Runbook.model_validate(
        {
            "runbook": name,
            "policy": "orders",
            "disaster": "hardware",
            "activate_when": "it is lost",
            "deactivate_when": "it is back",
            "digest": "5e" * 32,
            "document": name,
            "stages": [{"stage": "recover", "owner": "anna", "deadline": deadline, "steps": list(steps)}],
        }
    )


def a_house(*runbooks: Runbook, after: FakeHouse | None = None, **objectives: Any) -> FakeHouse:
    house = FakeHouse(*(() if after else (protected(a_policy(objectives=objectives)),)), after=after)
    contacts = {"anna": Contact("Anna", (), "bob"), "bob": Contact("Bob")}
    known = {each.name: each for each in runbooks} or dict(after.in_force().runbooks if after else {})
    house.in_force.replace(replace(house.in_force(), runbooks=known, contacts=contacts))
    return house
