"""Policies, and what is paused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from drd.core.encoding import Fact
from drd.core.projections.effect import Effect
from drd.core.rows import PauseRow, PolicyRow, Tables

OUTAGES_KEPT: Final = 1000
"""Of a service: more than one a day in the year that downtime is counted over."""

UNSEEN_KEPT: Final = 1000
"""Times in which nobody saw a service."""


def _policy_added(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    row = policy_row(tables, body["policy"], fact.at)
    if not row["protected"]:
        row["protected"], row["created"] = True, fact.at
    tables.policies.put((body["policy"],), row)


def _policy_removed(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    row = tables.policies.get((body["policy"],))
    if row is not None:
        row["protected"] = False
        tables.policies.put((body["policy"],), row)


def _suspicion_raised(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    """The first suspicion is what is told until a person has looked: what follows from it is no news."""
    row = policy_row(tables, body["policy"], fact.at)
    if row["suspicion"] is None:
        row["suspicion"] = {"message": body["message"], "since": fact.at, "run": fact.run or ""}
        tables.policies.put((body["policy"],), row)


def _suspicion_released(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    row = policy_row(tables, body["policy"], fact.at)
    row["suspicion"] = None
    tables.policies.put((body["policy"],), row)


def _paused(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    pause: PauseRow = {"until": body["until"], "reason": body["reason"], "by": body["by"]}
    tables.pauses.put((body["policy"], body["what"]), pause)


def _resumed(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    tables.pauses.drop((body["policy"], body["what"]))


def _primary_seen(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    row = policy_row(tables, body["policy"], fact.at)
    row["last_primary"] = {
        "node": body["node"],
        "cluster": body["cluster"],
        "timeline": body["timeline"],
        "since": fact.at,
        "synchronous": body.get("synchronous", ""),
    }
    tables.policies.put((body["policy"],), row)


def _service_failed(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    row = policy_row(tables, body["policy"], fact.at)
    row["outages"].append({"bad": body["bad"], "good": body["good"], "up": None, "message": body["message"]})
    del row["outages"][:-OUTAGES_KEPT]
    tables.policies.put((body["policy"],), row)


def _service_restored(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    row = policy_row(tables, body["policy"], fact.at)
    for outage in row["outages"]:
        if outage["bad"] == body["bad"]:
            outage["up"] = body["up"]
    tables.policies.put((body["policy"],), row)


def _service_unseen(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    row = policy_row(tables, body["policy"], fact.at)
    row["unseen"].append({"since": body["since"], "until": body["until"]})
    if len(row["unseen"]) > UNSEEN_KEPT:  # what lies between the two oldest is taken for unseen as well
        first = row["unseen"].pop(0)
        row["unseen"][0]["since"] = first["since"]
    tables.policies.put((body["policy"],), row)


def policy_row(tables: Tables, name: str, at: str) -> PolicyRow:
    """The row of a policy, a new one when there is none."""
    return tables.policies.get((name,)) or {
        "protected": False,
        "created": at,
        "last_start": {},
        "last_success_start": {},
        "last_success_finished": None,
        "last_run": None,
        "failures_in_a_row": 0,
        "runs": 0,
        "failures": {},
        "last_total_bytes": None,
        "new_base": None,
        "last_new_base": "",
        "lost_wal": [],
        "suspicion": None,
        "last_primary": None,
        "outages": [],
        "unseen": [],
    }


EFFECTS: Final[Mapping[str, Effect]] = {
    "policy-added": _policy_added,
    "policy-removed": _policy_removed,
    "suspicion-raised": _suspicion_raised,
    "suspicion-released": _suspicion_released,
    "paused": _paused,
    "resumed": _resumed,
    "primary-seen": _primary_seen,
    "service-failed": _service_failed,
    "service-restored": _service_restored,
    "service-unseen": _service_unseen,
}
