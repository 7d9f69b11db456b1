"""The drop-in for PostgreSQL's unit: after a reboot a server takes writes only on somebody's word."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.booted import Booted, booted_machine

DROP_IN = Path(__file__).parents[2] / "systemd" / "postgresql-as-standby.conf"
BOOT = Path("/proc/sys/kernel/random/boot_id")
NOBODY = 65534
UNIT = "postgresql@15-main.service"
DATA = "/srv/main"


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory that is its owner's, as PostgreSQL's is; its owner has to get there."""
    made = Path(tempfile.mkdtemp(prefix="drd-drop-in-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


def run(key: str, data: Path) -> str:
    """What systemd runs for a key of the drop-in; what it says. Whatever is made belongs to the owner of the data."""
    text = DROP_IN.read_text().replace("\\\n", "")
    match = re.search(rf"^{key}=/bin/sh -ec '([^']*)'$", text, re.MULTILINE)
    assert match is not None
    script = match[1].replace("%%", "\0")
    assert "%" not in script  # systemd would read it as a specifier
    assert not re.search(r"\$(?!\(|@|DRD_DATA_DIRECTORY)", script)  # and put its own environment in for any other name
    said = subprocess.run(
        ["/bin/sh", "-ec", script.replace("\0", "%")],
        env={"DRD_DATA_DIRECTORY": str(data), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    owner = data.stat()
    for file in data.iterdir():
        found = file.stat()
        assert (found.st_uid, found.st_gid) == (owner.st_uid, owner.st_gid)
        assert found.st_mode & 0o200  # a rewind writes over it
    return said


def test_the_first_start_after_a_boot_is_as_a_standby_and_later_ones_are_as_they_were(data: Path) -> None:
    assert "started as a standby after a reboot" in run("ExecStartPre", data)
    run("ExecStartPost", data)
    assert run("ExecStartPre", data) == ""  # a standby stays one
    assert (data / "standby.signal").exists()

    (data / "standby.signal").unlink()
    assert run("ExecStartPre", data) == ""  # it was promoted and has crashed, since the machine was booted
    run("ExecStartPost", data)
    assert not (data / "standby.signal").exists()
    (data / "drd-boot").write_text("another boot\n")
    run("ExecStartPre", data)
    assert (data / "standby.signal").exists()


def test_what_it_says_has_it_lead_again_and_counts_once(data: Path) -> None:
    said = run("ExecStartPre", data)
    run("ExecStartPost", data)
    command = re.search(r"cp \S+ \S+drd-may-lead", said)
    assert command is not None
    subprocess.run(command[0].split(), check=True)
    assert run("ExecStartPre", data) == ""
    assert [each.name for each in data.iterdir()] == ["drd-boot"]

    (data / "drd-boot").unlink()
    assert "started as a standby" in run("ExecStartPre", data)


@pytest.mark.parametrize("word", ["", "another boot\n"])
def test_a_word_of_another_boot_or_another_machine_counts_for_nothing(data: Path, word: str) -> None:
    (data / "drd-may-lead").write_text(word)
    assert "started as a standby" in run("ExecStartPre", data)
    assert [each.name for each in data.iterdir()] == ["standby.signal"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the owner's part run as the owner")
def test_root_writes_through_no_link_that_the_owner_has_laid(data: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (data / "drd-boot").symlink_to(victim)
    run("ExecStartPost", data)
    assert victim.read_text() == "mine"
    assert (data / "drd-boot").read_text() == BOOT.read_text()


@pytest.mark.system
@pytest.mark.slow
def test_systemd_runs_it_for_a_unit_of_root_as_debian_has_it(
    tmp_path_factory: pytest.TempPathFactory, newest_restic: Path
) -> None:
    with booted_machine(tmp_path_factory.mktemp("machine"), newest_restic) as machine:
        machine.run("install", "-d", "-o", "nobody", "-m", "0700", DATA).done()
        override = f"/run/systemd/system/{UNIT}.d/override.conf"
        machine.run("install", "-d", str(Path(override).parent)).done()
        write(machine, f"/run/systemd/system/{UNIT}", "[Service]\nExecStart=/bin/sleep infinity\n")
        text = DROP_IN.read_text().replace("=/var/lib/postgresql/15/main", f"={DATA}")
        write(machine, override, text)
        machine.systemctl("daemon-reload").done()
        machine.systemctl("start", UNIT).done()
        assert listed(machine) == {"drd-boot nobody", "standby.signal nobody"}
        told = machine.run("journalctl", "-u", UNIT).stdout
        assert f"cp {BOOT} {DATA}/drd-may-lead" in told
        machine.run("cp", str(BOOT), f"{DATA}/drd-may-lead").done()
        machine.systemctl("restart", UNIT).done()
        assert listed(machine) == {"drd-boot nobody"}
        machine.systemctl("restart", UNIT).done()
        assert listed(machine) == {"drd-boot nobody"}


def write(machine: Booted, path: str, text: str) -> None:
    machine.run("sh", "-c", f"cat > '{path}' <<'END'\n{text}END\n").done()


def listed(machine: Booted) -> set[str]:
    return set(machine.run("sh", "-c", f"cd {DATA}; stat -c '%n %U' *").done().stdout.splitlines())
