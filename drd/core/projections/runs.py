"""Runs, and what they count for their policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from drd.core.encoding import Fact
from drd.core.projections.effect import Effect
from drd.core.projections.policies import policy_row
from drd.core.rows import PolicyRow, RunRow, Tables

RUNS_KEPT = 500
"""Newest runs of each policy that stay in the catalogue; the events know all."""


def _run_started(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    name = body["policy"]
    policy = policy_row(tables, name, fact.at)
    run = _new_run(fact, name, body["mode"], body["cause"], policy["runs"] % RUNS_KEPT)
    policy["runs"] += 1
    policy["last_start"][body["mode"]] = fact.at
    policy["last_run"] = run
    tables.policies.put((name,), policy)
    tables.open_runs.put((run["run"],), run)
    tables.runs.put((name, run["slot"]), run)


def _run_finished(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    name, outcome = body["policy"], body["outcome"]
    policy = policy_row(tables, name, fact.at)
    started = tables.open_runs.get((fact.run or "",))
    if started is None:
        started = _new_run(fact, name, body["mode"], "schedule", policy["runs"] % RUNS_KEPT)
        policy["runs"] += 1
        policy["last_run"] = None
    else:
        tables.open_runs.drop((started["run"],))
    run: RunRow = {
        **started,
        "finished": fact.at,
        "outcome": outcome,
        "message": body["message"],
        "hint": body["hint"],
        "added_bytes": body["added_bytes"],
        "total_bytes": body["total_bytes"],
        "figures": body.get("figures"),
    }
    in_ring = tables.runs.get((name, run["slot"]))
    if in_ring is None or in_ring["sequence"] <= run["sequence"]:
        tables.runs.put((name, run["slot"]), run)
    if policy["last_run"] is None or policy["last_run"]["run"] == run["run"]:
        policy["last_run"] = run
    _count(policy, run, body.get("store", ""))
    tables.policies.put((name,), policy)
    point = tables.points.get((name, run["run"]))
    if point is not None and point["outcome"] != outcome:
        point["outcome"] = outcome
        tables.points.put((name, run["run"]), point)


def _count(policy: PolicyRow, run: RunRow, store: str) -> None:
    if run["outcome"] == "succeeded":
        policy["last_success_start"][run["mode"]] = run["started"]
        policy["last_success_finished"] = run["finished"]
        policy["last_total_bytes"] = run["total_bytes"]
        policy["failures_in_a_row"] = 0
        wanted = policy["new_base"]
        if wanted is not None and run["mode"] == "full" and run["sequence"] > wanted["sequence"]:
            policy["new_base"] = None
    elif run["outcome"] in ("failed", "incomplete"):
        there = policy["failures"].setdefault(store, {})
        there[run["mode"]] = there.get(run["mode"], 0) + 1
        policy["failures_in_a_row"] += 1


def _new_run(fact: Fact, policy: str, mode: str, cause: str, slot: int) -> RunRow:
    return {
        "run": fact.run or "",
        "policy": policy,
        "mode": mode,
        "cause": cause,
        "started": fact.at,
        "finished": None,
        "outcome": None,
        "message": "",
        "hint": "",
        "added_bytes": 0,
        "total_bytes": 0,
        "figures": None,
        "sequence": fact.sequence,
        "slot": slot,
    }


EFFECTS: Final[Mapping[str, Effect]] = {
    "run-started": _run_started,
    "run-finished": _run_finished,
}
