"""What would make a promotion slow, or the server that was promoted useless, with what was measured of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from drd.core.findings import Severity
from drd.core.postgres.server import ServerFacts, ServerSettings
from drd.core.postgres.verdicts import Verdict

LONG_SECONDS: Final = 1.0
LONG_SILENCE_SECONDS: Final = 10.0
"""A standby that hears nothing for so long before it asks its primary is no witness in a failover."""


def of_promotability(facts: ServerFacts, settings: ServerSettings) -> Iterator[Verdict]:
    """Verdicts about one of several servers, any of which may be the primary one day."""
    if settings.awaits_anybody:
        yield Verdict(
            "awaited",
            Severity.WARNING,
            "synchronous_standby_names is '*': whoever is promoted with it alone confirms no write, and nobody can say "
            "who confirms, so that no primary can be fenced by cutting its standbys off",
            "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (…)'; SELECT pg_reload_conf();",
        )
    if facts.is_in_recovery and settings.retry_seconds >= LONG_SECONDS:
        yield Verdict(
            "retry-interval",
            Severity.NOTE,
            f"wal_retrieve_retry_interval is {settings.retry_seconds:g} s: of promotions in the moment of a crash, "
            "unless drd orders them, one of three took so much longer, and a receiver takes as long to come back",
            "ALTER SYSTEM SET wal_retrieve_retry_interval = '100ms'; SELECT pg_reload_conf();",
        )
    if facts.is_in_recovery and not 0 < settings.receiver_seconds <= LONG_SILENCE_SECONDS:
        asks = f"after {settings.receiver_seconds / 2:g} s" if settings.receiver_seconds else "never"
        yield Verdict(
            "receiver-timeout",
            Severity.NOTE,
            f"wal_receiver_timeout is {settings.receiver_seconds:g} s, and where nobody writes the standby asks its "
            f"primary for a sign of life {asks}: it cannot say that one lives which drd does not reach",
            "ALTER SYSTEM SET wal_receiver_timeout = '2s'; SELECT pg_reload_conf();",
        )
    if not facts.has_checksums and not settings.logs_hints:
        yield Verdict(
            "rewind",
            Severity.WARNING,
            "neither page checksums nor wal_log_hints are on: an old primary is not rewound, but copied as a whole",
            "ALTER SYSTEM SET wal_log_hints = 'on'; then restart the server",
        )
