"""From a runbook with its actions to the plan that the core advances, and to actions with their variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from drd.core.errors import PermanentError
from drd.core.kinds import Spec
from drd.core.runbook import NODE_ROLES, VARIABLES, OnFailure, Runbook, Stage, Step
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.ports.action import Action, Referent
from drd.ports.machines import Contact

_VARIABLE: Final = re.compile(r"(?<!\$)\$\{([^}]*)\}")


def plan_of(runbook: Runbook, contacts: Mapping[str, Contact], *, is_drill: bool = False) -> RunPlan:
    """The plan of a runbook; `contacts` tell whose deputy is whose. A drill does nothing that could hold or not."""
    stages = tuple(
        PlannedStage(stage.stage.value, stage.owner, stage.deadline, _deputy(contacts, stage.owner))
        for stage in runbook.stages
    )
    steps = tuple(_planned(stage, step, is_drill=is_drill) for stage in runbook.stages for step in stage.steps)
    return RunPlan(stages, steps)


def action_of(spec: Spec) -> Action:
    """The action that stands in a step."""
    return cast(Action, spec)


def filled(action: Action, variables: Mapping[str, str]) -> Action:
    """The action with what stands for each `${name}`. Raises `PermanentError` for one that nothing stands for."""
    changed = {
        name: _filled(value, variables) for name in type(action).model_fields if (value := getattr(action, name))
    }
    return action.model_copy(update=changed)


def used_variables(runbook: Runbook) -> frozenset[str]:
    """The variables that some step of a runbook names."""
    actions = [spec for stage in runbook.stages for step in stage.steps for spec in _specs(step)]
    texts = [text for spec in actions for name in type(spec).model_fields for text in _texts(getattr(spec, name))]
    return frozenset(name for text in texts for name in _VARIABLE.findall(text))


def named_nodes(runbook: Runbook, variables: Mapping[str, str]) -> frozenset[str]:
    """The nodes that some step of a runbook names itself, or by a variable that stands for one from the start."""
    actions = [action_of(spec) for stage in runbook.stages for step in stage.steps for spec in _specs(step)]
    named = {
        each.name
        for action in actions
        for each in filled(action, {name: f"${{{name}}}" for name in VARIABLES} | dict(variables)).references()
        if each.kind is Referent.NODE
    }
    roles = {variables[role] for role in NODE_ROLES & variables.keys() if any(mentions(each, role) for each in actions)}
    return frozenset(filter(None, named | roles))


def mentions(action: Action, name: str) -> bool:
    """Whether an action says a role or a variable of that name."""
    texts = [text for field in type(action).model_fields for text in _texts(getattr(action, field))]
    return any(text == name or f"${{{name}}}" in text for text in texts)


def _specs(step: Step) -> tuple[Spec, ...]:
    return tuple(spec for spec in (step.action, step.undo, step.done_when) if spec is not None)


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, tuple) else ()


def _filled(value: object, variables: Mapping[str, str]) -> object:
    if isinstance(value, tuple):
        return tuple(_filled(each, variables) for each in value)
    if not isinstance(value, str) or "${" not in value:
        return value

    def stands_for(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise PermanentError(
                f"${{{match[1]}}} stands for nothing in this run", f"type: drd runbook start … --set {match[1]}=VALUE"
            )
        return variables[match[1]]

    return _VARIABLE.sub(stands_for, value).replace("$${", "${")


def _deputy(contacts: Mapping[str, Contact], owner: str) -> str:
    contact = contacts.get(owner)
    return contact.deputy or "" if contact is not None else ""


def _planned(stage: Stage, step: Step, *, is_drill: bool) -> PlannedStep:
    action = action_of(step.action)
    undo = None if step.undo is None else action_of(step.undo)
    return PlannedStep(
        title=step.title,
        stage=stage.stage.value,
        action=action.kind,
        summary=action.summary(),
        needs=step.needs,
        is_parallel=step.parallel,
        is_beside=not action.is_waited_for and step.on_failure is OnFailure.CONTINUE,
        retry=step.retry,
        on_failure=step.on_failure,
        waits=action.waits,
        is_repeatable=action.is_repeatable,
        looks_first=action.looks_first,
        is_irreversible=step.irreversible or action.is_final,
        is_undoable=undo is not None or action.is_undoable,
        is_undo_repeatable=action.is_repeatable if undo is None else undo.is_repeatable,
        relies_on={} if is_drill else action.relies_on,
        is_looked_at_last=action.is_looked_at_last and not is_drill,
    )
