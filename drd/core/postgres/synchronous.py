"""What `synchronous_standby_names` says, as PostgreSQL's own grammar (`syncrep_gram.y`) has it."""

from __future__ import annotations

import re
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
    return Quorum(needed, tuple(dict.fromkeys(found)), "*" in found, lowered_by)
