"""What a run saw, held against what its policy is used to; and what a suspicion keeps from being forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drd.core.catalogue import PolicyRecord
from drd.core.entropy import Samples
from drd.core.events import SuspicionRaised
from drd.core.figures import NO_SAMPLES, RunFigures, Sighting, figures
from drd.core.policy import Mode, Outcome, Policy
from drd.core.suspicion import RUNS_LEARNED_FROM, suspect
from drd.ports.journal import Catalogue
from drd.ports.repository import Saved

RUNS_LOOKED_AT = 500
"""Where incrementals are frequent, so many runs back are looked through for those of the same mode."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a policy before one of its runs."""

    before: RunFigures | None
    """What the run before saw; None before the first one."""
    is_same_mode: bool
    usual: tuple[RunFigures, ...]
    """What the runs of the same mode saw, newest first, without the very first: to that, everything was new.

    What was seen before a person released a suspicion is usual: they have said that it was as it should be.
    """
    is_suspected: bool
    """Whether a suspicion stands: nothing is added to it."""
    is_first_there: bool
    """Whether the store that it writes to holds nothing of the policy."""


async def known_of(catalogue: Catalogue, policy: str, mode: Mode, store: str) -> Known:
    """What is known of a policy now: asked before its run, since afterwards the journal may not answer."""
    runs = [run for run in await catalogue.runs(policy, newest=RUNS_LOOKED_AT) if run.figures is not None]
    last = next((run for run in runs if run.outcome is Outcome.SUCCEEDED), None)
    seen = [run.figures for run in runs if run.mode is mode and run.figures is not None]
    record = await catalogue.policy(policy)
    return Known(
        before=last.figures if last is not None else None,
        is_same_mode=last is not None and last.mode is mode,
        usual=tuple(each for each in seen if each.files_before is not None)[:RUNS_LEARNED_FROM],
        is_suspected=record is not None and record.suspicion is not None,
        is_first_there=all(store not in point.stores for point in await catalogue.points(policy)),
    )


def look_at(
    policy: Policy, mode: Mode, saved: Iterable[Saved], known: Known, samples: Samples = NO_SAMPLES
) -> tuple[RunFigures, SuspicionRaised | None]:
    """What a run saw, and the suspicion that it raises, if any."""
    seen = figures(
        [_sighting(each) for each in saved],
        mode,
        known.before,
        is_same_mode=known.is_same_mode,
        is_first_there=known.is_first_there,
        samples=samples,
    )
    reasons = () if known.is_suspected else suspect(seen, known.usual, policy.backup.guard)
    return seen, SuspicionRaised(policy.name, "; ".join(reasons)) if reasons else None


def why_suspect(record: PolicyRecord | None) -> str:
    """Why nothing of a policy may be forgotten; empty where no suspicion stands."""
    if record is None or record.suspicion is None:
        return ""
    since = record.suspicion.since.isoformat(sep=" ", timespec="minutes")
    return f"the run of {since} is suspected: {record.suspicion.message}"


def _sighting(saved: Saved) -> Sighting:
    return Sighting(
        files=saved.total_files,
        bytes=saved.total_bytes,
        new_files=saved.files_new,
        changed_files=saved.files_changed,
        unmodified_files=saved.files_unmodified,
        new_bytes=saved.new_bytes,
        stored_bytes=saved.stored_bytes,
    )
