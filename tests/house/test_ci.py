"""What continuous integration types, in which order, and as whom."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOGGING = '#!/bin/sh\necho "${0##*/} $*" >> "$LOG"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """`.ci/run` in a clone whose scripts and programs only say that they were called."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci")
    for program in ("scripts/apt-install", "scripts/as-ordinary-user", "bin/make"):
        put(tmp_path / program, LOGGING)
    return tmp_path


def put(program: Path, script: str) -> None:
    program.parent.mkdir(exist_ok=True)
    program.write_text(script)
    program.chmod(0o755)


def typed_as(clone: Path, user: int) -> list[str]:
    put(clone / "bin/id", f"#!/bin/sh\necho {user}\n")
    log = clone / "log"
    environment = {"PATH": f"{clone / 'bin'}:/usr/bin:/bin", "LOG": str(log)}
    subprocess.run([clone / ".ci/run"], env=environment, check=True, timeout=30)
    return log.read_text().splitlines()


def test_root_installs_all_that_the_ordinary_user_needs_before_it_begins(clone: Path) -> None:
    [needed] = re.findall(r"^check: (.*?) *##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    installing = [target for target in needed.split() if target not in {"static", "unit"}]
    assert typed_as(clone, user=0) == [
        "apt-install make git",
        f"make {' '.join(installing)}",
        "as-ordinary-user make check",
        "make test",
    ]


def test_others_run_everything_once(clone: Path) -> None:
    assert typed_as(clone, user=1000) == ["apt-install make git", "make test"]


def test_it_fails_where_a_test_of_the_core_is_missing() -> None:
    [needed] = re.findall(r"^test: (.*?) *##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"static", "coverage"} <= set(needed.split())
