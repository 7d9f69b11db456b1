"""Going back to a moment between two recovery points: which one to begin from, and fetching the WAL to replay."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from drd.core.errors import UsageError
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.groups import Group, ShippedGroup
from drd.core.postgres.increments import with_whole_chains
from drd.core.postgres.kept import needed_groups, plan_recovery
from drd.core.postgres.recovery import RecoveryPlan
from drd.core.postgres.target import HOW_TO_WRITE_A_TIME, AtLsn, AtName, AtTime, Latest, Target
from drd.core.postgres.wal import history_name
from drd.engines.naming import Named, Naming
from drd.engines.restore_request import RestoreRequest
from drd.engines.stores import Stores
from drd.engines.wal_fetching import WalFetching
from drd.ports.configuration import wal_store
from drd.ports.journal import Catalogue
from drd.ports.repository import OnProgress


class PointInTime:
    """Finds the way to a moment, and fetches what it takes."""

    def __init__(self, stores: Stores, catalogue: Catalogue, fetching: WalFetching, naming: Naming) -> None:
        self._stores = stores
        self._catalogue = catalogue
        self._fetching = fetching
        self._naming = naming

    async def plan(self, run: str, request: RestoreRequest) -> RecoveryPlan | None:
        """How a request is met by replaying WAL; None when its policy has none, or only some paths are wanted.

        Raises `NotCovered` for a moment that cannot be reached, with those that can, and `UsageError` for a name that
        nobody gave to any.
        """
        shipped = await self._catalogue.wal(request.policy)
        if not shipped or request.include or request.is_without_wal:
            if isinstance(request.moment, AtName):
                name = request.moment.name
                raise UsageError(
                    f"{name!r} is no time, and without WAL there are no restore points", HOW_TO_WRITE_A_TIME
                )
            if isinstance(request.moment, AtLsn):
                raise UsageError(f"{request.moment} leads to no recovery point here: no WAL is kept", "write --at TIME")
            return None
        within, target = self._within(shipped, request.store), _target(request)
        named: Named | None = None
        if isinstance(target, AtName):
            named = await self._naming.find(run, target, within)
            within = tuple(each for each in within if each.group.system_identifier == named.system_identifier)
        points = with_whole_chains(await self._catalogue.points(request.policy))
        try:
            return plan_recovery(points, within, target, () if named is None else named.points)
        except NotCovered as error:
            hint = f"{error.hint}, or write --without-wal for a base backup alone"
            raise NotCovered(error.message, hint) from error

    async def fetch(
        self, run: str, request: RestoreRequest, recovery: RecoveryPlan, folder: Path, on_progress: OnProgress
    ) -> None:
        """Bring the WAL that it takes into a folder, which is made. Raises why the last store did not give it."""
        shipped = self._within(await self._catalogue.wal(request.policy), request.store)
        total = len(recovery.choice.segments) * recovery.choice.segment_bytes
        wanted = partial(_wanted, recovery=recovery)
        needed = partial(needed_groups, recovery)
        await self._fetching.fetch(run, shipped, needed, wanted, folder, total, on_progress)

    def _within(self, shipped: tuple[ShippedGroup, ...], store: str | None) -> tuple[ShippedGroup, ...]:
        """The groups in stores that are configured, and in the one that a person names."""
        wanted = None if store is None else wal_store(store)
        known = [each for each in shipped if self._stores.is_configured(each.store)]
        return tuple(each for each in known if wanted is None or each.store == wanted)


def _target(request: RestoreRequest) -> Target:
    if request.moment is not None:
        return request.moment
    return Latest() if request.at is None else AtTime(request.at)


def _wanted(group: Group, recovery: RecoveryPlan) -> tuple[str, ...]:
    """The files of a group that recovery reads."""
    wanted = frozenset(recovery.choice.segments)
    names = [segment.name for segment in group.whole if segment in wanted]
    if (partial := group.partial) is not None and partial in wanted:
        names.append(f"{partial.name}.partial")
    return (*names, *([history_name(group.timeline)] if group.timeline > 1 else []))
