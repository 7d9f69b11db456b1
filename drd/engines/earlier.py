"""What an incremental part follows: what a run may add to, and what a restore has to read beside the part itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drd.core.catalogue import damaged_stores
from drd.core.errors import RepositoryDamaged
from drd.core.points import RecoveryPoint, counted
from drd.core.postgres.increments import earlier_points, with_whole_chains
from drd.core.tags import MINE
from drd.engines.landing import Landing
from drd.ports.journal import Catalogue
from drd.ports.repository import OnProgress, Repository
from drd.ports.source import Earlier

Chains = Mapping[str, tuple[RecoveryPoint, ...]]
"""Part → the points that it needs beside its own, oldest first; parts that are whole by themselves lack."""


async def to_follow(catalogue: Catalogue, policy: str, part: str, store: str) -> tuple[tuple[str, ...], ...]:
    """The facts of a part's good points that are whole in a store, newest first; none of a store that is damaged."""
    points = counted(await catalogue.points(policy), damaged_stores(await catalogue.stores()))
    whole = [point for point in with_whole_chains(points) if point.is_good and store in point.stores]
    whole.sort(key=lambda point: point.order, reverse=True)
    return tuple(point.facts.get(part, ()) for point in whole)


def chains_of(point: RecoveryPoint, points: Sequence[RecoveryPoint]) -> Chains:
    """What a point's parts need; all of it is among `points` when the point is one that can be restored."""
    found = {part: earlier_points(point, part, points) for part in point.facts}
    return {part: earlier for part, earlier in found.items() if earlier}


def bytes_of(chains: Chains) -> int:
    """How much is read beside the point, and written once more when all is made one: about as much as the full."""
    return sum(sum(point.total_bytes for point in chain) + chain[0].total_bytes for chain in chains.values())


async def read(
    chain: Sequence[RecoveryPoint],
    part: str,
    store: str,
    repository: Repository,
    landing: Landing,
    on_progress: OnProgress,
) -> tuple[Earlier, ...]:
    """Read what a part follows into folders that are gone afterwards. The part's kind verifies them.

    Raises `RepositoryDamaged` for one that the store does not list any more.
    """
    found: list[Earlier] = []
    for number, point in enumerate(chain, start=1):
        listed = {each.id: each for each in await repository.snapshots((MINE, f"run={point.run}"))}
        copies = [each for each in point.copies_in(store) if each.part == part and each.snapshot_id in listed]
        if not copies:
            raise RepositoryDamaged(
                f"store {store} does not list the earlier base backup {point.run}", f"type: drd check {store}"
            )
        snapshot = listed[copies[0].snapshot_id]
        folder = landing.scratch(f"earlier-{part}-{number}")
        await repository.restore(snapshot.id, folder, (), on_progress, is_read_back=False)
        found.append(Earlier(folder / snapshot.paths[0].lstrip("/"), point.facts[part]))
    return tuple(found)
