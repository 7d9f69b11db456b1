"""Whose state folder it is: one user's, and nobody else's, root included."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from drd.clients.journal.schema import CURRENT
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


def demand_readable(state: Path) -> None:
    """Raise `UsageError` when this user may not read the journal in the state folder; there need not be one."""
    database = state / CURRENT
    try:
        is_readable = not database.exists() or os.access(database, os.R_OK)
    except PermissionError:
        is_readable = False
    if not is_readable:
        raise UsageError(f"you may not read {database}", f"type: sudo -u {owner_of(database)} drd …")


def owner_of(file: Path) -> str:
    """The user of a file, or of the folder that hides it; of one that is hidden deeper the usual one."""
    for seen in (file, file.parent):
        try:
            return _name_of(seen.stat().st_uid)
        except OSError:
            continue
    return "drd"


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"
