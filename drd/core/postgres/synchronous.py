"""What `synchronous_standby_names` says, as PostgreSQL's own grammar (`syncrep_gram.y`) has it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from drd.core.probing import Quorum

_LIST: Final = re.compile(
    r"\s*(?:(?P<method>FIRST|ANY)\s+)?(?P<needed>\d+)\s*\((?P<names>.*)\)\s*", re.IGNORECASE | re.DOTALL
)
_NAME: Final = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<plain>[^\s,"]+))\s*(?:,|$)')


def quorum_of(setting: str, lowered_by: tuple[str, ...] = ()) -> Quorum | None:
    """What a commit waits for; None where it waits for nobody. Raises ValueError for what PostgreSQL would refuse."""
    if not setting.strip():
        return None
    match = _LIST.fullmatch(setting)
    needed, names = (int(match["needed"]), match["names"]) if match else (1, setting)
    found: list[str] = []
    position = 0
    while position < len(names):
        name = _NAME.match(names, position)
        if name is None:
            raise ValueError(f"synchronous_standby_names is not understood: {setting!r}")
        quoted = name["quoted"]
        # PostgreSQL compares names without regard to case.
        found.append((name["plain"] if quoted is None else quoted.replace('""', '"')).casefold())
        position = name.end()
    is_ranked = match is None or (match["method"] or "FIRST").upper() == "FIRST"
    return Quorum(needed, tuple(dict.fromkeys(found)), "*" in found, lowered_by, is_ranked)


def setting_of(quorum: Quorum | None) -> str:
    """`synchronous_standby_names` that says so; empty where commits wait for nobody."""
    if quorum is None or quorum.needed < 1 or not quorum.named:
        return ""
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in quorum.named)
    return f"{'FIRST' if quorum.is_ranked else 'ANY'} {quorum.needed} ({names})"


def says(setting: str, quorum: Quorum | None) -> bool:
    """Whether `synchronous_standby_names` asks for as many of the same members."""
    try:
        found = quorum_of(setting)
    except ValueError:
        return False
    return _asks(found) == _asks(quorum)


def _asks(quorum: Quorum | None) -> tuple[int, frozenset[str]] | None:
    return None if quorum is None or quorum.needed < 1 else (quorum.needed, frozenset(quorum.named))


@dataclass(frozen=True, slots=True)
class NewSet:
    """What commits of a new primary wait for."""

    quorum: Quorum | None
    note: str = ""
    """What it lacks of what was asked of the old primary; empty where it lacks nothing."""


def for_new_primary(rule: Quorum | None, there: Iterable[str]) -> NewSet:
    """The rule for a server that takes over, when of all other members only those that are `there` can confirm.

    A commit must not wait for a member that is gone: then nobody could write. It waits for as many of those that are
    there as the rule asks for, and what that lacks is said: nothing of it goes in silence.
    """
    names = tuple(sorted({name.casefold() for name in there}))
    if rule is None or rule.needed < 1:
        return NewSet(None)
    if not names:
        return NewSet(None, "no other member is there: commits wait for nobody until one is back")
    if len(names) < rule.needed:
        few = replace(rule, needed=len(names), named=names, is_any=False)
        return NewSet(few, f"commits wait for {len(names)} members instead of {rule.needed} until more are back")
    return NewSet(replace(rule, named=names, is_any=False))


def with_member(now: Quorum | None, rule: Quorum, member: str) -> Quorum:
    """What commits wait for once one more member is there, when `rule` says how many shall confirm."""
    named = tuple(sorted({*(() if now is None else now.named), member.casefold()} - {"*"}))
    return replace(rule, needed=min(rule.needed, len(named)), named=named, is_any=False)
