"""Restores, and the copies that they prove."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from drd.core.encoding import Fact
from drd.core.projections.effect import Effect
from drd.core.rows import RestoreRow, Tables

RESTORES_KEPT = 50
"""Newest restores of each policy that are known, and every one without an end."""


def _restore_started(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    _note_restore(tables, fact, body, finished=None, outcome=None)


def _restore_finished(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    _note_restore(tables, fact, body, finished=fact.at, outcome=body["outcome"])
    if not body["whole"] or body["outcome"] != "succeeded":
        return
    key = (body["policy"], body["point_run"])
    point = tables.points.get(key)
    if point is None:
        return
    wanted = body.get("snapshot_id", "")
    there = [copy for copy in point["copies"] if copy["store"] == body["store"]]
    restored = [copy for copy in there if copy["snapshot_id"] == wanted] if wanted else there
    if len(restored) == 1:  # of several parts none is named: a guess would call one proven that nobody read
        restored[0]["standing"], restored[0]["proven_at"] = "proven", fact.at
        tables.points.put(key, point)


def _note_restore(tables: Tables, fact: Fact, body: dict[str, Any], finished: str | None, outcome: str | None) -> None:
    row = tables.restores.get((body["policy"],)) or {"restores": []}
    run = fact.run or ""
    before = next((each for each in row["restores"] if each["run"] == run), None)
    # Each part of a restore has an end of its own, with its own figures; another try begins anew.
    ended = before if before is not None and finished is not None else None
    restore: RestoreRow = {
        "run": run,
        "point_run": body["point_run"],
        "store": body["store"],
        "snapshot_id": body.get("snapshot_id", ""),
        "started": before["started"] if before is not None else fact.at,
        "finished": finished,
        "outcome": outcome,
        "bytes": (ended["bytes"] if ended is not None else 0) + body.get("bytes", 0),
        "seconds": (ended["seconds"] if ended is not None else 0.0) + body.get("seconds", 0.0),
        "whole": body.get("whole", False),
    }
    known = [*(each for each in row["restores"] if each["run"] != run), restore]
    row["restores"] = [each for each in known[:-RESTORES_KEPT] if each["outcome"] is None] + known[-RESTORES_KEPT:]
    tables.restores.put((body["policy"],), row)


EFFECTS: Final[Mapping[str, Effect]] = {
    "restore-started": _restore_started,
    "restore-finished": _restore_finished,
}
