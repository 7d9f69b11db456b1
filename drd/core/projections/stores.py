"""Stores: what is known of each, and what it owes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import Any, Final

from drd.core.encoding import Fact
from drd.core.events.healing import BY_LISTING, BY_MIRROR, BY_OPENING, BY_RESTORE
from drd.core.projections.effect import Effect
from drd.core.rotation import divided, holds, read_part
from drd.core.rows import StoreRow, Tables

SNAPSHOTS: Final = "snapshots/"
_RELEASED: Final = (BY_RESTORE, BY_MIRROR, BY_OPENING, BY_LISTING)
"""Findings that a person's word takes back."""
FORGOTTEN_ANCHORS_KEPT = 100
"""A mirror forgets these after its origin: at one a week it may stay away for two years."""


def _retention_applied(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["last_retained"] = fact.at
    tables.stores.put((body["store"],), store)


def _head_anchored(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["anchors"].append({"snapshot_id": body["snapshot_id"], "at": fact.at})
    tables.stores.put((body["store"],), store)


def _anchors_forgotten(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    store, gone = store_row(tables, body["store"]), body["snapshot_ids"]
    store["anchors"] = [anchor for anchor in store["anchors"] if anchor["snapshot_id"] not in gone]
    store["forgotten_anchors"] = [*store["forgotten_anchors"], *gone][-FORGOTTEN_ANCHORS_KEPT:]
    tables.stores.put((body["store"],), store)


def _store_created(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    if store["repository_id"] != body["repository_id"]:
        # All of this was of the repository that was there before.
        store["anchors"], store["unsound"], store["parts_read"], store["part_seconds"] = [], [], [], 0.0
        store["known_since"], store["damage"] = fact.at, None
        store["is_replaced"] = store["repository_id"] is not None
    # Whose keys are there then is taken for granted: drd made it, or a person has accepted it as it is.
    store["keys"], store["foreign_keys"] = [], []
    store["repository_id"] = body["repository_id"]
    tables.stores.put((body["store"],), store)


def _store_went_away(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["away_since"] = store["away_since"] or fact.at
    tables.stores.put((body["store"],), store)


def _store_came_back(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["away_since"] = None
    tables.stores.put((body["store"],), store)


def _store_reconciled(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["last_reconciled"] = fact.at
    # What was listed did not leave, and what was not is off the record by now.
    store["leaving"], store["is_replaced"] = [], False
    tables.stores.put((body["store"],), store)


def _store_checked(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    """Damage found in one subset is not healed by a sound look at another: only one that holds it clears it."""
    store = store_row(tables, body["store"])
    store["last_checked"] = fact.at
    subset = body["subset"]
    others = [each for each in store["unsound"] if each != subset and not (body["sound"] and _saw(subset, each))]
    store["unsound"] = others if body["sound"] else sorted([*others, subset])
    _close_when_sound(store)
    part = read_part(subset)
    if part is not None:
        store["parts_read"] = divided(store["parts_read"], part.of)
        store["parts_read"][part.number - 1] = fact.at
        store["part_seconds"] = body["seconds"]
    tables.stores.put((body["store"],), store)


def _store_pruned(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["last_pruned"] = fact.at
    store["is_prune_owed"] = False
    tables.stores.put((body["store"],), store)


def _protection_probed(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["probed"], store["is_protected"] = fact.at, body["is_held"]
    store["protection"], store["risks"] = body["reason"], body["risks"]
    tables.stores.put((body["store"],), store)


def _keys_listed(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["foreign_keys"] = body["foreign"]
    store["keys"] = [key for key in body["keys"] if key not in body["foreign"]]
    tables.stores.put((body["store"],), store)


def _hold_placed(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    is_damage = body.get("is_damage", False)
    if not is_damage or store["hold"] is None or store["is_damage_held"]:
        store["hold"], store["is_identity_held"] = body["reason"], body.get("is_identity", False)
        store["is_damage_held"] = is_damage
    tables.stores.put((body["store"],), store)


def _hold_released(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    """A person's word that what was met is put right; what a check found only a check takes back."""
    store = store_row(tables, body["store"])
    if store["damage"] is not None and BY_LISTING in store["unsound"]:
        gone = [path.rpartition("/")[2] for path in store["damage"]["files"] if path.startswith(SNAPSHOTS)]
        _let_go(store, gone)
        for each in gone:
            forget_in(tables, body["store"], each)
    store["unsound"] = [each for each in store["unsound"] if each not in _RELEASED]
    _close_when_sound(store)
    store["hold"], store["is_identity_held"], store["is_damage_held"] = None, False, False
    store["last_released"] = fact.at
    tables.stores.put((body["store"],), store)


def _damage_found(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    known = store["damage"]
    subset = body["subset"]
    store["unsound"] = sorted({*store["unsound"], subset})
    store["damage"] = {
        "since": known["since"] if known else fact.at,
        "subsets": sorted({*(known["subsets"] if known else ()), subset}),
        "files": sorted({*(known["files"] if known else ()), *body["files"]}),
        "message": body["message"],
        "left": known["left"] if known else "",
        "hint": known["hint"] if known else "",
        "lost": known["lost"] if known else [],
        "lost_count": known["lost_count"] if known else 0,
    }
    tables.stores.put((body["store"],), store)


def _damage_given_up(tables: Tables, fact: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["last_given_up"] = fact.at
    tables.stores.put((body["store"],), store)


def _damage_left(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    if store["damage"] is not None:
        store["damage"]["left"], store["damage"]["hint"] = body["message"], body["hint"]
        store["damage"]["lost"], store["damage"]["lost_count"] = list(body["lost"]), body["lost_count"]
        store["damage"]["files"] = sorted({*store["damage"]["files"], *body["files"]})
        tables.stores.put((body["store"],), store)


def _damage_healed(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    store["unsound"] = []
    store["healed"] += 1
    _close_when_sound(store)
    if "config" in body["files"] and store["is_identity_held"]:
        # What was there was no other repository, but this one without its config.
        store["hold"], store["is_identity_held"] = None, False
    tables.stores.put((body["store"],), store)


def _forget_started(tables: Tables, _: Fact, body: dict[str, Any]) -> None:
    store = store_row(tables, body["store"])
    _let_go(store, body["snapshot_ids"])
    tables.stores.put((body["store"],), store)


def _let_go(store: StoreRow, snapshot_ids: Iterable[str]) -> None:
    store["leaving"] = sorted({*store["leaving"], *snapshot_ids})


def _saw(subset: str, other: str) -> bool:
    """Whether a check of `subset` has seen all that `other` is about.

    Any check has opened the repository, and none misses a snapshot that is not listed.
    """
    return other == BY_OPENING or (other != BY_LISTING and holds(subset, other))


def _close_when_sound(store: StoreRow) -> None:
    """Where nothing tells of damage any more it was repaired, and the hold that drd placed for it ends."""
    if not store["unsound"]:
        store["damage"] = None
        if store["is_damage_held"]:
            store["hold"], store["is_damage_held"] = None, False


def store_row(tables: Tables, name: str) -> StoreRow:
    """The row of a store, a new one when there is none."""
    return tables.stores.get((name,)) or {
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
        "known_since": None,
        "parts_read": [],
        "part_seconds": 0.0,
        "probed": None,
        "is_protected": None,
        "protection": "",
        "risks": [],
        "keys": [],
        "foreign_keys": [],
        "damage": None,
        "is_damage_held": False,
        "healed": 0,
        "leaving": [],
        "last_given_up": None,
        "is_replaced": False,
    }


def forget_in(tables: Tables, store: str, snapshot_id: str) -> None:
    """Note on a snapshot's point that this store is not to get it again from another one."""
    place = tables.places.get((store, snapshot_id))
    point = tables.points.get((place["policy"], place["run"])) if place is not None else None
    if place is not None and point is not None and store not in point["forgotten_in"]:
        point["forgotten_in"].append(intern(store))
        tables.points.put((place["policy"], place["run"]), point)


def find_again(tables: Tables, name: str, snapshot_id: str) -> None:
    """Note that a snapshot stands in a store that listed it no more; what else is damaged there stays so."""
    store, path = tables.stores.get((name,)), f"{SNAPSHOTS}{snapshot_id}"
    damage = store["damage"] if store is not None else None
    if store is not None and damage is not None and BY_LISTING in damage["subsets"] and path in damage["files"]:
        damage["files"] = [each for each in damage["files"] if each != path]
        tables.stores.put((name,), store)


def owe_prune(tables: Tables, name: str, gone: Sequence[str] = ()) -> None:
    """Note that something in a store has lost its last reference, and which snapshots are off the record there."""
    store = store_row(tables, name)
    if not store["is_prune_owed"] or store["leaving"]:
        store["is_prune_owed"] = True
        store["leaving"] = [each for each in store["leaving"] if each not in gone]
        tables.stores.put((name,), store)


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
    "protection-probed": _protection_probed,
    "keys-listed": _keys_listed,
    "damage-found": _damage_found,
    "damage-given-up": _damage_given_up,
    "damage-left": _damage_left,
    "damage-healed": _damage_healed,
    "forget-started": _forget_started,
    "hold-placed": _hold_placed,
    "hold-released": _hold_released,
}
