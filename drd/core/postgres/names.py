"""Names as SQL and pg_hba.conf write them."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_SPOKEN_FOR = frozenset({"all", "sameuser", "samerole", "samegroup", "replication"})
"""Words that pg_hba.conf reads otherwise where a database stands, unless they are quoted."""


def sql_name(name: str) -> str:
    """A name as SQL writes it, quoted where it has to be."""
    doubled = name.replace('"', '""')
    return name if _PLAIN.fullmatch(name) else f'"{doubled}"'


def hba_name(name: str) -> str:
    """The name of a role or database as pg_hba.conf writes it."""
    doubled = name.replace('"', '""')
    return name if _PLAIN.fullmatch(name) and name not in _SPOKEN_FOR else f'"{doubled}"'
