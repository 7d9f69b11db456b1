"""A seeded share of the fault tests: every run draws some of each suite's cases, and a run can be repeated exactly.

`--fault-share 0.1 --fault-seed abc` keeps a tenth of the cases marked `faults` of each folder, and at least one of
each: a case takes from seconds to minutes, and the next commit draws others.
"""

import hashlib
import math
from collections import defaultdict

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fault tests")
    group.addoption(
        "--fault-share", type=float, default=1.0, help="the share of each fault suite's cases to run, 0 to 1"
    )
    group.addoption("--fault-seed", default="1", help="the word from which that share is drawn")


def pytest_report_header(config: pytest.Config) -> str:
    share, seed = config.getoption("--fault-share"), config.getoption("--fault-seed")
    return f"fault tests: --fault-share {share} --fault-seed {seed}"


# Last, so that a share is drawn from what -m and -k have left.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share, seed = config.getoption("--fault-share"), config.getoption("--fault-seed")
    cases_of: dict[str, list[str]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("faults"):
            cases_of[item.nodeid.partition("::")[0].rpartition("/")[0]].append(item.nodeid)
    kept = {case for cases in cases_of.values() for case in drawn(cases, share, seed)}
    left_out = [item for item in items if item.get_closest_marker("faults") and item.nodeid not in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def drawn(cases: list[str], share: float, seed: str) -> set[str]:
    """The cases to run: `share` of them, at least one, chosen by the hash of seed and name and by nothing else."""

    def lot(case: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{case}".encode()).digest()

    return set(sorted(cases, key=lot)[: max(1, math.ceil(share * len(cases)))])
