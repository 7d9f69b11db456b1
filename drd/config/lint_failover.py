"""Rules for runbooks that start by themselves: what starts them, who is asked, and one at most for a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from drd.config.declared import keys, words
from drd.config.documents import Entry, Report
from drd.config.yaml import Path, Spot
from drd.core.runbook import BEFORE_ANY_CHANGE
from drd.core.runbook_plan import run_order

_BY_ITSELF: Final = frozenset({"automatic", "approve"})
_PROMOTES: Final = "postgres_promote"
_APPROVES: Final = "approve"
_WAIT: Final = frozenset({"approve", "wait"})


def lint_start(entry: Entry, policy: Entry | None, actions: frozenset[str], report: Report) -> None:
    """What starts a runbook by itself, and that it asks where its mode says so."""
    triggers = entry.at(("triggers",))
    for index in range(len(triggers) if isinstance(triggers, list) else 0):
        _lint_health(entry, ("triggers", index, "health"), policy, report)
    _lint_guards(entry, actions, report)
    if entry.at(("mode",)) == "approve" and not _asks_first(entry, actions):
        sentence = (
            "`mode: approve` asks before anything is changed, and no step does: add one with `approve:` before the "
            "first that changes something, or write automatic or manual"
        )
        report(entry.problem(("mode",), sentence))


def _lint_health(entry: Entry, path: Path, policy: Entry | None, report: Report) -> None:
    health = entry.at(path)
    if not isinstance(health, dict) or not {"node", "is"} <= health.keys():
        return
    if health["node"] != "primary" or health["is"] != "down":
        sentence = (
            "`health`: a runbook is started when the primary is down, and for no other node or state: "
            "write {node: primary, is: down}, or let an alert start it with `alertmanager:`"
        )
        report(entry.problem(path, sentence, Spot.KEY))
    elif policy is not None and not policy.at(("nodes",)):
        sentence = "`health`: its policy names no nodes, so nobody sees it: add `nodes:` there, or remove this trigger"
        report(entry.problem(path, sentence, Spot.KEY))


def _lint_guards(entry: Entry, actions: frozenset[str], report: Report) -> None:
    """What would be passed over in silence: a runbook that promotes nobody is started once for a lost primary."""
    verbs = tuple(_verbs(entry, actions))
    if not verbs or _PROMOTES in verbs:
        return
    triggers = entry.at(("triggers",))
    called = [each for each in (triggers if isinstance(triggers, list) else ()) if isinstance(each, dict)]
    is_called = any(key in each for each in called for key in ("alertmanager", "webhook"))
    for name in keys(entry, ("guards",)):
        if name == "max_lag":
            sentence = "`max_lag` is about the standby that is promoted, and this runbook promotes none: remove it"
        elif name in ("hold_down", "per_day") and not is_called:
            sentence = (
                f"`{name}` holds back what alerts and calls start, and this runbook is started by neither, for a lost "
                "primary once in each outage: remove it"
            )
        else:
            continue
        report(entry.problem(("guards", name), sentence, Spot.KEY))


def _asks_first(entry: Entry, actions: frozenset[str]) -> bool:
    """Whether an approval comes before the first change: as the steps are run, whatever order they are written in."""
    for number in range(len(stages) if isinstance(stages := entry.at(("stages",)), list) else 0):
        for path in _as_run(entry, ("stages", number, "steps")):
            for verb in (key for key in keys(entry, path) if key in actions):
                if verb == _APPROVES:
                    return True
                if verb not in BEFORE_ANY_CHANGE:
                    return False
    return True


def _as_run(entry: Entry, stage: Path) -> Iterator[Path]:
    """The paths of a stage's steps, one that needs a later one behind it."""
    steps = entry.at(stage)
    # A title that lacks or stands twice is told elsewhere.
    places = {
        str(entry.at((*stage, index, "step"))): index for index in range(len(steps) if isinstance(steps, list) else 0)
    }
    needs = {title: [name for _, name in words(entry, (*stage, index, "needs"))] for title, index in places.items()}
    yield from ((*stage, places[title]) for title in run_order(needs))


def lint_consent(entry: Entry, steps: Iterable[Path], report: Report) -> None:
    """A no ends the run, and it is written what silence means, and from when on it counts."""
    for path in steps:
        for verb in _WAIT & set(keys(entry, path)):
            if entry.at((*path, "timeout")) is not None:
                sentence = f"`timeout`: how long it waits, `{verb}` says itself: remove this"
                report(entry.problem((*path, "timeout"), sentence, Spot.KEY))
        if _APPROVES in keys(entry, path) and entry.at((*path, "on_failure")) == "continue":
            sentence = "a refusal must not be passed over: write stop, undo or ask"
            report(entry.problem((*path, "on_failure"), sentence))
        wait = entry.at((*path, "wait"))
        # A run that was begun by an older release may wait without an end, a file may not.
        if "wait" in keys(entry, path) and (wait is None or wait == {}):
            sentence = (
                "`wait`: what happens when nobody says so? Write {within: 4h, on_timeout: stop}, or continue; or "
                "{for: 10m} to let time pass"
            )
            report(entry.problem((*path, "wait"), sentence, Spot.KEY))


def _verbs(entry: Entry, actions: frozenset[str]) -> Iterator[str]:
    """The actions of all steps, in their order."""
    stages = entry.at(("stages",))
    for number, stage in enumerate(stages if isinstance(stages, list) else ()):
        steps = stage.get("steps") if isinstance(stage, dict) else None
        for index in range(len(steps) if isinstance(steps, list) else 0):
            yield from (key for key in keys(entry, ("stages", number, "steps", index)) if key in actions)


def lint_failovers(
    policies: tuple[Entry, ...], runbooks: Mapping[str, Entry], actions: frozenset[str], report: Report
) -> None:
    """No node of one policy that is failed over by itself is a node of another such policy."""
    owners: dict[str, str] = {}
    for policy in policies:
        if not any(_fails_over(runbooks.get(name), actions) for name in _named(policy)):
            continue
        for path, node in words(policy, ("nodes",)):
            owner = owners.setdefault(node, str(policy.at(("policy",))))
            if owner != policy.at(("policy",)):
                sentence = (
                    f"`{node}` is replaced by itself for the policy `{owner}` as well, and two would promote one "
                    "after the other: write `mode: manual` in one of their runbooks"
                )
                report(policy.problem(path, sentence))


def _named(policy: Entry) -> list[str]:
    return [str(policy.at(("disasters", name, "runbook"))) for name in keys(policy, ("disasters",))]


def _fails_over(runbook: Entry | None, actions: frozenset[str]) -> bool:
    return runbook is not None and runbook.at(("mode",)) in _BY_ITSELF and _PROMOTES in _verbs(runbook, actions)
