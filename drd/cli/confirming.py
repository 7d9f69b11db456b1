"""Asking before something that cannot be taken back."""

from __future__ import annotations

import sys

import click

from drd.core.errors import UsageError


def confirm_by_name(name: str, given: str | None, what: str) -> None:
    """Have the name of what is touched typed, or take it from --confirm. Raises `UsageError` where it differs."""
    if given is None:
        if not sys.stdin.isatty():
            raise UsageError(f"this has to be confirmed: {what}", f"in scripts: --confirm {name}")
        given = click.prompt(f"{what}. Type {name} to go on", err=True)
    if given != name:
        raise UsageError(f"{given!r} is not {name!r}; nothing was done", f"type: --confirm {name}")
