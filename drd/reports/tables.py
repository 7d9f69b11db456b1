"""Plain tables: aligned columns without lines, at most a hundred characters wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

WIDTH = 100
"""Columns that everything for people keeps within."""

STYLES = {
    "ok": "green", "succeeded": "green", "proven": "green", "keep": "green",
    "well": "green", "answers": "green", "fails": "bold red",
    "process dead": "bold red", "host silent": "bold red", "two primaries": "bold red",
    "accepts TCP but not SQL": "bold red", "crash loop": "bold red", "restarting for too long": "bold red",
    "running": "cyan", "paused": "cyan",
    "late": "yellow", "incomplete": "yellow", "away": "yellow", "held": "yellow", "guarded": "yellow",
    "suspect": "bold red", "failed": "bold red", "lacking": "bold red",
    "damaged": "bold red", "never run": "yellow", "forget": "red",
}  # fmt: skip
"""Colours of states. The words say all that the colours say."""


Cell = str | Text
Row = Sequence[Cell]


def table(headings: Sequence[str], rows: Iterable[Row], right: Iterable[str] = ()) -> Table:
    """A table; columns named in `right` are aligned there."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    aligned_right = set(right)
    for heading in headings:
        grid.add_column(heading, justify="right" if heading in aligned_right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return grid


def state(word: str) -> Text:
    """A state in its colour."""
    return Text(word, style=STYLES.get(word, ""))


def heading(words: str) -> Text:
    """A line over a section."""
    return Text(words, style="bold")


def typed(words: str) -> Text:
    """Something to type, set in by two columns."""
    return Text(f"  {words}", style="cyan")
