"""Plans of runbooks and incidents as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drd.core.units import format_duration, format_size
from drd.ports.incidents import IncidentStatus, RunbookPlan, StepLine, Times
from drd.reports.moments import local
from drd.reports.tables import heading, table

_STYLES = {"succeeded": "green", "done": "green", "failed": "red", "waiting": "yellow", "asking": "yellow"}
_MARKS = {"done": "✓", "failed": "✗", "running": "…", "asking": "?", "skipped": "-", "cancelled": "✗", "undone": "↶"}


def incident_table(incidents: Iterable[IncidentStatus], zone: ZoneInfo) -> Table:
    """One line an incident, the newest first."""
    rows = [
        [
            each.run,
            f"{each.runbook}{' (drill)' if each.is_drill else ''}",
            each.policy,
            local(each.started, zone),
            each.state,
            _long(each.times.rta),
        ]
        for each in incidents
    ]
    return table(["incident", "runbook", "policy", "started", "state", "RTA"], rows)


def incident_page(incident: IncidentStatus, zone: ZoneInfo) -> RenderableType:
    """Everything about one incident: where it stands, what it waits for, its times and its timeline."""
    words = f": {incident.words}" if incident.words else ""
    parts: list[RenderableType] = [
        heading(f"{incident.runbook}: {incident.disaster} disaster of {incident.policy}, {incident.state}"),
        Text(f"incident  {incident.run}{' (drill)' if incident.is_drill else ''}"),
        Text(f"started   {local(incident.started, zone)} by {incident.by}{words}"),
        Text(f"digest    {incident.digest[:16]}"),
    ]
    if incident.edited:
        parts.append(Text(incident.edited, style="yellow"))
    if incident.message:
        parts.append(Text(incident.message, style=_STYLES.get(incident.state, "")))
    if incident.held:
        parts.append(
            Text(f"waits: {incident.held}; to let it go on, type: drd resume {incident.policy}", style="yellow")
        )
    parts += [Text(f"waits for a person: {each.step}: {each.why}", style="yellow") for each in incident.questions]
    for stage in incident.stages:
        state = "over" if stage.is_over else "LATE" if stage.is_missed else f"until {local(stage.deadline, zone)}"
        parts += [Text(""), Text.assemble((stage.stage, "bold"), f"  owner {stage.owner}, {state}")]
        parts += [_step(step) for step in incident.steps if step.stage == stage.stage]
    parts += [Text(""), Text("times", style="bold"), *(Text(f"  {line}") for line in _times(incident.times, zone))]
    if incident.who:
        widest = max(len(each.who) for each in incident.who)
        lines = (Text(f"  {each.who:<{widest}}  {each.did}") for each in incident.who)
        parts += [Text(""), Text("who did what", style="bold"), *lines]
    parts += [Text(""), Text("timeline", style="bold"), *timeline(incident, zone)]
    return Group(*parts)


def timeline(incident: IncidentStatus, zone: ZoneInfo) -> list[RenderableType]:
    """What happened, each with the seconds since the outage began."""
    return [
        Text.assemble(
            (f"  {local(each.at, zone)} ", "dim"), (f"{_since(incident, each.at):>9}", "dim"), f"  {each.text}"
        )
        for each in incident.timeline
    ]


def plan_page(plan: RunbookPlan) -> RenderableType:
    """What a runbook would do: every command and target, time and data loss, and what was not looked at."""
    promised = f", promised within {format_duration(plan.rto)}" if plan.rto is not None else ""
    takes = f"about {_long(plan.expected)}" if plan.expected is not None else "not known: it was never run whole"
    parts: list[RenderableType] = [
        heading(f"{plan.runbook}: {plan.disaster} disaster of {plan.policy}; nothing was done"),
        Text(f"digest    {plan.digest[:16]}"),
        Text(f"it takes  {takes}{promised}"),
        *(Text(line) for line in plan.cost),
        *(Text(f"would not start: {blocker}", style="red") for blocker in plan.blockers),
        *(Text(f"not by itself: {blocker}", style="yellow") for blocker in plan.held),
    ]
    for stage in plan.stages:
        about = f"  owner {stage.owner}, over {format_duration(stage.deadline)} after the outage began"
        parts += [Text(""), Text.assemble((stage.stage, "bold"), about)]
        for place, line in enumerate((each for each in plan.lines if each.stage == stage.stage), start=1):
            took = f"  (took {_long(line.expected)} last)" if line.expected is not None else ""
            parts.append(Padding(Text(f"{place}. {line.step}{took}"), (0, 0, 0, 2)))
            parts += [Padding(Text(command, style="dim"), (0, 0, 0, 5)) for command in line.commands]
            parts += [Padding(Text(f"not checked: {each}", style="yellow"), (0, 0, 0, 5)) for each in line.unchecked]
    return Group(*parts)


def _step(step: StepLine) -> RenderableType:
    said = f": {step.message}" if step.message else ""
    line = Text.assemble(
        f"  {_MARKS.get(step.state, ' ')} {step.step}", (f"  {step.state}{said}", _STYLES.get(step.state, "dim"))
    )
    if step.by_hand and step.state in ("failed", "asking"):
        line.append(f"\n      by hand: {step.by_hand}")
    return line


def _times(times: Times, zone: ZoneInfo) -> list[str]:
    moments = {
        "t_good": times.good,
        "t_bad": times.bad,
        "t_declared": times.declared,
        "t_start": times.start,
        "t_fenced": times.fenced,
        "t_promoted": times.promoted,
        "t_up": times.up,
    }
    lines = [f"{name:<11} {local(moment, zone)}" for name, moment in moments.items() if moment is not None]
    if times.rta is None:
        lines.append("RTA         the service has not been seen to answer yet")
    elif times.rta_at_most is None:
        lines.append(f"RTA         {_long(times.rta)}, by the run itself: no look at `service:` fell into it")
    else:
        lines.append(f"RTA         {_long(times.rta)} to {_long(times.rta_at_most)}: since t_bad, and since t_good")
    parts = (
        ("detect", times.detect),
        ("decide", times.decide),
        ("act", times.act),
        ("wait for people", times.human_wait),
        ("verify", times.verify),
    )
    lines += [f"  {name:<15} {_long(part):>8}" for name, part in parts]
    if times.rto is not None:
        lines.append(f"RTO         {format_duration(times.rto)}, {_kept(times.is_kept, times.rta, times.rto)}")
    return lines + _losses(times)


def _kept(is_kept: bool | None, actual: timedelta | None, promised: timedelta) -> str:
    """An objective against what it was."""
    if is_kept is None or actual is None:
        return "open"
    return f"kept, with {_long(promised - actual)} left" if is_kept else f"MISSED by {_long(actual - promised)}"


def _losses(times: Times) -> list[str]:
    """What was lost, where that was measured."""
    lines = []
    if times.rpa is not None:
        less = "" if times.rpa_doubt is None else f", or up to {_long(times.rpa_doubt)} less"
        lines.append(f"RPA         {_long(times.rpa)} at most{less}, by the heartbeat in the database")
    if times.lost_bytes is not None:
        lines.append(f"            {format_size(times.lost_bytes)} of log that the old primary was seen to have")
    lines += _transactions(times)
    if times.rpo is not None and times.promoted is not None:
        kept = "not measured" if times.rpa is None else _kept(times.is_rpo_kept, times.rpa, times.rpo)
        lines.append(f"RPO         {format_duration(times.rpo)}, {kept}")
    return lines


def _transactions(times: Times) -> list[str]:
    """Which transactions were lost: exactly, where the old primary's own log was read."""
    match times.lost_transactions:
        case None if times.promoted is None:
            return []
        case None if times.lost_bound:
            return [
                f"lost        at most that: {times.lost_bound}",
                f"            the rest of it lies in {times.stranded}",
            ]
        case None:
            why = "the old primary was not brought back, and only its own log tells which transactions"
            return [f"lost        at most that: {why}"]
        case 0:
            return ["lost        no transaction: the old primary had none that is not here"]
        case number:
            exactly = f"exactly {number} transaction{'' if number == 1 else 's'}"
            return [f"lost        {exactly} that the old primary alone had", f"            listed in {times.stranded}"]


def _since(incident: IncidentStatus, at: datetime) -> str:
    return f"+{(at - incident.times.bad).total_seconds():.1f}s"


def _long(value: timedelta | None) -> str:
    if value is None:
        return "-"
    if value < timedelta(minutes=1):
        return f"{value.total_seconds():.1f}s"
    return format_duration(timedelta(seconds=round(value.total_seconds())))
