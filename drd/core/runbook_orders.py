"""What a run of a runbook may be told to do next, each an order that the engine carries out and journals."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.run import Outcome
from drd.core.runbook_plan import PlannedStage
from drd.core.runbook_step import Doing, StepOutcome


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a step: journal the intent, then do it."""

    step: str


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether a step is done (or taken back) already."""

    step: str
    doing: Doing


@dataclass(frozen=True, slots=True)
class Undo:
    """Take a step back: journal the intent, then do it."""

    step: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """Journal what came of a step that nothing has to be done for."""

    step: str
    outcome: StepOutcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop what a step is doing."""

    step: str


@dataclass(frozen=True, slots=True)
class MissDeadline:
    """Journal that a stage is late."""

    stage: PlannedStage


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell people something, once."""

    topic: str
    people: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""

    outcome: Outcome
    message: str = ""


Order = Start | Check | Undo | Conclude | Cancel | MissDeadline | Tell | End
