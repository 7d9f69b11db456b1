"""What drd needs on a node's shell and nothing else, as a person writes it there: sudoers, and a forced command of ssh.

The forced command admits what drd sends word for word, so that its key is good for one unit and for the account that
owns the database, whoever holds it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

OWNER: Final = "postgres"
"""Who owns the data directory, as every package has it."""
UNIT_ORDERS: Final = (("mask", "--now"), ("unmask",), ("start",), ("stop",), ("restart",), ("reload",))
STOPPED: Final = "ActiveState,LoadState,MainPID"
"""What systemd is asked to see that a unit is stopped and masked."""
SHELL: Final = ("sh", "-s")
"""It reads what it does from standard input, so that no secret stands in a command."""


@dataclass(frozen=True, slots=True)
class NodeGrants:
    """Lines for files of a node."""

    node: str
    sudoers: tuple[str, ...]
    ssh: str
    """The line of authorized_keys, in which the public key has to be put."""

    def __str__(self) -> str:
        lines = [f"# on {self.node}, in /etc/sudoers.d/drd:", *(f"#   {line}" for line in self.sudoers)]
        return "\n".join([*lines, f"# on {self.node}, in the authorized_keys of drd's user:", f"#   {self.ssh}"])


def sudo(user: str) -> tuple[str, ...]:
    """What has to stand before a command that only root may give."""
    return () if user == "root" else ("sudo", "-n")


def as_owner(user: str) -> tuple[str, ...]:
    """The command that runs a script as the owner of the database."""
    if user == OWNER:
        return SHELL
    return ("runuser", "-u", OWNER, "--", *SHELL) if user == "root" else ("sudo", "-n", "-u", OWNER, *SHELL)


def stop_and_look(user: str, unit: str) -> tuple[str, ...]:
    """The command that stops and masks a unit and goes on with a script, since writes wait meanwhile."""
    first = shlex.join((*sudo(user), "systemctl", "mask", "--now", unit))
    return ("sh", "-c", f"{first} >&2 && exec {shlex.join(as_owner(user))}")


def show(unit: str, properties: str, *options: str) -> tuple[str, ...]:
    """The command that asks for what systemd knows of a unit."""
    return ("systemctl", "show", *options, "-p", properties, unit)


def allowed(user: str, unit: str) -> Iterator[tuple[str, ...]]:
    """Every command that drd gives on a node whose database is that unit."""
    yield show(unit, STOPPED)
    yield show(unit, "LoadState")
    yield show(unit, "ActiveState,ActiveEnterTimestamp", "--timestamp=unix")
    for order in UNIT_ORDERS:
        yield (*sudo(user), "systemctl", *order, unit)
    yield stop_and_look(user, unit)
    yield as_owner(user)


def node_grants(node: str, user: str, unit: str) -> NodeGrants:
    """What lets drd do this on a node, and nothing else."""
    orders = ", ".join(f"/usr/bin/systemctl {shlex.join((*order, unit))}" for order in UNIT_ORDERS)
    sudoers = () if user == "root" else (f"{user} ALL=(root) NOPASSWD: {orders}", _as_owner(user))
    return NodeGrants(
        node, tuple(filter(None, sudoers)), f'restrict,command="{_quoted(forced(user, unit))}" PUBLIC-KEY'
    )


def forced(user: str, unit: str) -> str:
    """The command that sshd runs instead of what it is asked for: that, if it is one of those that are allowed."""
    patterns = "|".join(shlex.quote(shlex.join(each)) for each in allowed(user, unit))
    given = '"$SSH_ORIGINAL_COMMAND"'
    return f"case {given} in {patterns}) eval {given};; *) echo not allowed >&2; exit 126;; esac"


def _as_owner(user: str) -> str:
    return "" if user == OWNER else f"{user} ALL=({OWNER}) NOPASSWD: /usr/bin/{shlex.join(SHELL)}"


def _quoted(text: str) -> str:
    return text.replace('"', '\\"')
