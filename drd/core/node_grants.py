"""What drd needs on a node's shell and nothing else, as a person writes it there: sudoers, and a forced command of ssh.

The forced command admits what drd sends word for word, so that its key is good for one unit and for the account that
owns the database, whoever holds it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

OWNER: Final = "postgres"
"""Who owns the data directory, as every package has it."""
UNIT_ORDERS: Final = (("mask", "--now"), ("unmask",), ("start",), ("stop",), ("restart",), ("reload",))
PROGRAMS: Final = {"systemctl": "/usr/bin", "ip": "/usr/sbin", "arping": "/usr/bin"}
"""Where Debian has the programs that only root may use like this."""
STOPPED: Final = "ActiveState,FragmentPath,LoadState,MainPID"
"""What systemd is asked to see that a unit is stopped and masked, and whether it can be."""
SHELL: Final = ("sh", "-s")
"""It reads what it does from standard input, so that no secret stands in a command."""


@dataclass(frozen=True, slots=True)
class NodeGrants:
    """Lines for files of a node."""

    node: str
    sudoers: tuple[str, ...]
    ssh: str
    """The line of authorized_keys, in which the public key has to be put; empty where nothing can be granted, or
    the shell is not reached by ssh."""
    not_granted: tuple[str, ...] = ()
    """Commands of steps that no line grants: a person has to write what lets them be given."""

    def __str__(self) -> str:
        lines = [f"# on {self.node}, in /etc/sudoers.d/drd:", *(f"#   {line}" for line in self.sudoers)]
        if self.ssh:
            lines += [f"# on {self.node}, in the authorized_keys of drd's user:", f"#   {self.ssh}"]
        return "\n".join([*lines, *(f"# cannot be granted on {self.node}: {each}" for each in self.not_granted)])


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
    """Every command that drd gives on a node for its database, which is that unit."""
    yield show(unit, STOPPED)
    yield show(unit, "LoadState")
    yield show(unit, "ActiveState,ActiveEnterTimestamp", "--timestamp=unix")
    for order in UNIT_ORDERS:
        yield (*sudo(user), "systemctl", *order, unit)
    yield stop_and_look(user, unit)
    yield as_owner(user)


def node_grants(node: str, user: str, unit: str | None, more: Sequence[tuple[str, ...]] = ()) -> NodeGrants:
    """What lets drd do this on a node, and nothing else; `more` are commands for other things than the database.

    What a word of a step stands for only in a run, and what has several lines, no forced command can admit; and what
    `sudo` is to do there has to be what drd itself has it do: a program as root.
    """
    orders = [] if unit is None else [("systemctl", *order, unit) for order in UNIT_ORDERS]
    orders += [argv[len(sudo(user)) :] for argv in more if _is_known(argv) and _is_sudo(argv, user)]
    refused = [each for each in more if not _is_known(each) or (_asks_sudo(each, user) and not _is_sudo(each, user))]
    lines = [f"{user} ALL=(root) NOPASSWD: {', '.join(map(_as_sudoers, dict.fromkeys(orders)))}"] if orders else []
    owner = "" if unit is None else _as_owner(user)
    commands = tuple(dict.fromkeys((*(() if unit is None else allowed(user, unit)), *filter(_is_known, more))))
    return NodeGrants(
        node,
        () if user == "root" else tuple(filter(None, (*lines, owner))),
        f'restrict,command="{_quoted(forced(commands))}" PUBLIC-KEY' if commands else "",
        tuple(dict.fromkeys(shlex.join(each).replace("\n", "\\n") for each in refused)),
    )


def _is_known(argv: tuple[str, ...]) -> bool:
    return not any("${" in word or not word.isprintable() for word in argv)


def _asks_sudo(argv: tuple[str, ...], user: str) -> bool:
    return user != "root" and argv[0].rpartition("/")[2] == "sudo"


def _is_sudo(argv: tuple[str, ...], user: str) -> bool:
    """Whether it is a program that root runs, as drd itself writes it."""
    return user != "root" and argv[:2] == sudo(user) and len(argv) > 2 and not argv[2].startswith("-")


def forced(commands: Sequence[tuple[str, ...]]) -> str:
    """The command that sshd runs instead of what it is asked for: that, if it is one of those that are allowed."""
    patterns = "|".join(shlex.quote(shlex.join(each)) for each in commands)
    given = '"$SSH_ORIGINAL_COMMAND"'
    return f"case {given} in {patterns}) eval {given};; *) echo not allowed >&2; exit 126;; esac"


def _as_sudoers(argv: tuple[str, ...]) -> str:
    """A command as sudoers takes it, in which some characters mean something else (sudoers(5), "Command arguments")."""
    program = argv[0] if argv[0].startswith("/") else f"{PROGRAMS.get(argv[0], '/usr/bin')}/{argv[0]}"
    # Without arguments sudoers would allow any.
    words = [re.sub(r"([\\,:=#*?!\[\]^])", r"\\\1", word) for word in argv[1:]] or ['""']
    return " ".join((program, *words))


def _as_owner(user: str) -> str:
    return "" if user == OWNER else f"{user} ALL=({OWNER}) NOPASSWD: /usr/bin/{shlex.join(SHELL)}"


def _quoted(text: str) -> str:
    return text.replace('"', '\\"')
