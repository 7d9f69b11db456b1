"""Runbooks as people read them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drd.core.runbook import OnFailure, Runbook, Stage, StageName, Step
from drd.core.units import format_duration
from drd.reports.tables import heading, table


def runbook_table(runbooks: Iterable[Runbook]) -> Table:
    """One line a runbook."""
    rows = [
        [
            runbook.name,
            runbook.policy,
            runbook.disaster.value,
            runbook.mode.value,
            str(sum(len(stage.steps) for stage in runbook.stages)),
            runbook.activate_when,
        ]
        for runbook in runbooks
    ]
    return table(["runbook", "policy", "disaster", "mode", "steps", "activate when"], rows, right=("steps",))


def runbook_page(runbook: Runbook) -> RenderableType:
    """The whole procedure, with every stage, also those that the file leaves empty."""
    about = [
        heading(f"{runbook.name}: {runbook.disaster.value} disaster of {runbook.policy}, {runbook.mode.value}"),
        *([Text(runbook.description)] if runbook.description else []),
        Text(f"activate when    {runbook.activate_when}"),
        Text(f"deactivate when  {runbook.deactivate_when}"),
        Text(f"digest           {runbook.digest[:16]}"),
    ]
    return Group(*about, *(part for name in StageName for part in _stage(name, runbook.stage(name))))


def _stage(name: StageName, stage: Stage | None) -> list[RenderableType]:
    if stage is None or not stage.steps:
        return [Text(""), Text.assemble((name.value, "bold"), "  (no steps)")]
    about = f"  owner {stage.owner}, over {format_duration(stage.deadline)} after the outage began"
    lines: list[RenderableType] = [Text(""), Text.assemble((name.value, "bold"), about)]
    for place, step in enumerate(stage.steps, start=1):
        lines.append(Padding(Text(f"{place}. {step.title}"), (0, 0, 0, 2)))
        lines += [Padding(Text(line, style="dim"), (0, 0, 0, 5)) for line in _details(step)]
    return lines


def _details(step: Step) -> list[str]:
    rules = [
        f"timeout {format_duration(step.timeout)}" if step.timeout else "",
        f"{step.retry} more tries" if step.retry else "",
        f"if it fails: {step.on_failure.value}" if step.on_failure is not OnFailure.STOP else "",
        "irreversible" if step.irreversible else "",
        "beside others" if step.parallel else "",
        f"after: {'; '.join(step.needs)}" if step.needs else "",
    ]
    lines = [f"{step.action.kind}: {step.action.summary()}", ", ".join(rule for rule in rules if rule)]
    lines += [f"undone by {step.undo.kind}: {step.undo.summary()}"] if step.undo else []
    lines += [f"by hand: {step.by_hand}"] if step.by_hand else []
    return [line for line in lines if line]
