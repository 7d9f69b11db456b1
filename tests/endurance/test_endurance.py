"""Thousands of steps of a drd whose stores are damaged, lost and killed: nothing that was acknowledged goes.

A failure names seed and step; `pytest -m endurance -k 'seed'` with the same seed takes the same steps.
"""

from pathlib import Path

import pytest

from tests.endurance.runner import Endurance

SHORT = 60
LONG = 2000


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_short_run_loses_nothing(tmp_path: Path, newest_restic: Path) -> None:
    await _endured(tmp_path, newest_restic, seed=4, steps=SHORT)


@pytest.mark.endurance
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("seed", "age"), [(1, "newest"), (2, "oldest"), (3, "newest")])
async def test_nothing_acknowledged_is_lost(
    tmp_path: Path, restic_binaries: dict[str, Path], seed: int, age: str
) -> None:
    await _endured(tmp_path, restic_binaries[age], seed, LONG)


async def _endured(folder: Path, restic: Path, seed: int, steps: int) -> None:
    endurance = Endurance(folder, restic, seed)
    try:
        async with endurance.begun():
            await endurance.run(steps)
    finally:
        print(endurance.figures())  # noqa: T201 - shown by pytest -s, and of a run that fails
