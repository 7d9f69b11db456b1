"""The names that people type, held against what there is; and what is learned of a policy from the stores alone."""

from __future__ import annotations

from collections.abc import Iterable

from drd.config.suggest import nearest
from drd.core.errors import DrdError, RepositoryMissing, UsageError
from drd.core.points import RecoveryPoint
from drd.daemon.house import House
from drd.ports.configuration import Protected

LISTED = 12
"""A longer choice is not spelled out: nobody reads it to its end."""


def demand_policy(house: House, policy: str) -> Protected:
    """The policy of that name in force. Raises `UsageError` with the name that was probably meant."""
    policies = house.in_force().policies
    if policy not in policies:
        raise UsageError(f"there is no policy {policy}", _meant(policy, policies, "policies"))
    return policies[policy]


def demand_store(house: House, store: str, others: Iterable[str] = ()) -> None:
    """See that the configuration, or what else is given, has a store of that name. Raises `UsageError`."""
    known = {*house.in_force().stores, *others}
    if store not in known:
        raise UsageError(f"there is no store {store}", _meant(store, known, "stores"))


async def stores_to_ask(house: House, policy: str) -> tuple[str, ...]:
    """The stores that may hold points of a policy of which the journal knows none.

    Those of the policy; of one that the configuration does not have, all that this journal was never held against: on a
    new machine the file of the policy may be lost too, and elsewhere it is most likely a name mistyped.
    """
    protected = house.in_force().policies.get(policy)
    if protected is not None:
        return protected.policy.backup.to
    records = await house.catalogue.stores()
    return tuple(
        name for name in house.in_force().stores if name not in records or records[name].last_reconciled is None
    )


async def points_of(house: House, policy: str) -> tuple[RecoveryPoint, ...]:
    """The points of a policy, of one that was removed too; asked of the stores where the journal knows none.

    Raises `UsageError` for a policy of which nobody knows anything, and where that cannot be told because a store which
    the journal was never held against did not answer, why it did not.
    """
    points = await house.catalogue.points(policy)
    if points:
        return points
    refused = await _learn(house, await stores_to_ask(house, policy))
    points = await house.catalogue.points(policy)
    if not points and refused:
        raise refused[0]
    if not points and policy not in house.in_force().policies:
        known = {*house.in_force().policies, *(name for name, _ in await house.catalogue.newest_points())}
        raise UsageError(f"there is no policy {policy}", _meant(policy, known, "policies"))
    return points


async def learn_wal(house: House, policy: str) -> None:
    """Ask the stores that a policy's WAL goes to and that the journal was never held against, as on a new machine.

    Raises why one did not answer when no other has any: a base backup alone would pass for all that there is.
    """
    protected = house.in_force().policies.get(policy)
    records = await house.catalogue.stores()
    stores = protected.wal_stores if protected is not None else ()
    unknown = tuple(name for name in stores if name not in records or records[name].last_reconciled is None)
    refused = await _learn(house, unknown)
    if refused and not await house.catalogue.wal(policy):
        raise refused[0]


async def _learn(house: House, stores: tuple[str, ...]) -> list[DrdError]:
    """Reconcile the stores, and return why those of which the journal knows nothing told nothing either."""
    records = await house.catalogue.stores()
    refused: list[DrdError] = []
    for store in stores:
        try:
            await house.reconcile.reconcile(store)
        except RepositoryMissing:  # it was never made, or is not there: whoever works in it says so
            continue
        except DrdError as error:
            if store not in records or records[store].last_reconciled is None:
                refused.append(error)
    return refused


def _meant(word: str, known: Iterable[str], kind: str) -> str:
    names = sorted(known)
    meant = nearest(word, names)
    if meant is not None:
        return f"did you mean {meant}?"
    listed = ", ".join(names[:LISTED]) or "none"
    return f"the {kind} are: {listed}{' …' if len(names) > LISTED else ''}"
