"""Stores: what is known of each, and what it owes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from drd.core.encoding import Fact
from drd.core.events.stores import BY_RESTORE
from drd.core.projections.effect import Effect
from drd.core.rows import Shelves, StoreRow

FORGOTTEN_ANCHORS_KEPT = 100
"""A mirror forgets these after its origin: at one a week it may stay away for two years."""


def _retention_applied(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(shelves, body["store"])
    store["last_retained"] = fact.at
    shelves.stores.put((body["store"],), store)


def _head_anchored(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(shelves, body["store"])
    store["anchors"].append({"snapshot_id": body["snapshot_id"], "at": fact.at})
    shelves.stores.put((body["store"],), store)


def _anchors_forgotten(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store, gone = store_row(shelves, body["store"]), body["snapshot_ids"]
    store["anchors"] = [anchor for anchor in store["anchors"] if anchor["snapshot_id"] not in gone]
    store["forgotten_anchors"] = [*store["forgotten_anchors"], *gone][-FORGOTTEN_ANCHORS_KEPT:]
    shelves.stores.put((body["store"],), store)


def _store_created(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(shelves, body["store"])
    if store["repository_id"] != body["repository_id"]:
        store["anchors"], store["unsound"] = [], []  # both were of the repository that was there before
    store["repository_id"] = body["repository_id"]
    shelves.stores.put((body["store"],), store)


def _store_went_away(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(shelves, body["store"])
    store["away_since"] = store["away_since"] or fact.at
    shelves.stores.put((body["store"],), store)


def _store_came_back(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(shelves, body["store"])
    store["away_since"] = None
    shelves.stores.put((body["store"],), store)


def _store_reconciled(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(shelves, body["store"])
    store["last_reconciled"] = fact.at
    shelves.stores.put((body["store"],), store)


def _store_checked(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    """Damage found in one subset is not healed by a sound look at another: only the same, or all of it, clears it."""
    store = store_row(shelves, body["store"])
    store["last_checked"] = fact.at
    subset = body["subset"]
    others = [] if body["sound"] and subset == "100%" else [each for each in store["unsound"] if each != subset]
    store["unsound"] = others if body["sound"] else sorted([*others, subset])
    shelves.stores.put((body["store"],), store)


def _store_pruned(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(shelves, body["store"])
    store["last_pruned"] = fact.at
    store["is_prune_owed"] = False
    shelves.stores.put((body["store"],), store)


def _hold_placed(shelves: Shelves, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(shelves, body["store"])
    store["hold"], store["is_identity_held"] = body["reason"], body.get("is_identity", False)
    shelves.stores.put((body["store"],), store)


def _hold_released(shelves: Shelves, fact: Fact, body: dict[str, Any]) -> None:
    """A person's word that what was met is put right; what a check found only a check takes back."""
    store = store_row(shelves, body["store"])
    store["unsound"] = [each for each in store["unsound"] if each != BY_RESTORE]
    store["hold"], store["is_identity_held"], store["last_released"] = None, False, fact.at
    shelves.stores.put((body["store"],), store)


def store_row(shelves: Shelves, name: str) -> StoreRow:
    """The row of a store, a new one when there is none."""
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


def owe_prune(shelves: Shelves, name: str) -> None:
    """Note that something in a store has lost its last reference."""
    store = store_row(shelves, name)
    if not store["is_prune_owed"]:
        store["is_prune_owed"] = True
        shelves.stores.put((name,), store)


EFFECTS: Final[Mapping[str, Effect]] = {
    "retention-applied": _retention_applied,
    "head-anchored": _head_anchored,
    "anchors-forgotten": _anchors_forgotten,
    "store-created": _store_created,
    "store-went-away": _store_went_away,
    "store-came-back": _store_came_back,
    "store-reconciled": _store_reconciled,
    "store-checked": _store_checked,
    "store-pruned": _store_pruned,
    "hold-placed": _hold_placed,
    "hold-released": _hold_released,
}
