"""A runbook as its run needs it: the order of its steps and what may become of each, without what they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from drd.core.runbook import OnFailure
from drd.core.runbook_step import Waiting


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step."""

    title: str
    stage: str
    action: str = "command"
    summary: str = ""
    needs: tuple[str, ...] = ()
    is_parallel: bool = False
    is_beside: bool = False
    """Whether nothing but the run's end waits for it: the steps after it and the next stages go on meanwhile."""
    retry: int = 0
    on_failure: OnFailure = OnFailure.STOP
    waits: Waiting | None = None
    """Set where the step waits and does nothing."""
    is_repeatable: bool = False
    """Whether doing it twice is as good as doing it once."""
    looks_first: bool = False
    """Whether it looks itself at what is done already before it changes anything."""
    is_irreversible: bool = False
    """Whether nothing brings back what was before: what was done earlier is not taken back any more then."""
    is_undoable: bool = False
    is_undo_repeatable: bool = False
    relies_on: Mapping[str, timedelta] = field(default_factory=dict)
    """Kind of action → for how long it is believed that what such a step has done still holds when this one begins."""
    is_looked_at_last: bool = False
    """Whether the run ends well only if what it did still holds then."""

    @property
    def is_approval(self) -> bool:
        """Whether it asks people whether the run may go on."""
        return self.waits is not None and bool(self.waits.people)


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage."""

    name: str
    owner: str
    deadline: timedelta
    """From the outage's start."""
    deputy: str = ""
    """Who is told when the deadline is missed; the owner where there is none."""


@dataclass(frozen=True)
class RunPlan:
    """All stages and all steps. Steps of one stage stand in an order in which no one needs a later one.

    A step needs the approvals before it, whatever it says itself: nothing begins beside the question whether it may.
    """

    stages: tuple[PlannedStage, ...]
    steps: tuple[PlannedStep, ...]
    _by_title: dict[str, PlannedStep] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ordered = tuple(step for stage in self.stages for step in _ordered(self.of_stage(stage.name)))
        object.__setattr__(self, "steps", tuple(_behind_approvals(ordered)))
        object.__setattr__(self, "_by_title", {step.title: step for step in self.steps})

    def of_stage(self, stage: str) -> tuple[PlannedStep, ...]:
        """The steps of a stage, in order."""
        return tuple(step for step in self.steps if step.stage == stage)

    def step(self, title: str) -> PlannedStep:
        """The step of that title. Raises KeyError when there is none."""
        return self._by_title[title]

    def length(self, took: Mapping[str, timedelta]) -> timedelta:
        """How long a run takes in which each step takes so long: what is parallel, or beside, goes on at once.

        Raises KeyError for a step of which that is not known.
        """
        ends: dict[str, timedelta] = {}
        stage_begins = timedelta()
        for stage in self.stages:
            free = stage_begins
            steps = self.of_stage(stage.name)
            for step in steps:
                needed = (ends[title] for title in step.needs if title in ends)
                ends[step.title] = (
                    max(stage_begins if step.is_parallel else free, *needed, timedelta()) + took[step.title]
                )
                if not (step.is_parallel or step.is_beside):
                    free = ends[step.title]
            stage_begins = max((ends[step.title] for step in steps if not step.is_beside), default=stage_begins)
        return max(ends.values(), default=timedelta())

    def stage_of(self, title: str) -> PlannedStage:
        """The stage of the step of that title."""
        name = self.step(title).stage
        return next(stage for stage in self.stages if stage.name == name)


def run_order(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The titles of one stage as they are run: as written, but that a step has those that it needs before it."""
    placed: dict[str, None] = {}

    def place(title: str, waiting: frozenset[str]) -> None:
        # A circle is refused when the file is read; the first step would break one.
        for needed in needs[title]:
            if needed in needs and needed not in waiting and needed not in placed:
                place(needed, waiting | {needed})
        placed[title] = None

    for title in needs:
        if title not in placed:
            place(title, frozenset({title}))
    return tuple(placed)


def _ordered(steps: Sequence[PlannedStep]) -> Iterator[PlannedStep]:
    by_title = {step.title: step for step in steps}
    for title in run_order({step.title: step.needs for step in steps}):
        yield by_title[title]


def _behind_approvals(steps: Iterable[PlannedStep]) -> Iterator[PlannedStep]:
    approvals: list[str] = []
    for step in steps:
        # Two that are parallel are asked for at once: an approval changes nothing.
        is_asked_beside = step.is_approval and step.is_parallel
        yield step if is_asked_beside else replace(step, needs=tuple(dict.fromkeys((*step.needs, *approvals))))
        if step.is_approval:
            approvals.append(step.title)
