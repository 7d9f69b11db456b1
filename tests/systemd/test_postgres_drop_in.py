"""The drop-in for PostgreSQL's unit: after a reboot a server takes writes only on somebody's word."""

import re
import subprocess
from pathlib import Path

DROP_IN = Path(__file__).parents[2] / "systemd" / "postgresql-as-standby.conf"


def run(key: str, data: Path) -> str:
    """What systemd runs for a key of the drop-in; what it says."""
    text = DROP_IN.read_text().replace("\\\n", "")
    match = re.search(rf"^{key}=/bin/sh -ec '([^']*)'$", text, re.MULTILINE)
    assert match is not None
    assert "%" not in match[1]  # systemd would read it as a specifier
    assert not re.search(r"\$(?!\(|DRD_DATA_DIRECTORY)", match[1])  # and put its own environment in for any other name
    words = ["/bin/sh", "-ec", match[1]]
    return subprocess.run(
        words,
        env={"DRD_DATA_DIRECTORY": str(data), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    ).stderr


def test_the_first_start_after_a_boot_is_as_a_standby_and_later_ones_are_as_they_were(tmp_path: Path) -> None:
    assert "started as a standby after a reboot" in run("ExecStartPre", tmp_path)
    assert (tmp_path / "standby.signal").exists()
    assert run("ExecStartPre", tmp_path) == ""  # a standby stays one

    (tmp_path / "standby.signal").unlink()
    (tmp_path / "drd-may-lead").touch()
    assert run("ExecStartPre", tmp_path) == ""
    assert not list(tmp_path.iterdir())  # the word counts once

    run("ExecStartPost", tmp_path)
    assert run("ExecStartPre", tmp_path) == ""  # it has only crashed, since the machine was booted
    assert not (tmp_path / "standby.signal").exists()
    (tmp_path / "drd-boot").write_text("another boot\n")
    run("ExecStartPre", tmp_path)
    assert (tmp_path / "standby.signal").exists()
