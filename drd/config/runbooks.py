"""The schema of a runbook file: the core's rules, and the actions, whose kinds are found at start."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pydantic import Field, ValidationError, create_model

from drd.config.kinds import Kinds
from drd.config.verbs import OneVerb, with_verbs
from drd.core.errors import UsageError
from drd.core.kinds import Model
from drd.core.runbook import Runbook, RunbookRules, Stage, StageRules, Step, StepRules

_STEPS: Any = Field(min_length=1, description="What is done, in order.")
_STAGES: Any = Field(min_length=1, description="detect, respond, recover, switch and reconstitute, in this order.")


class ActionRules(OneVerb):
    """One action."""


class StepFileRules(OneVerb, StepRules):
    """A line of a runbook: a title in words, one action, and how it is run."""


@lru_cache(maxsize=2)
def runbook_model(kinds: Kinds) -> type[RunbookRules]:
    """The schema of a runbook file with the kinds of action that were found."""
    action = with_verbs(ActionRules, "action", kinds.actions, "Action")
    optional: Any = action | None
    step_file = create_model(
        "StepFileRules",
        __base__=StepFileRules,
        __doc__=StepFileRules.__doc__,
        undo=(optional, Field(default=None, description="The action that takes this one back.")),
        done_when=(optional, Field(default=None, description="Its success shows that this step is done already.")),
    )
    step = with_verbs(step_file, "action", kinds.actions, "Step")
    steps: Any = tuple[step, ...]  # type: ignore[valid-type]
    stage = create_model("Stage", __base__=StageRules, __doc__=StageRules.__doc__, steps=(steps, _STEPS))
    stages: Any = tuple[stage, ...]
    return create_model("Runbook", __base__=RunbookRules, __doc__=RunbookRules.__doc__, stages=(stages, _STAGES))


def runbook_of(read: Any, digest: str, document: str = "{}") -> Runbook:
    """The core's runbook from a file that was read by `runbook_model`."""
    stages = tuple(_stage(stage) for stage in read.stages)
    return Runbook(**_own(read, RunbookRules), stages=stages, digest=digest, document=document)


def read_document(kinds: Kinds, document: str) -> Runbook:
    """The runbook of a document that a run has pinned. Raises `UsageError` when this drd does not understand it."""
    try:
        read = runbook_model(kinds).model_validate(json.loads(document))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{place}: {first['msg']}", "it was written for another version of drd") from error
    return runbook_of(read, "", document)


def _stage(read: Any) -> Stage:
    return Stage(**_own(read, StageRules), steps=tuple(_step(step) for step in read.steps))


def _step(read: Any) -> Step:
    others = {name: found.kind for name in ("undo", "done_when") if (found := getattr(read, name)) is not None}
    return Step(**_own(read, StepRules), action=read.kind, **others)


def _own(read: Any, rules: type[Model]) -> dict[str, Any]:
    return {name: getattr(read, name) for name in rules.model_fields}
