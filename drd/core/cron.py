"""The moments that a cron line names in a time zone.

Two kinds, as in cron(8), and told apart by the hour field:

* *A fixed hour* (`30 2 * * *`, `0 8-18 * * *`) belongs to the local day: each label comes once. One that daylight
  saving skips comes right after the gap, together with all others that were skipped; one that is shown twice comes the
  first time.
* *`*` or step hours* (`*/15 * * * *`, `0 */6 * * *`) count real time: every moment at which the clock reads a label, in
  a doubled hour both. What is skipped does not come, because no real time was skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from drd.core.crontab import Cron, CronError
from drd.core.local_time import first_at, label_at, moments_of, offset_at

__all__ = ["Cron", "CronError", "last_at_or_before", "next_after"]

_MINUTE: Final = timedelta(minutes=1)
_LARGEST_CHANGE: Final = timedelta(days=1)
"""No zone has ever set its clock back by more than this at once."""


def next_after(cron: Cron, after: datetime, zone: ZoneInfo) -> datetime:
    """The first moment later than `after`, in UTC. Raises ValueError if `after` is naive."""
    label = cron.label_from(_floor(label_at(after, zone)) + _MINUTE)
    if cron.is_real_time:
        return _next_real(cron, after, label, zone)
    while (moment := first_at(label, zone)) <= after:  # the clock shows the doubled hour for the second time
        label = cron.label_from(label + _MINUTE)
    return moment


def last_at_or_before(cron: Cron, moment: datetime, zone: ZoneInfo) -> datetime:
    """The last moment that is not later than `moment`, in UTC. Raises ValueError if `moment` is naive."""
    label = _floor(label_at(moment, zone))
    if cron.is_real_time:
        return _last_real(cron, moment, cron.label_until(label), zone)
    # Just after the clock was set back, labels ahead of it have already been.
    set_back = offset_at(moment - _LARGEST_CHANGE, zone) - offset_at(moment, zone)
    label = cron.label_until(label + max(set_back, timedelta()))
    while (last := first_at(label, zone)) > moment:
        label = cron.label_until(label - _MINUTE)
    return last


def _next_real(cron: Cron, after: datetime, label: datetime, zone: ZoneInfo) -> datetime:
    while not (ahead := [moment for moment in moments_of(label, zone) if moment > after]):
        label = cron.label_from(label + _MINUTE)
    later_offset = offset_at(after + _LARGEST_CHANGE, zone)
    if later_offset < offset_at(after, zone):
        # The clock will be set back: labels that have passed come again, read by the later offset.
        label = cron.label_from(_floor(_reading(after, later_offset)) + _MINUTE)
        while (moment := _moment(label, later_offset)) < ahead[0]:
            if offset_at(moment, zone) == later_offset:
                return moment
            label = cron.label_from(label + _MINUTE)
    return ahead[0]


def _last_real(cron: Cron, moment: datetime, label: datetime, zone: ZoneInfo) -> datetime:
    while not (behind := [found for found in moments_of(label, zone) if found <= moment]):
        label = cron.label_until(label - _MINUTE)
    earlier_offset = offset_at(moment - _LARGEST_CHANGE, zone)
    if earlier_offset > offset_at(moment, zone):
        # The clock was set back: labels still to come have already been, read by the earlier offset.
        label = cron.label_until(_floor(_reading(moment, earlier_offset)))
        while (found := _moment(label, earlier_offset)) > behind[-1]:
            if offset_at(found, zone) == earlier_offset:
                return found
            label = cron.label_until(label - _MINUTE)
    return behind[-1]


def _floor(label: datetime) -> datetime:
    return label.replace(second=0, microsecond=0)


def _reading(moment: datetime, offset: timedelta) -> datetime:
    return (moment.astimezone(UTC) + offset).replace(tzinfo=None)


def _moment(label: datetime, offset: timedelta) -> datetime:
    return (label - offset).replace(tzinfo=UTC)
