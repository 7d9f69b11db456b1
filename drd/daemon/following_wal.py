"""Following an incremental run whose snapshot is WAL: until every store has it, or is known to get it later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from drd.core.policy import Outcome
from drd.daemon.house import House
from drd.engines.wal_standing import Stood, stands
from drd.ports.configuration import Protected, origin_of_wal
from drd.ports.steps import Step

PATIENCE_SECONDS: Final = 600.0
"""How long further stores are waited for: a batch is carried within seconds, or something is in its way."""
LOOK_SECONDS: Final = 1.0


async def follow_wal(house: House, run: str, protected: Protected, stood: Stood) -> AsyncIterator[Step]:
    """Tell when each store has the WAL, and then the end."""
    policy, system = protected.policy.name, house.archive.line(protected.policy.name).system_identifier
    waiting, late = dict.fromkeys(protected.wal_stores), dict[str, str]()
    deadline = house.clock.monotonic() + PATIENCE_SECONDS
    while waiting:
        shipped = await house.catalogue.wal(policy)
        for store in tuple(waiting):
            why = house.stores.why_away(store) or house.copy.why_late(store)
            if stands(shipped, store, system, stood.mark):
                del waiting[store]
                yield Step(kind="fact", run=run, text=f"WAL up to {stood.mark.lsn} in {origin_of_wal(store)}")
            elif why is not None or house.clock.monotonic() >= deadline:
                del waiting[store]
                late[origin_of_wal(store)] = why or "it takes longer than anybody waits for"
        if waiting:
            await house.clock.sleep(LOOK_SECONDS)
    yield Step(
        kind="finished",
        run=run,
        outcome=Outcome.SUCCEEDED,
        text="WAL leads on from the last base backup up to now, so nothing was read again",
        message="; ".join(f"store {store} gets it later: {why}" for store, why in sorted(late.items())),
        exit_code=3 if late else 0,
        result={"late": sorted(late), "added_bytes": 0},
    )
