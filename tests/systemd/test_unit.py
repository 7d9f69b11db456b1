"""The unit that is shipped: valid to systemd, hardened to a measured score, and free of what breaks backups."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from drd.core.errors import UsageError

UNIT = Path(__file__).parents[2] / "systemd" / "drd.service"
EXPOSURE_PER_CENT = 18
"""systemd's own measure, from 0 (sealed) to 100, of the daemon with exactly the one capability that it needs."""


@pytest.fixture(scope="module")
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.fail("systemd-analyze is missing; type: apt-get install systemd", pytrace=False)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree in which the unit's programs exist."""
    for program in ("usr/bin/drd", "bin/kill"):
        stub = tmp_path / program
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text("#!/bin/sh\n")
        stub.chmod(0o755)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    shutil.copy(UNIT, units)
    own = Path("/lib/systemd/system")
    (tmp_path / "lib/systemd/system").mkdir(parents=True)
    for target in own.glob("*.target"):
        shutil.copy(target, tmp_path / "lib/systemd/system", follow_symlinks=True)
    for slice_ in own.glob("*.slice"):
        shutil.copy(slice_, tmp_path / "lib/systemd/system", follow_symlinks=True)
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr


def test_systemd_finds_nothing_wrong_with_the_unit(analyze: str, root: Path) -> None:
    code, words = run(analyze, "verify", f"--root={root}", "--man=no", "--recursive-errors=no", "drd.service")
    assert (code, [line for line in words.splitlines() if "drd.service" in line]) == (0, []), words


def test_a_misspelt_key_would_be_found(analyze: str, root: Path) -> None:
    unit = root / "etc/systemd/system/drd.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchDogSecs="))
    _, words = run(analyze, "verify", f"--root={root}", "--man=no", "--recursive-errors=no", "drd.service")
    assert "WatchDogSecs" in words


def test_the_exposure_stays_below_its_threshold(analyze: str, root: Path) -> None:
    words = ("security", "--offline=true", f"--root={root}", f"--threshold={EXPOSURE_PER_CENT}", "drd.service")
    code, report = run(analyze, *words)
    assert code == 0, report


def settings(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_it_may_read_every_file_and_nothing_else() -> None:
    assert settings("CapabilityBoundingSet") == ["CAP_DAC_READ_SEARCH"]
    assert settings("AmbientCapabilities") == ["CAP_DAC_READ_SEARCH"]
    assert settings("User") == ["drd"]
    assert settings("PrivateUsers") == []


def test_nothing_is_hidden_from_a_backup() -> None:
    assert settings("ProtectHome") == ["read-only"]
    assert settings("ProcSubset") == ["all"]
    assert settings("InaccessiblePaths") == settings("TemporaryFileSystem") == []


def test_gentleness_is_not_filtered_away() -> None:
    assert not [line for line in settings("SystemCallFilter") if "@resources" in line]


def test_children_can_be_started() -> None:
    assert settings("SystemCallFilter") == ["@system-service", "~@privileged", "capset"]


def test_a_restore_under_way_outlives_the_usual_stop_timeout() -> None:
    assert settings("TimeoutStopSec") == ["3700"]
    assert settings("KillMode") == ["mixed"]


def test_it_is_tried_again_until_it_lives_but_not_with_a_wrong_configuration() -> None:
    assert settings("Restart") == ["on-failure"]
    assert settings("RestartPreventExitStatus") == [str(UsageError.exit_code)]
    assert settings("RestartSec") == ["30"]
    assert settings("StartLimitIntervalSec") == ["0"]


def test_secrets_are_shown_as_credentials_and_never_in_the_environment() -> None:
    text = UNIT.read_text()
    assert "#LoadCredential=restic-local:" in text
    assert not re.search(r"^Environment(File)?=.*(PASSWORD|SECRET|TOKEN|KEY)", text, re.MULTILINE | re.IGNORECASE)
