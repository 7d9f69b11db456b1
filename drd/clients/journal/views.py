"""The projections as the values of `drd.core.catalogue`; blocking, so in the journal's thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from drd.clients.journal.tables import SqlTables
from drd.core.catalogue import (
    Anchored,
    Damage,
    Pause,
    PolicyRecord,
    RestoreRecord,
    RunRecord,
    StoreRecord,
)
from drd.core.encoding import moment, restore
from drd.core.incident import IncidentRecord, incident_of
from drd.core.points import RecoveryPoint
from drd.core.postgres.groups import ShippedGroup
from drd.core.projections.points import withheld
from drd.core.rows import Key, PointRow, PolicyRow, RunRow, StoreRow
from drd.core.wal_rows import bad_snapshots, shipped_groups

_RUN_BOOKKEEPING = ("sequence", "slot")
_LACKING = """
WHERE policy = ? AND outcome IN ('succeeded', 'incomplete')
AND NOT EXISTS (SELECT 1 FROM json_each(forgotten_in) WHERE value = ?)
AND (SELECT count(DISTINCT json_extract(value, '$.part')) FROM json_each(copies)) > (
    SELECT count(DISTINCT json_extract(value, '$.part')) FROM json_each(copies)
    WHERE json_extract(value, '$.store') = ? AND json_extract(value, '$.standing') <> 'damaged')
"""
"""What `RecoveryPoint.is_lacking_in` asks, but for whether any store holds the point whole: nearly always that is none,
and a point that is none is not made."""


@dataclass(frozen=True, slots=True)
class _Newest:
    """Store → a policy's newest good point there, and its newest proven one."""

    good: dict[str, RecoveryPoint]
    proven: dict[str, RecoveryPoint]


class Views:
    """Reads the rows, and remembers what is asked for all the time until an event changes it."""

    def __init__(self, tables: SqlTables) -> None:
        self._tables = tables
        self._policies: dict[str, PolicyRecord] | None = None
        self._newest: dict[str, _Newest] = {}

    def refresh(self, changed: Mapping[str, set[Key]]) -> None:
        """Forget what an append has changed: table → keys."""
        for key in changed["points"]:
            self._newest.pop(str(key[0]), None)
        if self._policies is not None:
            for name in (str(key[0]) for key in changed["policies"]):
                row = self._tables.policies.get((name,))
                if row is not None and row["protected"]:
                    self._policies[name] = _policy(name, row)
                else:
                    self._policies.pop(name, None)

    def forget(self) -> None:
        """Read everything again when it is next asked for."""
        self._policies = None
        self._newest.clear()

    def policies(self) -> dict[str, PolicyRecord]:
        """Every protected policy, by name."""
        if self._policies is None:
            found = self._tables.policies.select("ORDER BY policy")
            self._policies = {str(key[0]): _policy(str(key[0]), row) for key, row in found if row["protected"]}
        return dict(self._policies)

    def policy(self, name: str) -> PolicyRecord | None:
        """One protected policy."""
        return self._policies.get(name) if self._policies is not None else self.policies().get(name)

    def stores(self) -> dict[str, StoreRecord]:
        """Every store, by name."""
        return {str(key[0]): _store(str(key[0]), row) for key, row in self._tables.stores.select("ORDER BY store")}

    def holdings(self, store: str) -> dict[str, str]:
        """Snapshot id → policy in one store."""
        return {str(key[1]): row["policy"] for key, row in self._tables.places.select("WHERE store = ?", (store,))}

    def points(self, policy: str) -> tuple[RecoveryPoint, ...]:
        """A policy's points, oldest first."""
        return self._points("WHERE policy = ?", policy)

    def _points(self, where: str, *parameters: str) -> tuple[RecoveryPoint, ...]:
        found = self._tables.points.select(where, parameters)
        return tuple(_point(key, row) for key, row in sorted(found, key=lambda item: (item[1]["moment"], item[0])))

    def uncopied(self, policy: str, store: str) -> tuple[RecoveryPoint, ...]:
        """Points that `store` lacks, oldest first."""
        return tuple(point for point in self._points(_LACKING, policy, store, store) if point.is_lacking_in(store))

    def withheld(self, store: str) -> frozenset[str]:
        """Ids of snapshots that are not carried into `store`."""
        found = self._tables.points.select("WHERE forgotten_in <> '[]' OR outcome <> 'succeeded'")
        return frozenset(each for _, row in found for each in withheld(row, store))

    def wal(self, policy: str) -> tuple[ShippedGroup, ...]:
        """A policy's groups of WAL, but where the newest batch is damaged or gone."""
        groups = shipped_groups(self._tables.wal.select("WHERE policy = ?", (policy,)))
        bad = {store: self._bad_snapshots(store) for store in {each.store for each in groups}}
        return tuple(each for each in groups if each.snapshot_id not in bad[each.store])

    def lost_wal(self, store: str) -> tuple[ShippedGroup, ...]:
        """The groups of WAL in a store of which the newest batch is damaged or gone."""
        bad = self._bad_snapshots(store)
        groups = shipped_groups(self._tables.wal.select("WHERE store = ?", (store,))) if bad else ()
        return tuple(each for each in groups if each.snapshot_id in bad)

    def _bad_snapshots(self, store: str) -> frozenset[str]:
        return bad_snapshots(self._tables.stores.get((store,)))

    def policies_with_points(self) -> list[str]:
        """Names of the policies that have points, also of those that are protected no more."""
        return self._tables.points.distinct("policy")

    def newest(self, policies: Iterable[str]) -> dict[tuple[str, str], RecoveryPoint]:
        """(policy, store) → newest good point there, for these policies."""
        return {(policy, store): point for policy in policies for store, point in self._newest_of(policy).good.items()}

    def newest_proven(self, policies: Iterable[str]) -> dict[tuple[str, str], RecoveryPoint]:
        """(policy, store) → newest good point whose copy there a restore has read, for these policies."""
        return {
            (policy, store): point for policy in policies for store, point in self._newest_of(policy).proven.items()
        }

    def _newest_of(self, policy: str) -> _Newest:
        known = self._newest.get(policy)
        if known is None:
            known = self._newest[policy] = _newest_by_store(self.points(policy))
        return known

    def unfinished(self) -> tuple[RunRecord, ...]:
        """Runs without an end, oldest first."""
        found = [row for _, row in self._tables.open_runs.select()]
        return tuple(_run(row) for row in sorted(found, key=lambda row: row["sequence"]))

    def runs(self, policy: str | None, newest: int) -> tuple[RunRecord, ...]:
        """The newest runs, newest first."""
        where = "" if policy is None else "WHERE policy = ? "
        parameters = (newest,) if policy is None else (policy, newest)
        found = self._tables.runs.select(f"{where}ORDER BY sequence DESC LIMIT ?", parameters)
        return tuple(_run(row) for _, row in found)

    def restores(self) -> tuple[RestoreRecord, ...]:
        """The newest restores of every policy, oldest first."""
        found = [
            restore(RestoreRecord, {"policy": key[0], **each})
            for key, row in self._tables.restores.select()
            for each in row["restores"]
        ]
        return tuple(sorted(found, key=lambda record: (record.started, record.run)))

    def incidents(self, policy: str | None, newest: int) -> tuple[IncidentRecord, ...]:
        """The newest incidents, newest first."""
        where = "" if policy is None else "WHERE policy = ? "
        parameters = (newest,) if policy is None else (policy, newest)
        found = self._tables.incidents.select(f"{where}ORDER BY sequence DESC LIMIT ?", parameters)
        return tuple(incident_of(row) for _, row in found)

    def incident(self, run: str) -> IncidentRecord | None:
        """One incident."""
        row = self._tables.incidents.get((run,))
        return None if row is None else incident_of(row)

    def open_incidents(self) -> tuple[IncidentRecord, ...]:
        """Incidents without an end, oldest first."""
        found = self._tables.incidents.select("WHERE finished IS NULL ORDER BY sequence")
        return tuple(incident_of(row) for _, row in found)

    def pauses(self) -> tuple[Pause, ...]:
        """Pauses that nobody ended."""
        found = self._tables.pauses.select("ORDER BY policy, what")
        return tuple(restore(Pause, {"policy": key[0], "what": key[1], **row}) for key, row in found)


def _newest_by_store(points: tuple[RecoveryPoint, ...]) -> _Newest:
    newest = _Newest({}, {})
    for point in points:
        if point.is_good:
            newest.good.update(dict.fromkeys(point.stores, point))
            newest.proven.update(dict.fromkeys(point.proven_in, point))
    return newest


def _policy(name: str, row: PolicyRow) -> PolicyRecord:
    fields = {key: value for key, value in row.items() if key not in ("protected", "last_run")}
    last_run = row["last_run"]
    return replace(
        restore(PolicyRecord, {"policy": name, "last_run": None, **fields}),
        last_run=None if last_run is None else _run(last_run),
    )


def _run(row: RunRow) -> RunRecord:
    return restore(RunRecord, {key: value for key, value in row.items() if key not in _RUN_BOOKKEEPING})


def _point(key: Key, row: PointRow) -> RecoveryPoint:
    return restore(RecoveryPoint, {"policy": key[0], "run": key[1], **row})


def _store(name: str, row: StoreRow) -> StoreRecord:
    return StoreRecord(
        store=name,
        repository_id=row["repository_id"],
        away_since=_moment(row["away_since"]),
        last_checked=_moment(row["last_checked"]),
        check_sound=None if row["last_checked"] is None and not row["unsound"] else not row["unsound"],
        last_pruned=_moment(row["last_pruned"]),
        last_reconciled=_moment(row["last_reconciled"]),
        hold=row["hold"],
        last_retained=_moment(row["last_retained"]),
        is_prune_owed=bool(row["is_prune_owed"]),
        anchors=tuple(Anchored(anchor["snapshot_id"], moment(anchor["at"])) for anchor in row["anchors"]),
        forgotten_anchors=tuple(row["forgotten_anchors"]),
        is_identity_held=bool(row["is_identity_held"]),
        last_released=_moment(row["last_released"]),
        known_since=_moment(row["known_since"]),
        parts_read=tuple(_moment(each) for each in row["parts_read"]),
        part_seconds=row["part_seconds"],
        probed=_moment(row["probed"]),
        is_protected=None if row["is_protected"] is None else bool(row["is_protected"]),
        protection=row["protection"],
        risks=tuple(row["risks"]),
        keys=tuple(row["keys"]),
        foreign_keys=tuple(row["foreign_keys"]),
        damage=None if row["damage"] is None else restore(Damage, row["damage"]),
        is_damage_held=bool(row["is_damage_held"]),
        healed=row["healed"],
        leaving=frozenset(row["leaving"]),
        last_given_up=_moment(row["last_given_up"]),
        is_replaced=bool(row["is_replaced"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
