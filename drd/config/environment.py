"""The settings that stand in the environment, laid over drd.yaml.

A module without pydantic: a command that only asks the daemon looks for it here (`drd.config.whereabouts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from drd.config.documents import Entry, overlaid
from drd.config.problems import Problem
from drd.config.yaml import Path, Spot, Value, scalar

PREFIX: Final = "DRD_"
NESTING: Final = "__"
OTHER_VARIABLES: Final = frozenset({"DRD_CONFIG"})
"""Variables of the command line that are no settings."""
DEFAULT_STATE: Final = "/var/lib/drd"
DEFAULT_TIMEZONE: Final = "UTC"


@dataclass(frozen=True, slots=True)
class SettingsEntry(Entry):
    """drd.yaml with the environment laid over it."""

    environment: Mapping[str, str] = field(default_factory=dict)
    file_value: dict[str, Value] = field(default_factory=dict)

    def problem(self, path: Path, message: str, spot: Spot = Spot.VALUE) -> Problem:
        """A problem at `path`: of the variable that set it, else of the file."""
        variable = variable_at(path, self.environment)
        return Problem(variable, 0, 0, message) if variable else Entry.problem(self, path, message, spot)


def with_environment(entry: Entry, environment: Mapping[str, str]) -> SettingsEntry:
    """What the file and the environment say together."""
    return SettingsEntry(entry.chain, overlaid(entry.value, environment_values(environment)), environment, entry.value)


def environment_values(environment: Mapping[str, str]) -> dict[str, Value]:
    """The settings that the environment makes, as a file would say them."""
    found: dict[str, Value] = {}
    for path, name in sorted(variables(environment).items()):
        below = found
        for step in path[:-1]:
            deeper = below.setdefault(str(step), {})
            below = deeper if isinstance(deeper, dict) else {}
        below[str(path[-1])] = scalar(environment[name])
    return found


def variables(environment: Mapping[str, str]) -> dict[Path, str]:
    """The path of each setting that the environment makes, and the variable's name."""
    return {
        tuple(name.removeprefix(PREFIX).lower().split(NESTING)): name
        for name in environment
        if name.startswith(PREFIX) and name not in OTHER_VARIABLES
    }


def variable_at(path: Path, environment: Mapping[str, str]) -> str | None:
    """The variable that put the value at `path` there, None if the file did."""
    known = variables(environment)
    return next((known[path[:length]] for length in range(len(path), 0, -1) if path[:length] in known), None)
