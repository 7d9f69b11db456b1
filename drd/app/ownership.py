"""Whose state folder it is: one user's, and nobody else's, root included."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from drd.core.errors import UsageError


def demand_own_state(state: Path) -> None:
    """Raise `UsageError` unless the state folder belongs to the user of this process, or does not exist yet.

    Root could work with any, but would leave files in it and in local repositories that the daemon cannot read.
    """
    try:
        owner = state.stat().st_uid
    except OSError:
        return  # missing, or in the way of somebody who will be told so when it is opened
    if owner != os.geteuid():
        name = _name_of(owner)
        raise UsageError(f"the state folder {state} belongs to user {name}", f"type: sudo -u {name} drd …")


def owner_of(state: Path) -> str:
    """The name of the user that a state folder belongs to."""
    try:
        return _name_of(state.stat().st_uid)
    except OSError:
        return "drd"


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"
