"""WAL that the server's `archive_command` brought: the second path into the spool, beside receiving."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import and_

from drd.core.errors import NOT_NOW, DrdError
from drd.core.events import WalInterrupted
from drd.core.postgres.arriving import arrivals
from drd.core.postgres.gaps import joined
from drd.core.postgres.spooling import Found
from drd.core.postgres.stretches import Stretches
from drd.engines.receiving import Receiving
from drd.engines.telling import ToldOnce
from drd.ports.configuration import Protected
from drd.ports.journal import Catalogue, Journal
from drd.ports.spool import Spool
from drd.ports.wal import SpoolRules


class PushedWal:
    """Takes pushed files into the spool."""

    def __init__(self, receiving: Receiving, journal: Journal, catalogue: Catalogue) -> None:
        self._receiving = receiving
        self._journal = journal
        self._catalogue = catalogue
        self._told = ToldOnce[str](journal)

    async def take_in(
        self, protected: Protected, rules: SpoolRules, spool: Spool, found: Found, group_bytes: int
    ) -> bool:
        """Take what was pushed into the spool of the cluster that is received; whether there was anything.

        What keeps it from that is told once: receiving goes on without it.
        """
        if rules.incoming is None:
            return False
        policy = protected.policy.name
        line = self._receiving.line(policy)
        try:
            await spool.offer(rules.incoming, line.segment_bytes)
            pushed = await spool.pushed(rules.incoming)
            stored = await self._stored(protected, line.system_identifier) if pushed else {}
            planned = arrivals(found, pushed, line.segment_bytes, stored, group_bytes)
            refused = await spool.take_in(rules.incoming, planned)
        except NOT_NOW:
            raise
        except DrdError as error:
            await self._told.tell(policy, error.message, WalInterrupted(policy, error.message, error.hint))
            return False
        self._told.over(policy)
        for sentence in refused:
            hint = (
                f"look which servers push to {rules.incoming}; what is refused lies in {spool.receiving.parent}/refused"
            )
            await self._journal.append(WalInterrupted(policy, sentence, hint))
        return bool(pushed)

    async def _stored(self, protected: Protected, system_identifier: str) -> Mapping[int, Stretches]:
        """The segments that every store has."""
        shipped = await self._catalogue.wal(protected.policy.name)
        groups = [each for each in shipped if each.group.system_identifier == system_identifier]
        first, *others = (
            joined(*({each.group.timeline: each.group.numbers} for each in groups if each.store == store))
            for store in protected.wal_stores
        )
        return {
            timeline: reduce(and_, (other.get(timeline, Stretches()) for other in others), numbers)
            for timeline, numbers in first.items()
        }
