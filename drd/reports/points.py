"""Recovery points, and what retention would do with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drd.core.units import format_size
from drd.ports.control import CoveredRange, ForgetLine, PointStatus
from drd.reports.moments import age, local, number
from drd.reports.tables import Row, heading, state, table

SHOWN_OF_AN_ID = 8
"""Characters of a snapshot's id, as restic itself shows it."""


def points_table(points: Sequence[PointStatus], now: datetime, zone: ZoneInfo, why: bool) -> RenderableType:
    """One line a point, newest first: its moment as `--at` takes it, how well it is known, and where it lies.

    Below it stands what more there is to say of it, over the whole width: a terminal may have no more than 80 columns.
    """
    headings = ("moment", "age", "mode", "outcome", "size", "files", "where")
    rows: list[Row] = [_point_row(point, now, zone) for point in points]
    widths = [max(cell_len(str(cell)) for cell in column) for column in zip(headings, *rows, strict=True)]

    def part(rows: Sequence[Row], *, has_headings: bool) -> Table:
        made = table(headings, rows, ("size", "files"))
        made.show_header = has_headings
        for column, width in zip(made.columns[:-1], widths, strict=False):
            column.min_width = width
        return made

    parts: list[RenderableType] = [] if rows else [part((), has_headings=True)]
    for place, (point, row) in enumerate(zip(points, rows, strict=True)):
        parts.append(part((row,), has_headings=place == 0))
        said = [*point.notes, *(f"{places}: {kept}" for kept, places in _kept(point).items() if why)]
        parts += [Padding(Text(words, style="dim"), (0, 0, 0, 4)) for words in said]
    return Group(*parts)


def _point_row(point: PointStatus, now: datetime, zone: ZoneInfo) -> Row:
    return (
        local(point.moment, zone),
        age(point.moment, now),
        point.mode.value,
        state(point.outcome.value),
        format_size(point.total_bytes),
        number(point.total_files),
        ", ".join(_place(point, store) for store in (*point.stores, *point.damaged_in)) or "nowhere",
    )


def covered_table(ranges: Sequence[CoveredRange], zone: ZoneInfo) -> Table:
    """One line a range of moments, and one for each gap between two, with its reason."""
    rows: list[Row] = []
    for each in ranges:
        if each.gap:
            rows.append(["", "", "", "", Text(f"gap: {each.gap}", style="yellow")])
        where = f"{each.store} (damaged)" if each.is_damaged else each.store
        rows.append([where, local(each.first, zone), local(each.last, zone), str(each.timeline), ""])
    return table(["any moment", "from", "to", "timeline", ""], rows, ("timeline",))


def forget_plan(lines: Sequence[ForgetLine], now: datetime, zone: ZoneInfo) -> RenderableType:
    """What retention would do, a table a store, with its reasons and a sum below."""
    parts: list[RenderableType] = []
    for store, group in groupby(lines, key=lambda line: line.store):
        here = list(group)
        rows: list[Row] = [
            [
                state(line.action),
                local(line.moment, zone),
                age(line.moment, now),
                line.snapshot_id[:SHOWN_OF_AN_ID],
                _reasons(line.reasons),
            ]
            for line in here
        ]
        counts = ", ".join(f"{count} {word}" for word, count in _counts(here))
        parts += [heading(f"store {store}: {counts}"), Padding(_plan_table(rows), (0, 0, 1, 2))]
    return Group(*parts) if parts else Text("There is nothing in any store yet.")


def _plan_table(rows: list[Row]) -> Table:
    return table(["", "moment", "age", "snapshot", "reasons"], rows)


def _counts(lines: Sequence[ForgetLine]) -> list[tuple[str, int]]:
    words = {"keep": "kept", "forget": "to forget", "guarded": "held back by a guard"}
    counts = [(word, sum(line.action == action for line in lines)) for action, word in words.items()]
    return [(word, count) for word, count in counts if count]


def _kept(point: PointStatus) -> dict[str, str]:
    """Reasons → the stores where they hold, so that what is the same everywhere is said once."""
    stores: dict[str, str] = {}
    for store, reasons in point.why_kept.items():
        words = _reasons(reasons)
        stores[words] = f"{stores[words]}, {store}" if words in stores else store
    return stores


def _reasons(reasons: Sequence[str]) -> str:
    # restic says "hourly snapshot", "daily snapshot"; under a heading about snapshots the first words are enough.
    return ", ".join(reason.removesuffix(" snapshot") for reason in reasons)


def _place(point: PointStatus, store: str) -> str:
    if store in point.damaged_in:
        return f"{store} (damaged)"
    return f"{store} (proven)" if store in point.proven_in else store
