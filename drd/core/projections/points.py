"""Recovery points, and where their copies are."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any, Final

from drd.core.encoding import Fact
from drd.core.projections.effect import Effect
from drd.core.projections.stores import forget_in, owe_prune, store_row
from drd.core.projections.wal import lose_wal
from drd.core.rows import CopyRow, PointRow, Tables
from drd.core.run import Outcome, worse
from drd.core.tags import completed_by


def _snapshot_created(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    key = (body["policy"], fact.run or "")
    point = tables.points.get(key)
    if point is None:
        point = _new_point(body["mode"], body["moment"], body["outcome"])
    if all(copy["part"] != body["part"] for copy in point["copies"]):
        point["total_bytes"] += body["total_bytes"]
        point["total_files"] += body["total_files"]
        _note_moment(point, body)
        point["moment"] = _moment(point, body)
        point["outcome"] = worse(Outcome(point["outcome"]), Outcome(body["outcome"])).value
    _place(tables, fact, key, point, body)


def _copy_created(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    key = (body["policy"], body.get("point_run") or fact.run or "")
    point = tables.points.get(key)
    if point is None:
        origin = tables.places.get((body["origin_store"], body["snapshot_id"]))
        if origin is not None:
            key = (origin["policy"], origin["run"])
            point = tables.points.get(key)
    if point is None:  # its point was forgotten meanwhile, and with it whether it was complete
        point = _new_point("incremental", body["moment"], "incomplete")
    _place(tables, fact, key, point, body)


def _snapshot_found(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    key = (body["policy"], body["run"])
    point = tables.points.get(key)
    if point is None:
        point = _new_point(body["mode"], body["moment"], body["outcome"])
    if all(copy["part"] != body["part"] for copy in point["copies"]):
        point["total_bytes"] += body.get("total_bytes", 0)
        point["total_files"] += body.get("total_files", 0)
        _note_moment(point, body)
        point["moment"] = _moment(point, body)
        point["outcome"] = worse(Outcome(point["outcome"]), Outcome(body["outcome"])).value
    _place(tables, fact, key, point, body)


def _snapshot_missing(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    lose_wal(tables, body["policy"], body["store"], body["snapshot_id"])
    _lose(tables, body["store"], body["snapshot_id"])
    owe_prune(tables, body["store"], (body["snapshot_id"],))


def _snapshots_forgotten(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    store = body["store"]
    for snapshot_id in body["snapshot_ids"]:
        forget_in(tables, store, snapshot_id)
        _lose(tables, store, snapshot_id)
    if body["snapshot_ids"]:
        owe_prune(tables, store, body["snapshot_ids"])


def withheld(point: PointRow, store: str) -> frozenset[str]:
    """Ids of a point's snapshots in other stores that are not carried into `store`.

    It has forgotten them, or holds those parts of a point that is not good under ids of its own.
    """
    there = [copy for copy in point["copies"] if copy["store"] == store]
    ids, parts = {copy["snapshot_id"] for copy in there}, {copy["part"] for copy in there}
    is_forgotten, is_marked = store in point["forgotten_in"], point["outcome"] != "succeeded"
    elsewhere = [copy for copy in point["copies"] if copy["snapshot_id"] not in ids]
    return frozenset(copy["snapshot_id"] for copy in elsewhere if is_forgotten or (is_marked and copy["part"] in parts))


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
        "moments": {},
    }


def _note_moment(point: PointRow, body: dict[str, Any]) -> None:
    """Of several parts each has a moment of its own; of one alone it is the point's."""
    if point["copies"]:
        point["moments"].setdefault(point["copies"][0]["part"], point["moment"])
        point["moments"][intern(body["part"])] = body["moment"]


def _moment(point: PointRow, body: dict[str, Any]) -> str:
    """When a point with one more part is of: the oldest moment of its parts, of those that stand for themselves."""
    if not any(completed_by(point["facts"].get(copy["part"], ())) is None for copy in point["copies"]):
        return str(body["moment"])
    return point["moment"] if completed_by(body.get("facts", ())) else min(point["moment"], body["moment"])


def _place(tables: Tables, fact: Fact, key: tuple[str, str], point: PointRow, body: dict[str, Any]) -> None:
    store, snapshot_id = body["store"], body["snapshot_id"]
    if all(copy["store"] != store or copy["snapshot_id"] != snapshot_id for copy in point["copies"]):
        copy: CopyRow = {
            "store": intern(store),
            "part": intern(body["part"]),
            "snapshot_id": snapshot_id,
            "standing": "claimed",
            "proven_at": None,
            "arrived": fact.at,
        }
        point["copies"].append(copy)
    point["forgotten_in"] = [each for each in point["forgotten_in"] if each != store]
    if facts := body.get("facts"):
        point["facts"][intern(body["part"])] = facts
    tables.points.put(key, point)
    tables.places.put((intern(store), snapshot_id), {"policy": key[0], "run": key[1]})
    if tables.stores.get((store,)) is None:
        tables.stores.put((store,), store_row(tables, store))


def _lose(tables: Tables, store: str, snapshot_id: str) -> None:
    place = tables.places.get((store, snapshot_id))
    if place is None:
        return
    tables.places.drop((store, snapshot_id))
    key = (place["policy"], place["run"])
    point = tables.points.get(key)
    if point is None:
        return
    lost = {c["part"] for c in point["copies"] if c["store"] == store and c["snapshot_id"] == snapshot_id}
    point["copies"] = [c for c in point["copies"] if c["store"] != store or c["snapshot_id"] != snapshot_id]
    if not point["copies"]:
        tables.points.drop(key)
        return
    if point["outcome"] == "succeeded" and not lost <= {c["part"] for c in point["copies"]}:
        point["outcome"] = "incomplete"  # one of its parts is nowhere any more
    tables.points.put(key, point)


EFFECTS: Final[Mapping[str, Effect]] = {
    "snapshot-created": _snapshot_created,
    "copy-created": _copy_created,
    "snapshot-found": _snapshot_found,
    "snapshot-missing": _snapshot_missing,
    "snapshots-forgotten": _snapshots_forgotten,
}
