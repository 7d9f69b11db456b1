"""What a connection string makes of its clients when a host falls silent or a standby takes over, as measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from drd.core.findings import Severity
from drd.core.postgres.verdicts import Verdict
from drd.core.units import format_duration

LEAST_CONNECT_SECONDS: Final = 2
"""libpq takes a shorter `connect_timeout` for this (`connectDBComplete` in `fe-connect.c`)."""
_ANY: Final = frozenset({"", "any"})
_ROOM: Final = timedelta(seconds=1)
"""What a look takes after the silent hosts, at most."""


def of_clients(parameters: Mapping[str, str], look: timedelta) -> Iterator[Verdict]:
    """Verdicts about a connection string of libpq's as clients have it; `look` is how long drd's own looks may take."""
    hosts = 1 + max(parameters.get(name, "").count(",") for name in ("host", "hostaddr"))
    seconds = _seconds(parameters.get("connect_timeout", ""))
    if not seconds:
        several = "though another host of theirs leads: measured was no end, and 2.1 s with connect_timeout=2"
        yield Verdict(
            "connect-timeout",
            Severity.WARNING if hosts > 1 else Severity.NOTE,
            f"clients without connect_timeout hang at a host that falls silent{f', {several}' if hosts > 1 else ''}",
            "add to the connection string: connect_timeout=2 tcp_user_timeout=3000",
        )
    if hosts == 1:
        return
    if parameters.get("target_session_attrs", "") in _ANY:
        yield Verdict(
            "session-attributes",
            Severity.WARNING,
            "clients without target_session_attrs stay with the first host that answers, also where that is a standby: "
            "after a failover their writes fail until it is the primary again",
            "add to the connection string: target_session_attrs=read-write",
        )
    passing = timedelta(seconds=(hosts - 1) * (seconds or LEAST_CONNECT_SECONDS))
    if look <= passing:
        yield Verdict(
            "short-look",
            Severity.WARNING,
            f"a silent host is passed over after {format_duration(passing)}, and drd's own looks end after "
            f"{format_duration(look)}: while one is silent drd would take the service to be down",
            f"write in the policy: service: {{postgres: {{timeout: {format_duration(passing + _ROOM)}, …}}}}",
        )


def _seconds(written: str) -> int:
    """What `connect_timeout` comes to; 0 where there is no limit."""
    try:
        found = int(float(written or "0"))
    except ValueError:
        return 0
    return max(found, LEAST_CONNECT_SECONDS) if found > 0 else 0
