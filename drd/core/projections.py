"""What follows from the events: one pure fold, used when an event is written and when everything is built anew.

The state stands on shelves of plain rows (JSON values, moments as canonical texts that sort as moments do), so that a
million events fold in seconds and a row is stored exactly as it is. `drd.core.catalogue` has the values that people and
engines see. A change of meaning in here is a new `VERSION`: the projections are then built anew at the next start.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any

from drd.core.encoding import Fact
from drd.core.postgres.lsn import Lsn
from drd.core.rows import (
    CopyRow,
    PauseRow,
    PlaceRow,
    PointRow,
    PolicyRow,
    RestoreRow,
    RunRow,
    Shelves,
    StoreRow,
)
from drd.core.run import Outcome, worse

VERSION = 7
"""Meaning of the rows. Another one on the disk is thrown away and built anew from the events."""

RUNS_KEPT = 500
"""Newest runs of each policy that stay in the catalogue; the events know all."""

FORGOTTEN_ANCHORS_KEPT = 100
"""A mirror forgets these after its origin: at one a week it may stay away for two years."""

MARKS_KEPT = 64
"""Marks of one group of WAL; when there are more, every second one is left out."""

RESTORES_KEPT = 50
"""Newest restores of each policy that are known, and every one without an end."""


def fold(shelves: Shelves, fact: Fact) -> None:
    """Let one event take effect. Kinds that change nothing here are passed over."""
    effect = _EFFECTS.get(fact.kind)
    if effect is not None:
        effect(shelves, fact, fact.body)


def withheld(point: PointRow, store: str) -> frozenset[str]:
    """Ids of a point's snapshots in other stores that are not carried into `store`.

    It has forgotten them, or holds those parts of a point that is not good under ids of its own.
    """
    there = [copy for copy in point["copies"] if copy["store"] == store]
    ids, parts = {copy["snapshot_id"] for copy in there}, {copy["part"] for copy in there}
    is_forgotten, is_marked = store in point["forgotten_in"], point["outcome"] != "succeeded"
    elsewhere = [copy for copy in point["copies"] if copy["snapshot_id"] not in ids]
    return frozenset(copy["snapshot_id"] for copy in elsewhere if is_forgotten or (is_marked and copy["part"] in parts))


Effect = Callable[[Shelves, Fact, dict[str, Any]], None]


def _policy_added(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    row = _policy(shelves, body["policy"], fact.at)
    if not row["protected"]:
        row["protected"], row["created"] = True, fact.at
    shelves.policies.put((body["policy"],), row)


def _policy_removed(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    row = shelves.policies.get((body["policy"],))
    if row is not None:
        row["protected"] = False
        shelves.policies.put((body["policy"],), row)


def _run_started(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    name = body["policy"]
    policy = _policy(shelves, name, fact.at)
    run = _new_run(fact, name, body["mode"], body["cause"], policy["runs"] % RUNS_KEPT)
    policy["runs"] += 1
    policy["last_start"][body["mode"]] = fact.at
    policy["last_run"] = run
    shelves.policies.put((name,), policy)
    shelves.open_runs.put((run["run"],), run)
    shelves.runs.put((name, run["slot"]), run)


def _run_finished(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    name, outcome = body["policy"], body["outcome"]
    policy = _policy(shelves, name, fact.at)
    started = shelves.open_runs.get((fact.run or "",))
    if started is None:
        started = _new_run(fact, name, body["mode"], "schedule", policy["runs"] % RUNS_KEPT)
        policy["runs"] += 1
        policy["last_run"] = None
    else:
        shelves.open_runs.drop((started["run"],))
    run: RunRow = {
        **started,
        "finished": fact.at,
        "outcome": outcome,
        "message": body["message"],
        "hint": body["hint"],
        "added_bytes": body["added_bytes"],
        "total_bytes": body["total_bytes"],
    }
    in_ring = shelves.runs.get((name, run["slot"]))
    if in_ring is None or in_ring["sequence"] <= run["sequence"]:
        shelves.runs.put((name, run["slot"]), run)
    if policy["last_run"] is None or policy["last_run"]["run"] == run["run"]:
        policy["last_run"] = run
    _count(policy, run, body.get("store", ""))
    shelves.policies.put((name,), policy)
    point = shelves.points.get((name, run["run"]))
    if point is not None and point["outcome"] != outcome:
        point["outcome"] = outcome
        shelves.points.put((name, run["run"]), point)


def _count(policy: PolicyRow, run: RunRow, store: str) -> None:
    if run["outcome"] == "succeeded":
        policy["last_success_start"][run["mode"]] = run["started"]
        policy["last_success_finished"] = run["finished"]
        policy["last_total_bytes"] = run["total_bytes"]
        policy["failures_in_a_row"] = 0
    elif run["outcome"] in ("failed", "incomplete"):
        there = policy["failures"].setdefault(store, {})
        there[run["mode"]] = there.get(run["mode"], 0) + 1
        policy["failures_in_a_row"] += 1


def _snapshot_created(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    key = (body["policy"], fact.run or "")
    point = shelves.points.get(key)
    if point is None:
        point = _new_point(body["mode"], body["moment"], body["outcome"])
    if all(copy["part"] != body["part"] for copy in point["copies"]):
        point["total_bytes"] += body["total_bytes"]
        point["total_files"] += body["total_files"]
        point["moment"] = min(point["moment"], body["moment"])
        point["outcome"] = worse(Outcome(point["outcome"]), Outcome(body["outcome"])).value
    _place(shelves, key, point, body)


def _copy_created(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    key = (body["policy"], body.get("point_run") or fact.run or "")
    point = shelves.points.get(key)
    if point is None:
        origin = shelves.places.get((body["origin_store"], body["snapshot_id"]))
        if origin is not None:
            key = (origin["policy"], origin["run"])
            point = shelves.points.get(key)
    if point is None:  # its point was forgotten meanwhile, and with it whether it was complete
        point = _new_point("incremental", body["moment"], "incomplete")
    _place(shelves, key, point, body)


def _snapshot_found(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    key = (body["policy"], body["run"])
    point = shelves.points.get(key)
    if point is None:
        point = _new_point(body["mode"], body["moment"], body["outcome"])
    if all(copy["part"] != body["part"] for copy in point["copies"]):
        point["total_bytes"] += body.get("total_bytes", 0)
        point["total_files"] += body.get("total_files", 0)
        point["moment"] = min(point["moment"], body["moment"])
        point["outcome"] = worse(Outcome(point["outcome"]), Outcome(body["outcome"])).value
    _place(shelves, key, point, body)


def _snapshot_missing(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    _lose_wal(shelves, body["policy"], body["store"], body["snapshot_id"])
    _lose(shelves, body["store"], body["snapshot_id"])
    _owe_prune(shelves, body["store"])


def _snapshots_forgotten(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store = body["store"]
    for snapshot_id in body["snapshot_ids"]:
        place = shelves.places.get((store, snapshot_id))
        _lose(shelves, store, snapshot_id)
        point = shelves.points.get((place["policy"], place["run"])) if place is not None else None
        if place is not None and point is not None and store not in point["forgotten_in"]:
            point["forgotten_in"].append(intern(store))
            shelves.points.put((place["policy"], place["run"]), point)
    if body["snapshot_ids"]:
        _owe_prune(shelves, store)


def _wal_shipped(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    key = (body["policy"], body["store"], body["group"])
    row = shelves.wal.get(key)
    snapshot_id = body["snapshot_id"]
    place: PlaceRow = {"policy": intern(body["policy"]), "run": intern(body["group"])}
    shelves.places.put((intern(body["store"]), snapshot_id), place)
    if row is None:
        row = {
            "snapshot_id": snapshot_id,
            "superseded": [],
            "system_identifier": body["system_identifier"],
            "segment_bytes": body["segment_bytes"],
            "through": body["through"],
            "moment": body["moment"],
            "switches": list(body["switches"]),
            "marks": [],
            "shipped": fact.at,
        }
    elif Lsn.parse(body["through"]) < Lsn.parse(row["through"]):  # an older one that was found later
        row["superseded"] = [*row["superseded"], snapshot_id]
        shelves.wal.put(key, row)
        return
    elif row["snapshot_id"] != snapshot_id:
        row["superseded"] = [*row["superseded"], row["snapshot_id"]]
    row["superseded"] = [each for each in row["superseded"] if each != snapshot_id]
    row["snapshot_id"], row["through"], row["moment"] = snapshot_id, body["through"], body["moment"] or row["moment"]
    row["switches"], row["shipped"] = list(body["switches"]) or row["switches"], fact.at
    row["marks"] = _thinned([*row["marks"], [body["moment"], body["through"]]] if body["moment"] else row["marks"])
    shelves.wal.put(key, row)


def _thinned(marks: list[list[str]]) -> list[list[str]]:
    """Every second mark of too many; the newest stays, since it tells how far the group goes."""
    return marks if len(marks) <= MARKS_KEPT else marks[::-2][::-1]


def _wal_forgotten(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    for snapshot_id in body["snapshot_ids"]:
        _lose_wal(shelves, body["policy"], body["store"], snapshot_id)
        shelves.places.drop((body["store"], snapshot_id))
    if body["snapshot_ids"]:
        _owe_prune(shelves, body["store"])


def _lose_wal(shelves: Shelves, policy: str, store: str, snapshot_id: str) -> None:
    place = shelves.places.get((store, snapshot_id))
    key = (policy, store, place["run"] if place is not None else "")
    row = shelves.wal.get(key)
    if row is None:
        return
    if row["snapshot_id"] == snapshot_id:
        # Of what the superseded ones reach to nothing is known here; the spool or another store has it.
        shelves.wal.drop(key)
        return
    row["superseded"] = [each for each in row["superseded"] if each != snapshot_id]
    shelves.wal.put(key, row)


def _retention_applied(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    store["last_retained"] = fact.at
    shelves.stores.put((body["store"],), store)


def _head_anchored(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    store["anchors"].append({"snapshot_id": body["snapshot_id"], "at": fact.at})
    shelves.stores.put((body["store"],), store)


def _anchors_forgotten(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store, gone = _store(shelves, body["store"]), body["snapshot_ids"]
    store["anchors"] = [anchor for anchor in store["anchors"] if anchor["snapshot_id"] not in gone]
    store["forgotten_anchors"] = [*store["forgotten_anchors"], *gone][-FORGOTTEN_ANCHORS_KEPT:]
    shelves.stores.put((body["store"],), store)


def _restore_started(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    _note_restore(shelves, fact, body, finished=None, outcome=None)


def _restore_finished(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    _note_restore(shelves, fact, body, finished=fact.at, outcome=body["outcome"])
    if not body["whole"] or body["outcome"] != "succeeded":
        return
    key = (body["policy"], body["point_run"])
    point = shelves.points.get(key)
    if point is None:
        return
    wanted = body.get("snapshot_id", "")
    there = [copy for copy in point["copies"] if copy["store"] == body["store"]]
    restored = [copy for copy in there if copy["snapshot_id"] == wanted] if wanted else there
    if len(restored) == 1:  # of several parts none is named: a guess would call one proven that nobody read
        restored[0]["standing"], restored[0]["proven_at"] = "proven", fact.at
        shelves.points.put(key, point)


def _note_restore(
    shelves: Shelves, fact: Fact, body: dict[str, Any], finished: str | None, outcome: str | None
) -> None:
    row = shelves.restores.get((body["policy"],)) or {"restores": []}
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
    shelves.restores.put((body["policy"],), row)


def _store_created(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    if store["repository_id"] != body["repository_id"]:
        store["anchors"], store["unsound"] = [], []  # both were of the repository that was there before
    store["repository_id"] = body["repository_id"]
    shelves.stores.put((body["store"],), store)


def _store_went_away(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    store["away_since"] = store["away_since"] or fact.at
    shelves.stores.put((body["store"],), store)


def _store_came_back(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    store["away_since"] = None
    shelves.stores.put((body["store"],), store)


def _store_reconciled(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    store["last_reconciled"] = fact.at
    shelves.stores.put((body["store"],), store)


def _store_checked(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    """Damage found in one subset is not healed by a sound look at another: only the same, or all of it, clears it."""
    store = _store(shelves, body["store"])
    store["last_checked"] = fact.at
    subset = body["subset"]
    others = [] if body["sound"] and subset == "100%" else [each for each in store["unsound"] if each != subset]
    store["unsound"] = others if body["sound"] else sorted([*others, subset])
    shelves.stores.put((body["store"],), store)


def _store_pruned(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    store["last_pruned"] = fact.at
    store["is_prune_owed"] = False
    shelves.stores.put((body["store"],), store)


def _hold_placed(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    store["hold"], store["is_identity_held"] = body["reason"], body.get("is_identity", False)
    shelves.stores.put((body["store"],), store)


def _hold_released(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = _store(shelves, body["store"])
    store["hold"], store["is_identity_held"], store["last_released"] = None, False, fact.at
    shelves.stores.put((body["store"],), store)


def _paused(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    pause: PauseRow = {"until": body["until"], "reason": body["reason"], "by": body["by"]}
    shelves.pauses.put((body["policy"], body["what"]), pause)


def _resumed(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    shelves.pauses.drop((body["policy"], body["what"]))


def _policy(shelves: Shelves, name: str, at: str) -> PolicyRow:
    return shelves.policies.get((name,)) or {
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
    }


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
        "sequence": fact.sequence,
        "slot": slot,
    }


def _new_point(mode: str, moment: str, outcome: str) -> PointRow:
    return {
        "mode": intern(mode),
        "moment": moment,
        "outcome": intern(outcome),
        "total_bytes": 0,
        "total_files": 0,
        "copies": [],
        "forgotten_in": [],
        "facts": {},
    }


def _store(shelves: Shelves, name: str) -> StoreRow:
    return shelves.stores.get((name,)) or {
        "repository_id": None,
        "away_since": None,
        "last_checked": None,
        "unsound": [],
        "last_pruned": None,
        "last_reconciled": None,
        "hold": None,
        "is_identity_held": False,
        "last_released": None,
        "last_retained": None,
        "is_prune_owed": False,
        "anchors": [],
        "forgotten_anchors": [],
    }


def _owe_prune(shelves: Shelves, name: str) -> None:
    store = _store(shelves, name)
    if not store["is_prune_owed"]:
        store["is_prune_owed"] = True
        shelves.stores.put((name,), store)


def _place(shelves: Shelves, key: tuple[str, str], point: PointRow, body: dict[str, Any]) -> None:
    store, snapshot_id = body["store"], body["snapshot_id"]
    if all(copy["store"] != store or copy["snapshot_id"] != snapshot_id for copy in point["copies"]):
        copy: CopyRow = {
            "store": intern(store),
            "part": intern(body["part"]),
            "snapshot_id": snapshot_id,
            "standing": "claimed",
            "proven_at": None,
        }
        point["copies"].append(copy)
    point["forgotten_in"] = [each for each in point["forgotten_in"] if each != store]
    if facts := body.get("facts"):
        point["facts"][intern(body["part"])] = facts
    shelves.points.put(key, point)
    shelves.places.put((intern(store), snapshot_id), {"policy": key[0], "run": key[1]})
    if shelves.stores.get((store,)) is None:
        shelves.stores.put((store,), _store(shelves, store))


def _lose(shelves: Shelves, store: str, snapshot_id: str) -> None:
    place = shelves.places.get((store, snapshot_id))
    if place is None:
        return
    shelves.places.drop((store, snapshot_id))
    key = (place["policy"], place["run"])
    point = shelves.points.get(key)
    if point is None:
        return
    lost = {c["part"] for c in point["copies"] if c["store"] == store and c["snapshot_id"] == snapshot_id}
    point["copies"] = [c for c in point["copies"] if c["store"] != store or c["snapshot_id"] != snapshot_id]
    if not point["copies"]:
        shelves.points.drop(key)
        return
    if point["outcome"] == "succeeded" and not lost <= {c["part"] for c in point["copies"]}:
        point["outcome"] = "incomplete"  # one of its parts is nowhere any more
    shelves.points.put(key, point)


_EFFECTS: dict[str, Effect] = {
    "policy-added": _policy_added,
    "policy-removed": _policy_removed,
    "run-started": _run_started,
    "run-finished": _run_finished,
    "snapshot-created": _snapshot_created,
    "copy-created": _copy_created,
    "snapshot-found": _snapshot_found,
    "snapshot-missing": _snapshot_missing,
    "snapshots-forgotten": _snapshots_forgotten,
    "wal-shipped": _wal_shipped,
    "wal-forgotten": _wal_forgotten,
    "retention-applied": _retention_applied,
    "head-anchored": _head_anchored,
    "anchors-forgotten": _anchors_forgotten,
    "restore-started": _restore_started,
    "restore-finished": _restore_finished,
    "store-created": _store_created,
    "store-went-away": _store_went_away,
    "store-came-back": _store_came_back,
    "store-reconciled": _store_reconciled,
    "store-checked": _store_checked,
    "store-pruned": _store_pruned,
    "hold-placed": _hold_placed,
    "hold-released": _hold_released,
    "paused": _paused,
    "resumed": _resumed,
}
