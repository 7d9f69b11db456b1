"""What Prometheus is told of a database's write-ahead log: how new it is where, and what waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from drd.core.postgres.gaps import WalState
from drd.ports.control import WalStatus
from drd.reports.exposition import Family, Labels, seconds

GAPS = tuple(state for state in WalState if state is not WalState.FOUND)


def families_of_wal(policies: Iterable[WalStatus]) -> Iterator[Family]:
    """Every series; what nobody knows now is left out, so that it is missed and not taken for 0."""
    known = tuple(policies)

    def gauge(name: str, explanation: str, value: Callable[[WalStatus], float | None]) -> Family:
        found = [(_labels(each), value(each)) for each in known]
        return Family(name, "gauge", explanation, tuple((labels, one) for labels, one in found if one is not None))

    yield gauge("drd_wal_receiving", "1 if WAL is received now.", lambda each: float(each.is_received))
    yield gauge(
        "drd_wal_received_timestamp_seconds",
        "All that was committed before this, by the server's clock, is safe on drd's disk; 0 before there is any.",
        lambda each: seconds(each.received),
    )
    yield gauge("drd_wal_received_lsn", "How far WAL is safe on drd's disk, in bytes.", lambda each: each.received_lsn)
    yield gauge("drd_wal_lag_bytes", "WAL that the server has and drd has not.", lambda each: each.behind_bytes)
    yield Family(
        "drd_wal_receiver_restarts_total",
        "counter",
        "How often receiving had to begin again.",
        tuple((_labels(each), float(each.restarts)) for each in known),
    )
    yield gauge("drd_wal_spool_bytes", "WAL on drd's disk, until every store has it.", lambda each: each.spool_bytes)
    yield gauge(
        "drd_wal_spool_full",
        "1 if no WAL is received for lack of room in the spool.",
        lambda each: float(each.is_full),
    )
    yield gauge(
        "drd_wal_slot_retained_bytes", "WAL that the server keeps for drd's slot.", lambda each: each.retained_bytes
    )
    yield gauge(
        "drd_wal_slot_safe_bytes",
        "WAL that can be written until the slot is lost; missing where nothing limits it.",
        lambda each: each.safe_bytes,
    )
    yield Family(
        "drd_wal_shipped_timestamp_seconds",
        "gauge",
        "All that was committed before this, by the server's clock, is in the store; 0 before there is any.",
        tuple((_labels(each, stored.store), seconds(stored.moment)) for each in known for stored in each.stores),
    )
    yield Family(
        "drd_wal_gaps",
        "gauge",
        "Segments that a restore may need and the store lacks: on their way, kept by the server, or lost.",
        tuple(
            ((*_labels(each, stored.store), ("state", state.value)), float(stored.segments.get(state.value, 0)))
            for each in known
            for stored in each.stores
            for state in GAPS
        ),
    )


def _labels(wal: WalStatus, store: str = "") -> Labels:
    return (("policy", wal.policy), ("store", store)) if store else (("policy", wal.policy),)
