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
    words = ["sh", "-c", forced(tuple(allowed(user, UNIT)))]
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
    assert quoted[1].replace('\\"', '"') == forced(tuple(allowed("drd", UNIT)))
    assert str(grants).count("\n") == 4
    assert len(node_grants("orders-1", "postgres", UNIT).sudoers) == 1
    assert node_grants("orders-1", "root", UNIT).sudoers == ()


def test_commands_for_other_things_are_added_once_and_as_sudoers_writes_them() -> None:
    more = (("sudo", "-n", "tool", "a:b", "c=d,e"), ("sudo", "-n", "systemctl", "start", UNIT), ("id",), ("id",))
    [line] = node_grants("pooler-1", "drd", None, more).sudoers
    assert line == rf"drd ALL=(root) NOPASSWD: /usr/bin/tool a\:b c\=d\,e, /usr/bin/systemctl start {UNIT}"
    grants = node_grants("orders-1", "drd", UNIT, more)
    assert grants.sudoers[0].count("systemctl start") == 1
    assert grants.ssh.count("|id|") + grants.ssh.count("|id)") == 1
    assert node_grants("pooler-1", "root", None, (("id",),)).sudoers == ()


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("/usr/local/sbin/stonith", "off"), "/usr/local/sbin/stonith off"),
        (("reboot",), '/usr/bin/reboot ""'),
        (("tool", "/srv/*", "[a]?", "#!^b$"), r"/usr/bin/tool /srv/\* \[a\]\? \#\!\^b$"),
    ],
)
def test_sudoers_admits_the_arguments_that_are_given_and_no_others(argv: tuple[str, ...], line: str) -> None:
    grants = node_grants("node-1", "drd", None, (("sudo", "-n", *argv),))
    assert grants.sudoers == (f"drd ALL=(root) NOPASSWD: {line}",)
    assert grants.not_granted == ()


def test_what_no_line_can_grant_is_named_and_not_left_out_without_a_word() -> None:
    as_another = ("sudo", "-n", "-u", "postgres", "psql")
    asking = ("/usr/bin/sudo", "reboot")
    unknown, long = ("tell", "${new_primary}"), ("echo", "one\ntwo")
    grants = node_grants("node-1", "drd", None, (as_another, asking, unknown, long, ("id",)))
    assert grants.sudoers == ()
    assert grants.not_granted == (
        "sudo -n -u postgres psql",
        "/usr/bin/sudo reboot",
        "tell '${new_primary}'",
        "echo 'one\\ntwo'",
    )
    # What a person may write a line of sudoers for, ssh admits already.
    given = ("sudo -n -u postgres psql", "/usr/bin/sudo reboot", "id")
    assert grants.ssh == f'restrict,command="{forced([tuple(each.split()) for each in given])}" PUBLIC-KEY'.replace(
        '"$SSH_ORIGINAL_COMMAND"', '\\"$SSH_ORIGINAL_COMMAND\\"'
    )
    assert "\n# cannot be granted on node-1: echo 'one\\ntwo'" in str(grants)
    nothing = node_grants("node-1", "drd", None, (unknown,))
    assert nothing.ssh == ""
    assert "authorized_keys" not in str(nothing)
    assert node_grants("node-1", "root", None, (as_another,)).not_granted == ()
