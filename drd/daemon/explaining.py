"""What drd would do with a policy now and why, in words."""

from __future__ import annotations

from datetime import datetime

from drd.core.catalogue import StoreRecord
from drd.core.geography import format_away
from drd.core.schedule import Reason
from drd.core.suspicion import to_release
from drd.core.units import format_duration
from drd.daemon.house import House
from drd.daemon.names import demand_policy
from drd.daemon.nodes import failover_lines
from drd.daemon.requirements import clauses
from drd.daemon.services import service_lines
from drd.engines.suspecting import why_suspect
from drd.reports.moments import local_with_offset


async def explained(house: House, policy: str) -> tuple[str, ...]:
    """Lines for people. Raises `UsageError` for a policy that is not in force."""
    protected = demand_policy(house, policy)
    plan = protected.policy.backup
    lines = [f"sources: {'; '.join(source.summary() for source in protected.sources.values())}"]
    for name in plan.to:
        store = house.stores.configured(name)
        origin = house.stores.origin_of(name)
        how = "read from the source"
        if origin is not None:
            how = f"copied from {origin}" if store.independent else f"mirrored from {origin}"
        away = format_away(store.distance_metres)
        lines.append(f"store {name}: {how}; at {store.site}, {away}; {store.place.summary()}")
    lines += [
        f"required {clause.name}: {'met' if clause.is_met else 'NOT MET'}: {clause.reason}"
        for clause in (await clauses(house, policy))[policy]
    ]
    if protected.servers is not None and house.scheduler.verdict(policy) is not None:
        lines.append(f"heartbeat: {house.heartbeats.line(policy)}")
    lines += service_lines(house, await house.catalogue.policies(), policy)
    lines += await failover_lines(house, policy)
    record = await house.catalogue.policy(policy)
    if record is not None and record.new_base is not None:
        since = _local(house, record.new_base.since)
        lines.append(f"a new base backup is wanted since {since}: {record.new_base.message}")
    lines += [
        f"{pause.what} is paused until {_local(house, pause.until)} by {pause.by}: {pause.reason};"
        f" to end that, type: drd resume {policy}"
        for pause in await house.catalogue.pauses()
        if pause.policy == policy and pause.until > house.clock.now()
    ]
    lines.append(_next(house, policy))
    for store_name in plan.to:
        why = house.stores.why_away(store_name)
        if why is not None:
            lines.append(f"store {store_name} is away ({why}): it is caught up when it answers again")
        missing = await house.catalogue.uncopied(policy, store_name)
        if missing and len(plan.to) > 1:
            oldest = _local(house, missing[0].moment)
            lines.append(f"store {store_name} lacks {len(missing)} recovery points, the oldest of {oldest}")
    if suspected := why_suspect(record):
        lines.append(f"nothing of it is forgotten in any store: {suspected}; {to_release(policy)}")
    records = await house.catalogue.stores()
    lines += [line for name in plan.to if name in records for line in _protection(house, records[name])]
    lines += [
        f"nothing is forgotten in {name}: {records[name].hold}"
        for name in plan.to
        if name in records and records[name].hold
    ]
    return tuple(lines)


def _protection(house: House, record: StoreRecord) -> list[str]:
    """What the last try to delete from a store found, and who could."""
    if record.probed is None or record.is_protected is None:
        return []
    how = "keeps what it holds" if record.is_protected else "does NOT keep what it holds"
    lines = [f"store {record.store} {how}: {record.protection} on {_local(house, record.probed)}"]
    return lines + [f"store {record.store}: {risk}" for risk in record.risks]


def _next(house: House, policy: str) -> str:
    if house.dispatch.is_running(policy):
        return "a run is under way now"
    verdict = house.scheduler.verdict(policy)
    if verdict is None:
        return "no schedule is in force: the daemon does not run here"
    if house.dispatch.is_quarantined(policy):
        return f"nothing starts by itself: mistakes in drd ended the last runs; to try it, type: drd backup {policy}"
    if verdict.due is not None:
        due, why = (
            f"a {verdict.due.mode} run is due now ({verdict.due.cause})",
            house.scheduler.why_held(policy),
        )
        return f"{due}, and held back for an hour at most: {why}" if why else due
    if verdict.reason is Reason.UNSCHEDULED or verdict.wake is None:
        return f"the next run waits for {verdict.reason}"
    left = format_duration(verdict.wake - house.clock.now()).split(" ")
    at = _local(house, verdict.wake)
    return f"the next look is in {' '.join(left[:2])}, at {at}: it waits for {verdict.reason}"


def _local(house: House, moment: datetime) -> str:
    return local_with_offset(moment, house.in_force().zone)
