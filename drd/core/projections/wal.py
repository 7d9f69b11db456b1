"""Groups of WAL, and how far they go in which store."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any, Final

from drd.core.encoding import Fact
from drd.core.postgres.lsn import Lsn
from drd.core.projections.effect import Effect
from drd.core.projections.policies import policy_row
from drd.core.projections.stores import find_again, owe_prune
from drd.core.rows import LostWalRow, PlaceRow, Tables
from drd.core.wal_rows import wal_key

MARKS_KEPT = 64
"""Marks of one group of WAL; when there are more, every second one is left out."""


def _wal_shipped(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    group = wal_key(body["system_identifier"], body["group"])
    key = (body["policy"], body["store"], group)
    row = tables.wal.get(key)
    snapshot_id = body["snapshot_id"]
    place: PlaceRow = {"policy": intern(body["policy"]), "run": intern(group)}
    tables.places.put((intern(body["store"]), snapshot_id), place)
    find_again(tables, body["store"], snapshot_id)
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
        tables.wal.put(key, row)
        return
    elif row["snapshot_id"] != snapshot_id:
        row["superseded"] = [*row["superseded"], row["snapshot_id"]]
    row["superseded"] = [each for each in row["superseded"] if each != snapshot_id]
    row["snapshot_id"], row["through"], row["moment"] = snapshot_id, body["through"], body["moment"] or row["moment"]
    row["switches"], row["shipped"] = list(body["switches"]) or row["switches"], fact.at
    row["marks"] = _thinned([*row["marks"], [body["moment"], body["through"]]] if body["moment"] else row["marks"])
    tables.wal.put(key, row)


def _thinned(marks: list[list[str]]) -> list[list[str]]:
    """Every second mark of too many; the newest stays, since it tells how far the group goes."""
    return marks if len(marks) <= MARKS_KEPT else marks[::-2][::-1]


def _wal_forgotten(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    for snapshot_id in body["snapshot_ids"]:
        lose_wal(tables, body["policy"], body["store"], snapshot_id)
        tables.places.drop((body["store"], snapshot_id))
    if body["snapshot_ids"]:
        owe_prune(tables, body["store"], body["snapshot_ids"])


def lose_wal(tables: Tables, policy: str, store: str, snapshot_id: str) -> None:
    """A batch of WAL is not in a store any more."""
    place = tables.places.get((store, snapshot_id))
    key = (policy, store, place["run"] if place is not None else "")
    row = tables.wal.get(key)
    if row is None:
        return
    if row["snapshot_id"] == snapshot_id:
        # Of what the superseded ones reach to nothing is known here; the spool or another store has it.
        tables.wal.drop(key)
        return
    row["superseded"] = [each for each in row["superseded"] if each != snapshot_id]
    tables.wal.put(key, row)


def _new_base_wanted(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    policy = policy_row(tables, body["policy"], fact.at)
    policy["new_base"] = {
        "key": body["key"],
        "message": body["message"],
        "since": fact.at,
        "sequence": fact.sequence,
    }
    policy["last_new_base"] = body["key"]
    tables.policies.put((body["policy"],), policy)


def _wal_gap_found(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    policy, gap = policy_row(tables, body["policy"], fact.at), _gap(body)
    policy["lost_wal"] = [*(each for each in policy["lost_wal"] if each != gap), gap]
    tables.policies.put((body["policy"],), policy)


def _wal_gap_closed(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    policy, gap = policy_row(tables, body["policy"], fact.at), _gap(body)
    policy["lost_wal"] = [each for each in policy["lost_wal"] if each != gap]
    tables.policies.put((body["policy"],), policy)


def _gap(body: dict[str, Any]) -> LostWalRow:
    return {"system_identifier": body["system_identifier"], "first": body["first"], "last": body["last"]}


EFFECTS: Final[Mapping[str, Effect]] = {
    "wal-shipped": _wal_shipped,
    "wal-forgotten": _wal_forgotten,
    "new-base-wanted": _new_base_wanted,
    "wal-gap-found": _wal_gap_found,
    "wal-gap-closed": _wal_gap_closed,
}
