"""Rules across the steps and stages of a runbook, and between it and the other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from drd.config.declared import Declared, Names, keys, refer, texts, typed, typed_value, unknown, words
from drd.config.documents import Entry, Report
from drd.config.lint_failover import lint_consent, lint_start
from drd.config.suggest import what_to_write
from drd.config.yaml import Path, Spot, Value
from drd.core.runbook import NODE_ROLES, OTHER_STANDBYS, VARIABLES, StageName
from drd.core.runbook_plan import run_order
from drd.core.units import PositiveDuration, format_duration
from drd.ports.action import Action, Reference, Referent

_VARIABLE: Final = re.compile(r"(?<!\$)\$\{([^}]*)\}?")
_ORDER: Final = {stage.value: place for place, stage in enumerate(StageName)}
_PROMOTES: Final = "postgres_promote"
_FENCES: Final = "fence"
_PRIMARY: Final = ("primary", "${primary}")
"""A node's own name is another's role after the first failover."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of the file, wherever it stands."""

    path: Path
    stage: int
    value: dict[str, Value]

    @property
    def title(self) -> str | None:
        title = self.value.get("step")
        return title if isinstance(title, str) else None


def lint_runbook(
    entry: Entry, declared: Declared, policy: Entry | None, actions: Mapping[str, type[Action]], report: Report
) -> None:
    """`policy` is the file of the policy that the runbook recovers, where there is one."""
    refer(entry, ("policy",), "policy", declared.policies, "", report)
    _lint_stages(entry, declared, policy, report)
    steps = tuple(_steps(entry))
    _lint_titles(entry, steps, report)
    _lint_needs(entry, steps, report)
    _lint_fences(entry, steps, report)
    _lint_done_when(entry, steps, report)
    lint_consent(entry, (step.path for step in steps), report)
    _lint_promoted(entry, steps, declared, policy, report)
    _lint_variables(entry, report)
    _lint_actions(entry, steps, declared, actions, report)
    _lint_start(entry, declared, report)
    lint_start(entry, policy, frozenset(actions), report)


def _steps(entry: Entry) -> Iterator[_Step]:
    stages = entry.at(("stages",))
    for number, stage in enumerate(stages if isinstance(stages, list) else ()):
        steps = stage.get("steps") if isinstance(stage, dict) else None
        for index, step in enumerate(steps if isinstance(steps, list) else ()):
            if isinstance(step, dict):
                yield _Step(("stages", number, "steps", index), number, step)


def _lint_stages(entry: Entry, declared: Declared, policy: Entry | None, report: Report) -> None:
    stages = entry.at(("stages",))
    latest: tuple[int, str] = (-1, "")
    longest: timedelta | None = None
    for number in range(len(stages) if isinstance(stages, list) else 0):
        path: Path = ("stages", number)
        refer(entry, (*path, "owner"), "person", declared.people, " under `people:`", report)
        name = entry.at((*path, "stage"))
        if isinstance(name, str) and name in _ORDER:
            latest = _lint_order(entry, (*path, "stage"), name, latest, report)
        deadline: timedelta | None = typed(entry, (*path, "deadline"), PositiveDuration)
        if deadline is None:
            continue
        if longest is not None and deadline <= longest:
            sentence = (
                f"`deadline`: it counts from the outage's start, as the stage before with {format_duration(longest)}: "
                "write a longer one"
            )
            report(entry.problem((*path, "deadline"), sentence))
        longest = deadline
        if name != StageName.RECONSTITUTE.value:
            _lint_rto(entry, (*path, "deadline"), deadline, policy, report)


def _lint_order(entry: Entry, path: Path, name: str, latest: tuple[int, str], report: Report) -> tuple[int, str]:
    place, before = latest
    if name == before:
        report(entry.problem(path, f"the stage `{name}` stands here a second time: put its steps into one stage"))
    elif _ORDER[name] < place:
        report(entry.problem(path, f"`{name}` comes before `{before}`: order the stages {', '.join(_ORDER)}"))
    return max(latest, (_ORDER[name], name))


def _lint_rto(entry: Entry, path: Path, deadline: timedelta, policy: Entry | None, report: Report) -> None:
    """The service answers again after `switch`, so up to there no deadline may lie beyond what was promised."""
    if policy is None:
        return
    disaster = entry.at(("disaster",))
    own = typed(policy, ("disasters", disaster, "rto"), PositiveDuration) if isinstance(disaster, str) else None
    rto: timedelta | None = own or typed(policy, ("objectives", "rto"), PositiveDuration)
    if rto is not None and deadline > rto:
        promise = format_duration(rto)
        sentence = f"`deadline`: the policy promises the service back within {promise}: write {promise} or less"
        report(entry.problem(path, sentence))


def _lint_titles(entry: Entry, steps: tuple[_Step, ...], report: Report) -> None:
    seen: set[str] = set()
    for step in steps:
        if step.title is not None and step.title in seen:
            report(entry.problem((*step.path, "step"), "another step has this title: give each its own"))
        seen.add(step.title or "")


def _lint_needs(entry: Entry, steps: tuple[_Step, ...], report: Report) -> None:
    by_title = {step.title: step for step in steps if step.title is not None}
    for step in steps:
        for path, title in words(entry, (*step.path, "needs")):
            needed = by_title.get(title)
            if needed is None:
                sentence = f"there is no step with this title: {what_to_write(title, by_title)}"
                report(entry.problem(path, f"`needs`: {sentence}"))
            elif needed.stage > step.stage:
                sentence = "that step stands in a later stage: name one of this stage or an earlier one"
                report(entry.problem(path, f"`needs`: {sentence}"))
            elif step.title is not None and _leads_to(title, step.title, by_title):
                sentence = "that step needs this one, in a circle: remove one of the needs"
                report(entry.problem(path, f"`needs`: {sentence}"))


def _leads_to(title: str, goal: str, by_title: Mapping[str, _Step]) -> bool:
    """Whether a step needs another one, itself or through others."""
    seen: set[str] = set()
    ahead = [title]
    while ahead:
        here = ahead.pop()
        if here == goal:
            return True
        needs = by_title[here].value.get("needs") if here in by_title and here not in seen else None
        seen.add(here)
        ahead += [need for need in needs if isinstance(need, str)] if isinstance(needs, list) else []
    return False


def _lint_fences(entry: Entry, steps: tuple[_Step, ...], report: Report) -> None:
    """No promotion without a fence that must have succeeded: two primaries lose data."""
    is_fenced = False
    fences_others: list[_Step] = []
    steps = tuple(_in_run_order(steps))
    last = max((place for place, step in enumerate(steps) if _PROMOTES in step.value), default=len(steps))
    for place, step in enumerate(steps):
        if _FENCES in step.value:
            if entry.at((*step.path, _FENCES, "node")) not in (None, *_PRIMARY):
                fences_others.append(step)
            # After the promotion another fence only makes the first one stronger.
            if step.value.get("on_failure") == "continue" and place < last:
                sentence = "a fence that failed must not be passed over: write stop or ask"
                report(entry.problem((*step.path, "on_failure"), sentence))
            is_fenced = True
        if _PROMOTES in step.value:
            for other in fences_others:
                sentence = "a promotion follows, before which the node that leads has to be fenced: write primary"
                report(entry.problem((*other.path, _FENCES, "node"), sentence))
            fences_others = []
        if _PROMOTES in step.value and is_fenced and _may_begin_beside_its_fence(steps[:place], step):
            sentence = (
                "it may begin before its fence is confirmed: put the fence into an earlier stage, or into `needs:`"
            )
            report(entry.problem((*step.path, _PROMOTES), sentence, Spot.KEY))
        if _PROMOTES in step.value and not is_fenced:
            sentence = "nothing fences the old primary before this promotion: add a step with `fence:` before it"
            report(entry.problem((*step.path, _PROMOTES), sentence, Spot.KEY))


def _in_run_order(steps: tuple[_Step, ...]) -> Iterator[_Step]:
    """As they are run; a step without a title, or with another's, keeps its place."""
    for stage in sorted({step.stage for step in steps}):
        own = [step for step in steps if step.stage == stage]
        titles = {step.title: step for step in own if step.title is not None}
        if len(titles) < len(own):
            yield from own
            continue
        needs = {title: _needs(step) for title, step in titles.items()}
        yield from (titles[title] for title in run_order(needs))


def _needs(step: _Step) -> tuple[str, ...]:
    needs = step.value.get("needs")
    listed = needs if isinstance(needs, list) else [needs]
    return tuple(need for need in listed if isinstance(need, str))


def _may_begin_beside_its_fence(before: tuple[_Step, ...], promotion: _Step) -> bool:
    """Whether every fence before it is of its own stage and parallel to it, or it to them, and it needs none."""
    by_title = {step.title: step for step in (*before, promotion) if step.title is not None}
    is_parallel = promotion.value.get("parallel") is True
    return not any(
        step.stage < promotion.stage
        or not (is_parallel or step.value.get("parallel") is True)
        or _leads_to(promotion.title or "", step.title or "", by_title)
        for step in before
        if _FENCES in step.value
    )


def _lint_done_when(entry: Entry, steps: tuple[_Step, ...], report: Report) -> None:
    """Whether a node is fenced, and who leads, is what drd has seen itself; a command that errs makes two primaries."""
    for step in steps:
        for verb in sorted({_FENCES, _PROMOTES} & step.value.keys()):
            if step.value.get("done_when"):
                sentence = f"`done_when`: whether a `{verb}` holds drd sees itself, and nothing else counts: remove it"
                report(entry.problem((*step.path, "done_when"), sentence, Spot.KEY))


def _lint_promoted(
    entry: Entry, steps: tuple[_Step, ...], declared: Declared, policy: Entry | None, report: Report
) -> None:
    """Who is promoted is a node of the policy: another database's standby would lead beside its own primary."""
    if policy is None:
        return
    members = {node for _, node in words(policy, ("nodes",))}
    for step in steps:
        node = entry.at((*step.path, _PROMOTES, "node"))
        if isinstance(node, str) and node in (declared.nodes or ()) and node not in members:
            sentence = f"`{node}` is no node of the policy: write best_standby, or add it to the `nodes:` of the policy"
            report(entry.problem((*step.path, _PROMOTES, "node"), sentence))


def _lint_variables(entry: Entry, report: Report) -> None:
    for path, text in texts(entry.value):
        for name in _VARIABLE.findall(text) if "${" in text else ():
            if name not in VARIABLES:
                instead = what_to_write(name, VARIABLES)
                sentence = f"`${{{name}}}` stands for nothing: {instead} (`$${{` is for a shell's own)"
                report(entry.problem(path, sentence))


def _lint_actions(
    entry: Entry, steps: tuple[_Step, ...], declared: Declared, actions: Mapping[str, type[Action]], report: Report
) -> None:
    for step in steps:
        for path in (step.path, (*step.path, "undo"), (*step.path, "done_when")):
            for verb in keys(entry, path):
                action: Action | None = typed_value(entry.at((*path, verb)), actions[verb]) if verb in actions else None
                for reference in action.references() if action is not None else ():
                    if sentence := _wrong(reference, declared):
                        report(entry.problem((*path, verb, *reference.path), sentence))


def _wrong(reference: Reference, declared: Declared) -> str:
    """What is wrong about a name in an action; empty where nothing is, or nobody can say."""
    kind, name = reference.kind, reference.name
    if kind is Referent.DATABASE:
        if declared.policies is not None and name in declared.policies and name not in declared.databases:
            instead = "say there with `service:` how its users reach it, or write here with `argv:` a program that does"
            return f"the policy `{name}` has no database: {instead}"
        kind = Referent.POLICY
    if name == OTHER_STANDBYS:
        return f"`{OTHER_STANDBYS}` are several nodes, which only `postgres_rejoin` takes: write one node or one role"
    known, section = _known(kind, declared)
    return "" if known is None or name in known else unknown(kind.value, name, known, section)


def _known(kind: Referent, declared: Declared) -> tuple[Names, str]:
    return {
        Referent.NODE: (declared.nodes, " under `nodes:`"),
        Referent.PERSON: (declared.people, " under `people:`"),
        Referent.POLICY: (declared.policies, ""),
        Referent.RUNBOOK: (declared.runbooks, ""),
        Referent.STORE: (declared.stores, " under `stores:`"),
    }[kind]


def _lint_start(entry: Entry, declared: Declared, report: Report) -> None:
    triggers = entry.at(("triggers",))
    if entry.at(("mode",)) == "automatic" and not triggers:
        sentence = "nothing starts this runbook by itself: add `triggers:`, or write approve or manual"
        report(entry.problem(("mode",), sentence))
    known = None if declared.nodes is None else {*declared.nodes, *NODE_ROLES}
    for index in range(len(triggers) if isinstance(triggers, list) else 0):
        refer(entry, ("triggers", index, "health", "node"), "node", known, " under `nodes:`", report)
