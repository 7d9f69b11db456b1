"""Rules across the keys of a policy, and between it and the other files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from drd.config.declared import Declared, keys, refer, typed, words
from drd.config.documents import Entry, Report
from drd.config.policies import ONLY_PART
from drd.config.yaml import Path, Spot
from drd.core.cadence import longest_gap
from drd.core.crontab import CronError
from drd.core.forbidden import ForbiddenTime, ForbiddenTimeError, is_always_forbidden
from drd.core.plan import Plan, Recurrence
from drd.core.policy import DisasterClass, Keep, Require, Timing
from drd.core.requirements import RECEIVED_WITHIN, SHIPPED_WITHIN
from drd.core.units import PositiveDuration, format_duration

BACKUP: Final = "backup"
_DISASTERS: Final = frozenset(disaster.value for disaster in DisasterClass)
_AWAY: Final = frozenset({"site", "region"})
"""Disasters after which nothing of this site is left."""
_ANY_YEAR: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""What the clock changes of a time zone are looked up for; they hardly differ from year to year."""


def lint_policy(entry: Entry, declared: Declared, zone: ZoneInfo, report: Report) -> None:
    """Names, schedule, retention and requirements of a policy."""
    refer(entry, ("owner",), "person", declared.people, " under `people:`", report)
    refer(entry, ("nodes",), "node", declared.nodes, " under `nodes:`", report)
    refer(entry, (BACKUP, "to"), "store", declared.stores, " under `stores:` of drd.yaml", report)
    for disaster in keys(entry, ("disasters",)):
        refer(entry, ("disasters", disaster, "runbook"), "runbook", declared.runbooks, "", report)
    for path in (("nodes",), (BACKUP, "to")):
        _lint_repeated(entry, path, report)
    if entry.at(("health",)) is not None and not entry.at(("nodes",)):
        sentence = "`health` watches nodes, and the policy names none: add `nodes: [NAME]`, or remove it"
        report(entry.problem(("health",), sentence, Spot.KEY))
    _lint_parts(entry, report)
    _lint_schedule(entry, zone, report)
    _lint_windows(entry, report)
    _lint_maintenance(entry, report)
    _lint_keep(entry, report)
    _lint_require(entry, declared, report)


def _lint_repeated(entry: Entry, path: Path, report: Report) -> None:
    seen: set[str] = set()
    for place, name in words(entry, path):
        if name in seen:
            report(entry.problem(place, f"`{name}` is named twice: remove one"))
        seen.add(name)


def _lint_parts(entry: Entry, report: Report) -> None:
    sources = entry.at((BACKUP, "source"))
    if not isinstance(sources, list) or len(sources) < 2:
        return
    seen: set[str] = set()
    for index, source in enumerate(sources):
        if not isinstance(source, dict):
            continue
        verb = next((key for key in source if key != "part"), ONLY_PART)
        name = source.get("part") or verb
        if isinstance(name, str) and name in seen:
            path: Path = (BACKUP, "source", index, *(("part",) if "part" in source else ()))
            report(entry.problem(path, f"two sources are called `{name}`: give each a `part:` of its own"))
        seen.add(str(name))


def _lint_schedule(entry: Entry, zone: ZoneInfo, report: Report) -> None:
    backup = entry.at((BACKUP,))
    if not isinstance(backup, dict):
        return
    written = [mode for mode in ("full", "incremental") if backup.get(mode) is not None]
    if not written:
        sentence = 'neither `full` nor `incremental` says when it runs: add `full: {cron: "0 2 * * *"}`'
        report(entry.problem((BACKUP,), sentence, Spot.OWNER))
    if written == ["incremental"]:
        sentence = 'an incremental needs a full to begin from: add `full: {cron: "0 2 * * *"}` beside it'
        report(entry.problem((BACKUP, "incremental"), sentence, Spot.KEY))
    recurrences = {mode: _recurrence(entry, (BACKUP, mode), report) for mode in written}
    if None in recurrences.values():
        return
    _lint_rpo(entry, Plan("", zone, _ANY_YEAR, recurrences.get("full"), recurrences.get("incremental")), report)


def _recurrence(entry: Entry, path: Path, report: Report) -> Recurrence | None:
    """The timing at `path`; None if it has a mistake, which is reported here or was before."""
    written = [key for key in ("cron", "every") if entry.at((*path, key)) is not None]
    if isinstance(entry.at(path), dict) and len(written) != 1:
        sentence = "keep one of `cron` and `every`" if written else "say when: add `cron:` or `every:`"
        report(entry.problem(path, f"`{path[-1]}`: {sentence}", Spot.OWNER))
        return None
    timing: Timing | None = typed(entry, path, Timing)
    if timing is None:
        return None
    try:
        return _recurrence_of(timing)
    except CronError as error:
        report(entry.problem((*path, "cron"), f"`cron`: {error}"))
    return None


@lru_cache(maxsize=256)
def _recurrence_of(timing: Timing) -> Recurrence:
    return Recurrence.of(timing)


def _lint_windows(entry: Entry, report: Report) -> None:
    found: list[ForbiddenTime] = []
    for path, text in words(entry, (BACKUP, "window", "not")):
        try:
            found.append(ForbiddenTime.parse(text))
        except ForbiddenTimeError as error:
            report(entry.problem(path, f"`not`: {error}"))
    if is_always_forbidden(tuple(found)):
        report(entry.problem((BACKUP, "window", "not"), "`not`: it leaves no time to run in: write shorter times"))


def _lint_maintenance(entry: Entry, report: Report) -> None:
    windows = entry.at(("maintenance",))
    for index in range(len(windows) if isinstance(windows, list) else 0):
        for path, text in words(entry, ("maintenance", index, "every")):
            try:
                found = ForbiddenTime.parse(text)
            except ForbiddenTimeError as error:
                report(entry.problem(path, f"`every`: {error}"))
                continue
            if is_always_forbidden((found,)):
                report(entry.problem(path, "`every`: that is always: write shorter times, or `mode: manual`"))


def _lint_rpo(entry: Entry, plan: Plan, report: Report) -> None:
    """The gap between two runs alone must be shorter than what may be lost: the run and its copies come on top.

    With continuous WAL nothing hangs on the runs, but how soon WAL is safe here, and how soon off-site.
    """
    promised: list[Path] = [
        ("objectives", "rpo"),
        *(("disasters", name, "rpo") for name in keys(entry, ("disasters",))),
    ]
    if _has_continuous_wal(entry):
        for path in promised:
            _lint_rpo_of_wal(entry, path, report)
        return
    gap = _longest_gap(plan)
    if gap is None:
        return
    for path in promised:
        rpo: timedelta | None = typed(entry, path, PositiveDuration)
        if rpo is not None and rpo <= gap:
            sentence = (
                f"`rpo`: runs start up to {format_duration(gap)} apart, and each takes time: "
                f"write more than {format_duration(gap)}, or let the policy run more often"
            )
            report(entry.problem(path, sentence))


def _lint_rpo_of_wal(entry: Entry, path: Path, report: Report) -> None:
    rpo: timedelta | None = typed(entry, path, PositiveDuration)
    is_of_site = path[0] == "disasters" and path[1] in _AWAY
    least, where = (SHIPPED_WITHIN, "in every store") if is_of_site else (RECEIVED_WITHIN, "safe on this machine")
    if rpo is not None and rpo < least:
        within = format_duration(least)
        report(entry.problem(path, f"`rpo`: WAL is {where} within {within}, no sooner: write {within} or more"))


@lru_cache(maxsize=4096)
def _longest_gap(plan: Plan) -> timedelta | None:
    return longest_gap(plan)


def _lint_keep(entry: Entry, report: Report) -> None:
    keep: Keep | None = typed(entry, (BACKUP, "keep"), Keep)
    if keep is not None and not any(value for name, value in keep if name != "any_moment"):
        sentence = "`keep` keeps nothing: say how many, as `daily: 7`, or how long, as `within: 30d`"
        report(entry.problem((BACKUP, "keep"), sentence, Spot.OWNER))

    if keep is not None and keep.any_moment is not None and not _has_continuous_wal(entry):
        sentence = "`any_moment`: no source of the policy has `wal: continuous`: add that, or remove this"
        report(entry.problem((BACKUP, "keep", "any_moment"), sentence, Spot.KEY))


def _has_continuous_wal(entry: Entry) -> bool:
    sources = entry.at((BACKUP, "source"))
    kinds = [
        kind
        for source in (sources if isinstance(sources, list) else [sources])
        if isinstance(source, dict)
        for kind in source.values()
    ]
    return any(isinstance(kind, dict) and kind.get("wal") == "continuous" for kind in kinds)


def _lint_require(entry: Entry, declared: Declared, report: Report) -> None:
    """What is required of the copies can be had from the stores that are named."""
    require: Require | None = typed(entry, (BACKUP, "require"), Require)
    named = list(dict.fromkeys(name for _, name in words(entry, (BACKUP, "to"))))
    stores = declared.stores
    if require is None or not named or stores is None or any(name not in stores for name in named):
        return
    path: Path = (BACKUP, "require")
    if require.copies > len(named):
        sentence = f"`copies`: `to` names only {len(named)}: add stores, or write {len(named)} or less"
        report(entry.problem((*path, "copies"), sentence))
    if all(name in declared.store_sites for name in named):
        _lint_offsite(entry, (*path, "offsite"), require, named, declared, report)
    if require.distance is not None and all(name in declared.distances for name in named):
        _lint_distance(entry, (*path, "distance"), require, named, declared, report)
    media = {declared.media[name] for name in named if name in declared.media}
    if len(media) < require.media and all(name in declared.media for name in named):
        sentence = (
            f"`media`: the stores in `to` are all of {len(media)} kinds: add one of another kind, or ask for fewer"
        )
        if len(media) == 1:
            sentence = f"`media`: the stores in `to` are all {media.pop()}: add one of another kind, or ask for fewer"
        report(entry.problem((*path, "media"), sentence))
    immutable = [name for name in named if name in declared.immutable]
    if require.immutable > len(immutable):
        sentence = (
            f"`immutable`: {_count(immutable)} of the stores in `to` says how long it is immutable: "
            "add `immutable: 30d` to one in drd.yaml, or ask for fewer"
        )
        report(entry.problem((*path, "immutable"), sentence))


def _lint_offsite(
    entry: Entry, path: Path, require: Require, named: list[str], declared: Declared, report: Report
) -> None:
    away = [name for name in named if declared.store_sites[name] != declared.here]
    if require.offsite > len(away):
        sentence = (
            f"`offsite`: {_count(away)} of the stores in `to` is at another site than {declared.here}: "
            "add one that is, or ask for fewer"
        )
        report(entry.problem(path, sentence))


def _lint_distance(
    entry: Entry, path: Path, require: Require, named: list[str], declared: Declared, report: Report
) -> None:
    wanted = require.distance or 0.0
    far = [name for name in named if declared.distances[name] >= wanted]
    needed = max(require.offsite, 1)
    if len(far) >= needed:
        return
    kilometres, farthest = max((declared.distances[name] / 1000, name) for name in named)
    if require.offsite > 1:
        sentence = f"only {_count(far)} of the stores in `to` is as far away: add others, or ask for less"
    else:
        sentence = (
            f"the farthest store in `to`, `{farthest}`, is {kilometres:,.0f} km away: "
            "add one that is far enough, or ask for less"
        )
    report(entry.problem(path, f"`distance`: {sentence}"))


def _count(names: list[str]) -> str:
    return str(len(names)) if names else "none"


def lint_disasters(entry: Entry, runbooks: dict[str, Any], report: Report) -> None:
    """The runbook of each disaster is for this policy and this disaster."""
    policy = entry.at(("policy",))
    for disaster in keys(entry, ("disasters",)):
        path: Path = ("disasters", disaster, "runbook")
        runbook: Entry | None = runbooks.get(str(entry.at(path)))
        if runbook is None or disaster not in _DISASTERS:
            continue
        for key, wanted in (("policy", policy), ("disaster", disaster)):
            found = runbook.at((key,))
            if isinstance(found, str) and found != wanted:
                sentence = f"`{entry.at(path)}` is for the {key} `{found}`: name a runbook for `{wanted}`"
                report(entry.problem(path, sentence))
