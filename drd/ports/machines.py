"""The machines of drd.yaml as steps of a runbook reach them, and the people whom they tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drd.core.secrets import SecretReference


@dataclass(frozen=True, slots=True)
class Shell:
    """How a machine's shell is reached by ssh."""

    user: str
    key: SecretReference
    known_hosts: Path | None
    port: int = 22


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """How a machine's shell is reached by a program: what is to run there are its last arguments."""

    user: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """A node of drd.yaml."""

    name: str
    host: str
    shell: Shell | ShellCommand | None = None
    power: tuple[str, ...] = ()
    """The program that switches it off, and its arguments; empty where there is none."""
    unit: str | None = None
    """The systemd unit of its database."""
    dsn: SecretReference | None = None
    """How its database is reached."""
    priority: int = 0
    """Which standby is preferred among equals: the greater."""
    data_directory: Path | None = None
    """Where the data of its database lies."""
    replicates_as: str = ""
    """The name under which it follows a primary, which is its slot's too; empty: the node's own."""

    @property
    def member(self) -> str:
        """The name under which it follows a primary, as `synchronous_standby_names` may have it."""
        return self.replicates_as or self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Contact:
    """A person of drd.yaml."""

    name: str
    addresses: tuple[SecretReference, ...] = ()
    deputy: str | None = None
    users: tuple[str, ...] = ()
    """Who speaks for them, as this machine calls its users."""


def speakers(people: Iterable[str], contacts: Mapping[str, Contact]) -> tuple[str, ...]:
    """The users who speak for some of these people, or for a deputy of theirs; none where none is written."""
    asked = tuple(people)
    deputies = tuple(contacts[name].deputy or "" for name in asked if name in contacts)
    found = (user for name in (*asked, *deputies) if name in contacts for user in contacts[name].users)
    return tuple(dict.fromkeys(found))
