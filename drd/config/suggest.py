"""Did you mean: the known word that a mistyped one comes nearest to."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LISTED = 12
"""A longer choice is not spelled out: nobody reads it to its end."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, None if none is near."""
    by_folded = {name.casefold(): name for name in known}
    found = get_close_matches(word.casefold().replace("_", "-"), [name.replace("_", "-") for name in by_folded], n=1)
    return next((name for folded, name in by_folded.items() if folded.replace("_", "-") in found), None)


def what_to_write(word: str, known: Iterable[str]) -> str:
    """How a sentence about an unknown word goes on: the word that was meant, else all that may stand there."""
    names = sorted(set(known))
    meant = nearest(word, names)
    if meant is not None:
        return f"did you mean `{meant}`?"
    if not names:
        return "remove it"
    if len(names) > _LISTED:
        return f"write one of {', '.join(f'`{name}`' for name in names[:_LISTED])} …"
    return f"write {'one of ' if len(names) > 1 else ''}{', '.join(f'`{name}`' for name in names)}"
