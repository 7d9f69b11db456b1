"""Prometheus' own tool, from Debian: without root, in the folder that keeps the other parts."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def promtool() -> Path:
    """promtool, fetched once for all clones of this user."""
    fetched = subprocess.run(
        [REPOSITORY / "scripts" / "promtool"], capture_output=True, text=True, check=False, timeout=100
    )
    if fetched.returncode != 0:
        pytest.fail(f"promtool cannot be had:\n{fetched.stderr}", pytrace=False)
    return Path(fetched.stdout.strip())
