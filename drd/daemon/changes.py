"""What a reload changes: what takes effect at once, and what only a start can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from drd.ports.configuration import Configuration

AT_START_ONLY: Final = {"state": "state", "restic": "restic", "data": "data", "listen": "http.listen"}
"""What the process is built on: the field of `Configuration` → its key in drd.yaml."""
_AT_ONCE: Final = {"site": "site", "zone": "timezone", "tokens": "http.tokens"}
_NAMED: Final = {
    "policies": "policy",
    "stores": "store",
    "runbooks": "runbook",
    "people": "person",
    "contacts": "person",
    "machines": "node",
}


def in_force_after(before: Configuration, after: Configuration) -> Configuration:
    """`after` with what only a start can change as it was, which is what the process goes on with.

    So every further reload says again what waits for a start.
    """
    stores = {
        name: replace(store, cache=before.state / store.cache.relative_to(after.state))
        if store.cache.is_relative_to(after.state)
        else store
        for name, store in after.stores.items()
    }
    return replace(after, stores=stores, **{field: getattr(before, field) for field in AT_START_ONLY})


def changes(before: Configuration, after: Configuration) -> tuple[str, ...]:
    """What differs between what is in force and what was read, a sentence each."""
    told = [
        f"{key}: takes effect at the next start of the daemon"
        for field, key in AT_START_ONLY.items()
        if getattr(before, field) != getattr(after, field)
    ]
    told += [f"{key} changed" for field, key in _AT_ONCE.items() if getattr(before, field) != getattr(after, field)]
    in_force = in_force_after(before, after)
    for field, what in _NAMED.items():
        told += _differences(what, getattr(before, field), getattr(in_force, field))
    return tuple(dict.fromkeys(told))


def _differences(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    told = [f"{what} {name} added" for name in sorted(set(after) - set(before))]
    told += [f"{what} {name} removed" for name in sorted(set(before) - set(after))]
    both = sorted(set(after) & set(before))
    return told + [f"{what} {name} changed" for name in both if _content(after[name]) != _content(before[name])]


def _content(value: Any) -> Any:
    """What has to differ for a change: a policy's sources are made anew at each reading, its digest is not."""
    return getattr(value, "digest", value)
