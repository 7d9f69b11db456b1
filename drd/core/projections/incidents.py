"""Incidents: each with the facts of its run, from which its progress is folded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from drd.core.encoding import Fact
from drd.core.projections.effect import Effect
from drd.core.rows import Tables


def _started(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    run = fact.run or ""
    tables.incidents.put(
        (run,),
        {
            "run": run,
            "policy": body["policy"],
            "runbook": body["runbook"],
            "is_drill": body["is_drill"],
            "started": fact.at,
            "finished": None,
            "outcome": None,
            "sequence": fact.sequence,
            "facts": [[fact.at, fact.kind, body]],
        },
    )


def _went_on(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    row = tables.incidents.get((fact.run or "",))
    if row is not None:
        row["facts"].append([fact.at, fact.kind, body])
        tables.incidents.put((row["run"],), row)


def _finished(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    _went_on(tables, fact, body)
    row = tables.incidents.get((fact.run or "",))
    if row is not None:
        row["finished"], row["outcome"] = fact.at, body["outcome"]
        tables.incidents.put((row["run"],), row)


EFFECTS: Final[Mapping[str, Effect]] = {
    "incident-started": _started,
    "step-started": _went_on,
    "step-ordered": _went_on,
    "step-checked": _went_on,
    "step-finished": _went_on,
    "step-answered": _went_on,
    "deadline-missed": _went_on,
    "people-told": _went_on,
    "abort-asked": _went_on,
    "runbook-edited": _went_on,
    "primary-last-seen": _went_on,
    "loss-measured": _went_on,
    "standbys-given-back": _went_on,
    "incident-finished": _finished,
}
