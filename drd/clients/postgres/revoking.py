"""Cutting a standby off from its primary, and giving it back, over its own connection.

A standby that asks for log by a slot that the primary does not have gets none, so that it confirms nothing. The name
that it had is part of the one that it gets, so that whoever comes next knows it; nothing secret is moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from drd.clients.postgres.connection import Connection
from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.following_primary import Leading
from drd.clients.postgres.of_machines import dsn_of, lead_of
from drd.clients.postgres.orders import LOOK_SECONDS, QUICK, parameter, set_parameter
from drd.core.errors import PermanentError, TransientError
from drd.core.fencing import FenceState, cuts_needed, revocation
from drd.core.health import ClusterView, NodeView
from drd.core.postgres.names import LONGEST
from drd.core.probing import Failure, Quorum
from drd.ports.machines import Machine
from drd.ports.world import World

SLOT: Final = "primary_slot_name"
CUT: Final = "drd_cut_"
"""Begins the name of a slot that no primary has."""
ANSWER_SECONDS: Final = 1.0
"""A primary that has not answered for so long does not answer."""
LOOKS: Final = 2
"""So many looks in a row have to show no receiver."""
_RECEIVER: Final = "SELECT pid, slot_name FROM pg_stat_wal_receiver"

Sleep = Callable[[float], Awaitable[None]]


async def cut(dsn: bytes, sleep: Sleep) -> None:
    """Have a standby receive nothing any more, and return once its receiver is seen to be gone.

    Raises `RightMissing` with what to grant, and `TransientError` when the receiver does not go in time.
    """
    before = await parameter(dsn, SLOT)
    if not before.startswith(CUT):
        if len(CUT + before) > LONGEST:
            raise PermanentError(f"the slot {before} has too long a name to be told apart", "choose a shorter one")
        await set_parameter(dsn, SLOT, CUT + before, sleep)
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        gone = 0
        for _ in range(round(QUICK.answer.total_seconds() / LOOK_SECONDS)):
            # Once is not enough: between two receivers there is none, and the next may still know the old name.
            gone = gone + 1 if await _is_without_receiver(connection) else 0
            if gone == LOOKS:
                return
            await sleep(LOOK_SECONDS)
    finally:
        await connection.close()
    raise TransientError(f"the receiver of {connection.dsn.place} does not stop", "look at its log")


async def is_cut(dsn: bytes) -> bool:
    """Whether a standby is cut off and receives nothing. Raises what keeps it from answering."""
    if not (await parameter(dsn, SLOT)).startswith(CUT):
        return False
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        return await _is_without_receiver(connection)
    finally:
        await connection.close()


async def cut_off(world: World, machines: Sequence[Machine]) -> frozenset[str]:
    """Which of these standbys are cut off and receive nothing. Raises what keeps one from answering."""
    dsns = [await dsn_of(world.secrets, each) for each in machines]
    cut = await asyncio.gather(*(is_cut(dsn) for dsn in dsns))
    return frozenset(each.name for each, is_so in zip(machines, cut, strict=True) if is_so)


async def give_back(dsn: bytes, sleep: Sleep) -> bool:
    """Let it receive again as before. Whether it had been cut off."""
    now = await parameter(dsn, SLOT)
    if not now.startswith(CUT):
        return False
    await set_parameter(dsn, SLOT, now.removeprefix(CUT), sleep)
    return True


async def revoke(world: World, view: ClusterView, primary: Machine, others: Sequence[Machine]) -> tuple[str, ...]:
    """Cut off so many synchronous standbys that the primary confirms no commit any more; their nodes.

    Raises `PermanentError`, and gives all of them back, where that counts for nothing: the last look at the primary is
    old or did not show the rule in force, too few are reached, or the primary answers after all.
    """
    if view.primary != primary.name:
        raise PermanentError(f"{primary.name} was not the primary when the nodes were looked at last", "")
    seen = view.node(primary.name).seen
    quorum = None if seen is None else seen.quorum
    names = {node.name: node.seen.replicates_as for node in view.nodes if node.seen is not None}
    counting = [each for each in others if quorum is not None and names.get(each.name) in quorum.named]
    try:
        # An earlier attempt may have cut some off, so that what is found here gives them back as well.
        _demand_revocable(view)
        await _demand_silence(world, view, primary)
        ends = await asyncio.gather(*(_cut(world, each) for each in counting), return_exceptions=True)
        gone = {names[each.name]: each.name for each, end in zip(counting, ends, strict=True) if end is None}
        why = "; ".join(f"{each.name}: {end}" for each, end in zip(counting, ends, strict=True) if end is not None)
        _demand_enough(len(gone), quorum, why)
        await _demand_silence(world, view, primary)
    except BaseException:
        await give_all_back(world, [each for each in others if _is_of_newest_timeline(view, each.name)])
        raise
    return tuple(sorted(gone.values()))


async def give_all_back(world: World, machines: Sequence[Machine]) -> None:
    """Let all receive that had been cut off, as far as they answer."""
    await asyncio.gather(*(give_machine_back(world, each) for each in machines), return_exceptions=True)


async def give_machine_back(world: World, machine: Machine) -> bool:
    """Let a machine's standby receive again as before. Whether it had been cut off."""
    return await give_back(await dsn_of(world.secrets, machine), world.clock.sleep)


async def _is_without_receiver(connection: Connection) -> bool:
    rows = await connection.rows(_RECEIVER)
    # What asks by that name gets an answer that it does not like, and no log.
    return all((row["slot_name"] or "").startswith(CUT) for row in rows)


async def _cut(world: World, machine: Machine) -> None:
    await cut(await dsn_of(world.secrets, machine), world.clock.sleep)


def _demand_revocable(view: ClusterView) -> None:
    found = revocation(view)
    if found.state is FenceState.IMPOSSIBLE:
        raise PermanentError(found.why, "")


def _is_silent(node: NodeView) -> bool:
    last = None if node.database is None else node.database.last
    return last is not None and last.failure is Failure.TIMEOUT


def _is_of_newest_timeline(view: ClusterView, name: str) -> bool:
    """Whether it may follow the primary; one of an earlier timeline may have been cut off from an earlier primary."""
    timelines = {node.name: node.seen.position.timeline for node in view.nodes if node.seen is not None}
    return name not in timelines or timelines[name] == max(timelines.values())


def _demand_enough(gone: int, quorum: Quorum | None, why: str) -> None:
    if quorum is None or gone < cuts_needed(quorum):
        raise PermanentError(f"too few standbys are cut off: {why or 'none that counts is reached'}", "")


async def _demand_silence(world: World, view: ClusterView, primary: Machine) -> None:
    """See that it does not answer: one that does has clients, and loses nobody's writes by going on.

    One that a probe has just waited for in vain is not waited for again, which would double the time that clients wait:
    whoever promotes asks it once more.
    """
    if _is_silent(view.node(primary.name)):
        return
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found = await lead_of(world.secrets, primary)
    except TimeoutError:
        return
    if isinstance(found, Leading):
        raise PermanentError(f"{primary.name} answers, so its standbys receive again", "")
