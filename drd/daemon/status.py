"""What `drd status` shows, put together from the catalogue."""

from __future__ import annotations

from datetime import datetime

from drd.core.catalogue import PolicyRecord, StoreRecord
from drd.core.points import RecoveryPoint
from drd.core.requirements import Place
from drd.core.standing import assess
from drd.daemon.house import House
from drd.daemon.incidents import waiting_incidents
from drd.daemon.nodes import node_status
from drd.daemon.requirements import broken_promise, last_verified, places
from drd.daemon.services import service_status
from drd.daemon.wal import newest_points, wal_status
from drd.engines.anchor import VERIFY_HINT
from drd.engines.rotating_check import read_within
from drd.ports.configuration import Configuration, Protected
from drd.ports.control import CopyStatus, PolicyStatus, Status, StoreStatus
from drd.ports.store import ConfiguredStore


async def status(house: House, version: str, since: datetime | None) -> Status:
    """Everything at a glance."""
    configuration = house.in_force()
    records = await house.catalogue.policies()
    newest = await newest_points(house)
    stores = await house.catalogue.stores()
    verified = await last_verified(house)
    now = house.clock.now()
    pauses = sorted(await house.catalogue.pauses(), key=lambda pause: pause.until)
    paused = {
        pause.policy: pause.until.astimezone(configuration.zone) for pause in pauses if pause.what in ("backup", "all")
    }
    return Status(
        daemon=house.daemon,
        version=version,
        running=since is not None,
        site=configuration.site,
        since=since,
        policies=tuple(
            _policy(
                house,
                protected,
                records.get(name),
                places(house, protected.policy, newest, stores, verified),
                newest,
                stores,
                paused.get(name),
                now,
            )
            for name, protected in sorted(configuration.policies.items())
        ),
        stores=tuple(_store(house, store, stores.get(name)) for name, store in configuration.stores.items()),
        wal=await wal_status(house),
        services=service_status(house, records),
        nodes=node_status(house),
        warnings=(
            *configuration.warnings,
            *_of_the_journal(house),
            *_of_promises(house, configuration, stores),
            *await waiting_incidents(house),
            *(_of_heartbeats(house, configuration) if since is not None else ()),
        ),
    )


def _of_the_journal(house: House) -> tuple[str, ...]:
    problem = house.anchor.problem
    return (f"the journal does not verify: {problem}; {VERIFY_HINT}",) if problem else ()


def _of_promises(house: House, configuration: Configuration, records: dict[str, StoreRecord]) -> tuple[str, ...]:
    """What is declared of the stores and does not hold, and keys that somebody added to them: never believed."""
    found: list[str] = []
    for name, store in configuration.stores.items():
        record = records.get(name)
        if promise := broken_promise(house, store, record):
            found.append(f"store {name} {promise}")
        found += [_foreign(name, key) for key in (record.foreign_keys if record is not None else ())]
    return tuple(found)


def _foreign(store: str, key: str) -> str:
    known = f"if it is known, type: drd accept {store}"
    return f"store {store} has the key {key[:8]}, which drd did not add: who holds it reads everything there; {known}"


def _of_heartbeats(house: House, configuration: Configuration) -> tuple[str, ...]:
    """The policies whose heartbeat is to be written and is not, with the reason."""
    wanted = [name for name, each in sorted(configuration.policies.items()) if each.servers is not None]
    problems = ((name, house.heartbeats.line(name).problem) for name in wanted)
    return tuple(f"no heartbeat of {name} is written: {problem}" for name, problem in problems if problem)


def _policy(
    house: House,
    protected: Protected,
    record: PolicyRecord | None,
    known: tuple[Place, ...],
    newest: dict[tuple[str, str], RecoveryPoint],
    stores: dict[str, StoreRecord],
    paused_until: datetime | None,
    now: datetime,
) -> PolicyStatus:
    policy = protected.policy
    here = {store: newest[policy.name, store] for store in policy.backup.to if (policy.name, store) in newest}
    is_running = house.dispatch.is_running(policy.name)
    safe = house.archive.line(policy.name).safe if protected.wal_stores else None
    received = None if safe is None else safe.moment
    assessment = assess(policy, record, known, paused_until, is_running, now, received)
    verdict = house.scheduler.verdict(policy.name)
    due = verdict.due if verdict else None
    running = next((ticket.run for ticket in house.dispatch.running() if ticket.request.policy == policy.name), None)
    last = record.last_run if record else None
    return PolicyStatus(
        name=policy.name,
        description=policy.description,
        state=assessment.state,
        note=assessment.note,
        hint=assessment.hint,
        rpo=policy.objectives.rpo,
        copies=tuple(_copy(store, here.get(store), stores.get(store)) for store in policy.backup.to),
        next_run=now if due else (verdict.wake if verdict else None),
        next_mode=due.mode if due else None,
        running=running,
        last_outcome=last.outcome if last else None,
        last_finished=last.finished if last else None,
        heartbeat=_heartbeat(house, protected),
    )


def _heartbeat(house: House, protected: Protected) -> str:
    line = house.heartbeats.line(protected.policy.name)
    is_known = protected.servers is not None and (line.means is not None or line.problem)
    return str(line) if is_known else ""


def _copy(store: str, point: RecoveryPoint | None, record: StoreRecord | None) -> CopyStatus:
    copy = point.copy_in(store) if point else None
    return CopyStatus(
        store=store,
        moment=point.moment if point else None,
        proven_at=copy.proven_at if copy else None,
        is_damaged=point is not None and record is not None and record.is_damaged,
    )


def _store(house: House, store: ConfiguredStore, record: StoreRecord | None) -> StoreStatus:
    look = house.stores.look_of(store.name)
    away = house.stores.why_away(store.name)
    status = StoreStatus(
        name=store.name,
        kind=store.place.kind,
        site=store.site,
        distance_km=store.distance_metres / 1000,
        state="ok",
        free_bytes=look.free_bytes if look else None,
        last_checked=record.last_checked if record else None,
        unread_since=record.unread_since if record else None,
        read_within=read_within(house.in_force(), store.name),
        mirror_of=None if store.independent else house.stores.origin_of(store.name),
    )
    if away is not None:
        return status.model_copy(update={"state": "away", "note": look.message if look and look.message else away})
    if record is None or record.repository_id is None:
        return status.model_copy(update={"state": "never used"})
    if record.is_damaged:
        return status.model_copy(update={"state": "damaged", "note": _of_damage(record)})
    if record.hold is not None:
        return status.model_copy(update={"state": "held", "note": f"nothing is forgotten there: {record.hold}"})
    return status


def _of_damage(record: StoreRecord) -> str:
    """What is known of the damage, and how far healing it has come."""
    damage = record.damage
    if damage is None:
        return "damage was found there"
    if not damage.left:
        return f"drd heals it by itself: {damage.message}"
    if not damage.lost:
        return f"it could not be healed: {damage.left}; {damage.hint}"
    more = f" and {damage.lost_count - 1} more" if damage.lost_count > 1 else ""
    return f"what is lost there: {damage.lost[0]}{more}; {damage.hint}"
