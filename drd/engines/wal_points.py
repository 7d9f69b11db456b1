"""Groups of WAL as what `copy` brings from store to store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from drd.core.events import WalShipped
from drd.core.points import Copy, RecoveryPoint
from drd.core.policy import Mode, Outcome
from drd.core.postgres.groups import ShippedGroup, switch_texts
from drd.core.postgres.letting_go import superfluous_groups

PART = "wal"


@dataclass(frozen=True, slots=True)
class WalPoint(RecoveryPoint):
    """The newest batch of a group in the store that has the most of it; `run` is the snapshot's id."""

    shipped: ShippedGroup | None = None

    def arrived(self, store: str, snapshot_id: str, source: str) -> WalShipped:
        """The fact that it stands in another store."""
        assert self.shipped is not None  # noqa: S101 - only `lacking` makes them
        group = self.shipped.group
        return WalShipped(
            policy=self.policy,
            store=store,
            snapshot_id=snapshot_id,
            system_identifier=group.system_identifier,
            group=group.name,
            segment_bytes=group.first.size,
            through=str(group.through),
            moment=group.moment,
            switches=switch_texts(group.switches),
            origin_store=source,
        )


def lacking(shipped: Iterable[ShippedGroup], store: str, configured: Set[str]) -> tuple[RecoveryPoint, ...]:
    """The groups of which another store that there is has more than `store`."""
    here: dict[tuple[str, str], ShippedGroup] = {}
    most: dict[tuple[str, str], ShippedGroup] = {}
    for each in shipped:
        key = _key(each)
        if each.store == store:
            here[key] = each
        elif each.store in configured and (key not in most or _goes_farther(each, most[key])):
            most[key] = each
    return tuple(_point(each) for key, each in most.items() if key not in here or _goes_farther(each, here[key]))


def unwanted(
    shipped: Sequence[ShippedGroup],
    points: Sequence[RecoveryPoint],
    store: str,
    any_moment: timedelta | None,
    now: datetime,
) -> frozenset[str]:
    """Ids of the batches in other stores of groups that `store` has let go, or would: they are not brought there."""
    here = {_key(each) for each in shipped if each.store == store}
    absent = [each for each in superfluous_groups(points, shipped, store, any_moment, now) if _key(each) not in here]
    return frozenset(batch for each in absent for batch in (each.snapshot_id, *each.superseded))


def superseded(shipped: Iterable[ShippedGroup], store: str) -> frozenset[str]:
    """Ids of batches in other stores that later ones make superfluous: they are not carried."""
    return frozenset(each for group in shipped if group.store != store for each in group.superseded)


def _key(shipped: ShippedGroup) -> tuple[str, str]:
    return shipped.group.system_identifier, shipped.group.name


def _goes_farther(one: ShippedGroup, other: ShippedGroup) -> bool:
    if one.group.through != other.group.through:
        return one.group.through > other.group.through
    oldest = datetime.min.replace(tzinfo=UTC)
    return (one.group.moment or oldest) > (other.group.moment or oldest)


def _point(shipped: ShippedGroup) -> WalPoint:
    return WalPoint(
        policy=shipped.policy,
        run=shipped.snapshot_id,
        mode=Mode.INCREMENTAL,
        moment=shipped.group.moment or shipped.shipped or datetime.min.replace(tzinfo=UTC),
        outcome=Outcome.SUCCEEDED,
        total_bytes=0,
        total_files=0,
        copies=(Copy(shipped.store, PART, shipped.snapshot_id),),
        shipped=shipped,
    )
