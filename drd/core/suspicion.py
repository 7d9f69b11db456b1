"""Whether what a run read looks as if somebody destroyed it: encrypted in place, deleted, or replaced.

A run whose figures are far from what its policy is used to is suspected. That is learned from the policy's own runs of
the same mode: the median, and how far most of them are from it (the median absolute deviation). A figure counts against
a run only when it is beyond a limit that no ordinary day reaches, beyond that spread, and beyond everything that was
seen before, so that what a person has released once is not asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from drd.core.figures import RunFigures
from drd.core.policy import Guard
from drd.core.units import format_share, format_size

RUNS_LEARNED_FROM = 60
"""So many of the newest runs of a mode are what is usual."""
FEWEST_RUNS = 5
"""With fewer runs of a mode nothing is usual yet, so none is suspected."""
SPREADS = 6.0
"""So many standard deviations, as the median absolute deviation gives them robustly, are unusual."""
_DEVIATION_OF_A_MEDIAN_DEVIATION = 1.4826
"""A normal distribution's standard deviation in units of its median absolute deviation."""
ENCRYPTED_RATIO = 0.9
"""What is stored of a byte, from which on new data counts as encrypted or compressed already."""
COLLAPSE = 0.15
"""By how much that has to be above what is usual."""
SCRAMBLED = 0.3
"""By how much the share of files that look random inside has to be above what is usual."""
TOUCHED_BY_ENCRYPTION = 0.05
"""New data that does not compress is suspected only where at least so much of the source is touched at once."""


def to_release(policy: str) -> str:
    """What a person types who has looked."""
    return f"when you know why, type: drd release --policy {policy}"


def suspect(run: RunFigures, usual: Sequence[RunFigures], guard: Guard) -> tuple[str, ...]:
    """Why a run is suspected, one sentence each; empty where nothing is wrong or too little is known.

    `usual` are the figures of the runs of the same mode before it.
    """
    if len(usual) < FEWEST_RUNS:
        return ()
    found = (
        _shares("{} of the files are gone", lambda each: each.gone, guard.gone, run, usual),
        _shares("{} of the files changed", lambda each: each.changed, guard.changed, run, usual),
        _shares(
            f"{{}} of the data is new ({format_size(run.new_bytes)})", lambda each: each.new, guard.new, run, usual
        ),
        _collapse(run, usual),
        _scrambled(run, usual),
    )
    return tuple(reason for reason in found if reason)


def _shares(
    words: str,
    share: Callable[[RunFigures], float | None],
    limit: float,
    run: RunFigures,
    usual: Sequence[RunFigures],
) -> str:
    now = share(run)
    seen = [value for each in usual if (value := share(each)) is not None]
    if now is None or now < limit or len(seen) < FEWEST_RUNS or not _is_beyond(now, seen):
        return ""
    return f"{words.format(format_share(now))}, usual is {format_share(median(seen))}"


def _collapse(run: RunFigures, usual: Sequence[RunFigures]) -> str:
    """Much at once that does not compress, where what came before did: encryption cannot hide that."""
    seen = [ratio for each in usual if (ratio := each.ratio) is not None]
    if run.ratio is None or run.ratio < ENCRYPTED_RATIO or run.touched < TOUCHED_BY_ENCRYPTION or not seen:
        return ""
    if not _is_beyond(run.touched, [each.touched for each in usual]):
        return ""
    if run.ratio - median(seen) < COLLAPSE or not _is_beyond(run.ratio, seen):
        return ""
    shrinks, usually = format_share(max(0.0, 1 - run.ratio)), format_share(max(0.0, 1 - median(seen)))
    return f"compression makes the new data {shrinks} smaller, usual is {usually}: it looks encrypted"


def _scrambled(run: RunFigures, usual: Sequence[RunFigures]) -> str:
    """Files that look random inside, where they did not: also when few are encrypted a day, and by any restic."""
    now = run.random
    seen = [share for each in usual if (share := each.random) is not None]
    if now is None or len(seen) < FEWEST_RUNS or now - median(seen) < SCRAMBLED or not _is_beyond(now, seen):
        return ""
    usually = format_share(median(seen))
    return f"{format_share(now)} of the files look random inside, usual is {usually}: it looks encrypted"


def _is_beyond(value: float, seen: Sequence[float]) -> bool:
    """Whether a value is unusual among what was seen, and more than anything that was."""
    middle = median(seen)
    spread = median(abs(each - middle) for each in seen) * _DEVIATION_OF_A_MEDIAN_DEVIATION
    return value > middle + SPREADS * spread and value > max(seen)
