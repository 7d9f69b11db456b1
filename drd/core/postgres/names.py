"""Names as SQL and pg_hba.conf write them."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

LONGEST: Final = 63
"""Bytes in a name of PostgreSQL's."""
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


def slot_name(policy: str) -> str:
    """The replication slot that a policy's WAL is received by."""
    name = f"drd_{policy.replace('-', '_')}"
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}_{sha256(policy.encode()).hexdigest()[:8]}"
