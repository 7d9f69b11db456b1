"""Where the daemon is found and which clock people read: all that a command needs of the configuration to ask it.

The daemon has the rest in force already. So asking it costs no reading of a thousand policies, and goes on working
while one of them is being edited. The file, its bases and the environment are read by the same code as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from drd.config.documents import Library
from drd.config.environment import DEFAULT_STATE, DEFAULT_TIMEZONE, with_environment
from drd.config.problems import Problem


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Of a daemon: its state folder, and the time zone of its configuration."""

    state: Path
    zone: ZoneInfo


def whereabouts(file: Path, environment: Mapping[str, str]) -> Whereabouts | None:
    """What drd.yaml and the environment say of it; None when they have a mistake that `load` would tell."""
    problems: list[Problem] = []
    entry = Library(problems.append).entry(file)
    if entry is None or problems:
        return None
    said = with_environment(entry, environment)
    state = said.at(("state",)) if said.has(("state",)) else DEFAULT_STATE
    timezone = said.at(("timezone",)) if said.has(("timezone",)) else DEFAULT_TIMEZONE
    if not isinstance(state, str) or not isinstance(timezone, str):
        return None
    try:
        return Whereabouts(Path(state), ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
