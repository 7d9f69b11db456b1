"""The services that are looked at, as people see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from drd.core.catalogue import PolicyRecord
from drd.core.outage import ServiceState, downtime, downtime_at_most
from drd.core.units import format_duration
from drd.daemon.house import House
from drd.ports.control import ServiceStatus

_NONE = timedelta()
YEAR = timedelta(days=365)
"""What downtime is counted over where nothing is promised."""


def service_status(house: House, records: Mapping[str, PolicyRecord]) -> tuple[ServiceStatus, ...]:
    """Every service that is looked at."""
    return tuple(found for name in sorted(house.in_force().policies) if (found := _status(house, name, records)))


def service_lines(house: House, records: Mapping[str, PolicyRecord], policy: str) -> list[str]:
    """What `drd explain` says of a policy's service; nothing where it is not looked at."""
    found = _status(house, policy, records)
    if found is None:
        return []
    says = f"{found.state}, {found.why}" if found.why else found.state.value
    promised = ""
    if found.allowed is not None and found.left is not None:
        promised = f", {format_duration(found.allowed)} promised, {_between(*found.left)} left"
    counted = f"down for {_between(found.down, found.down_at_most)} in {format_duration(found.period)}{promised}"
    return [f"service, {found.what}: {says}; {counted}"]


def _status(house: House, policy: str, records: Mapping[str, PolicyRecord]) -> ServiceStatus | None:
    served = house.serving.of(policy)
    if served is None:
        return None
    view, record = served.view, records.get(policy)
    allowed, period = house.in_force().policies[policy].policy.objectives.downtime_budget or (None, YEAR)
    now = house.clock.now()
    outages = [] if record is None else [each for each in record.outages if each.up is not None]
    outages += [] if view.outage is None else [view.outage]
    unknown = () if record is None else record.unseen
    lasting = house.serving.unseen(served)
    down = downtime(outages, now - period, now)
    at_most = downtime_at_most(outages, [*unknown, *([] if lasting is None else [lasting])], now - period, now)
    fails = view.state is ServiceState.FAILS and view.outage is not None
    unseen = view.state is ServiceState.UNKNOWN and served.last is not None
    return ServiceStatus(
        policy=policy,
        what=served.watch.probe.summary(),
        state=view.state,
        since=view.outage.bad if fails and view.outage is not None else None,
        why=view.outage.message if fails and view.outage else served.last.message if unseen and served.last else "",
        seconds=served.last.latency if served.last is not None and served.last.is_good else None,
        down=down,
        down_at_most=at_most,
        left=None if allowed is None else (max(_NONE, allowed - at_most), max(_NONE, allowed - down)),
        allowed=allowed,
        period=period,
    )


def _between(least: timedelta, most: timedelta) -> str:
    """Both ends where they differ, to the second."""
    ends = dict.fromkeys(format_duration(timedelta(seconds=round(each.total_seconds()))) for each in (least, most))
    return " to ".join(ends)
