"""What a node's shell lets drd do, and that it lets it do nothing else."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from drd.core.node_grants import allowed, forced, node_grants

UNIT = "postgresql@15-main"


def ask(user: str, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What sshd does: the forced command, by the user's shell."""
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "SSH_ORIGINAL_COMMAND": command}
    words = ["sh", "-c", forced(user, UNIT)]
    return subprocess.run(words, env=environment, capture_output=True, text=True, input="", check=False)


@pytest.mark.parametrize("user", ["drd", "root", "postgres"])
def test_what_drd_sends_is_done_and_nothing_else(user: str, tmp_path: Path) -> None:
    for name in ("sudo", "systemctl", "runuser"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$0 $*"\n')
        (tmp_path / name).chmod(0o755)
    for argv in allowed(user, UNIT):
        assert ask(user, shlex.join(argv), tmp_path).returncode == 0
    for command in (
        "",
        "id",
        f"systemctl show -p LoadState {UNIT}; id",
        f"sudo -n systemctl stop {UNIT} other",
        "sudo -n systemctl stop other",
        "sh -c id",
        "*",
    ):
        assert ask(user, command, tmp_path).returncode == 126


def test_the_lines_for_a_node_name_its_unit_alone() -> None:
    grants = node_grants("orders-1", "drd", UNIT)
    assert grants.sudoers[0].startswith(f"drd ALL=(root) NOPASSWD: /usr/bin/systemctl mask --now {UNIT}, ")
    assert grants.sudoers[1] == "drd ALL=(postgres) NOPASSWD: /usr/bin/sh -s"
    assert not re.search(r"NOPASSWD: ALL|systemctl \*", " ".join(grants.sudoers))
    # As sshd reads it: what is quoted ends at the first quote that no backslash stands before.
    quoted = re.fullmatch(r'restrict,command="((?:[^"\\]|\\.)*)" PUBLIC-KEY', grants.ssh)
    assert quoted is not None
    assert quoted[1].replace('\\"', '"') == forced("drd", UNIT)
    assert str(grants).count("\n") == 4
    assert len(node_grants("orders-1", "postgres", UNIT).sudoers) == 1
    assert node_grants("orders-1", "root", UNIT).sudoers == ()
