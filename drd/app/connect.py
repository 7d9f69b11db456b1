"""Reaching drd: the daemon over its control socket when one lives, else the same engines in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from drd.clients.control import DaemonAway, DaemonForbidden, DaemonSilent, RemoteControl
from drd.core.errors import UsageError

if TYPE_CHECKING:
    from drd.config.whereabouts import Whereabouts
    from drd.daemon.control import HouseControl
    from drd.ports.configuration import Configuration
    from drd.ports.control import Questions

SOCKET = "control.sock"
PATIENCE = timedelta(seconds=10)
"""After so long without a word, which is two missing heartbeats, a question that only reads is answered without it."""

Answer = TypeVar("Answer")


@asynccontextmanager
async def control(
    place: Whereabouts, read: Callable[[], Configuration], *, alone: bool
) -> AsyncIterator[RemoteControl | HouseControl]:
    """The daemon's control, or with `alone` this process's own, over the configuration that `read` reads.

    Raises `UsageError` when there is no daemon and `alone` is false, and `Busy` when another command works alone.
    """
    remote = RemoteControl(place.state / SOCKET)
    try:
        is_there = await remote.is_there()
    except DaemonForbidden as error:
        from drd.app.ownership import owner_of

        raise UsageError(error.message, f"type: sudo -u {owner_of(place.state / SOCKET)} drd …") from error
    if is_there:
        yield remote
        return
    if not alone:
        raise UsageError("no daemon answers here", "type: drd run")
    # Only a command that works alone needs the engines and the policies: asking a daemon stays quick.
    from drd.app.build import build
    from drd.daemon.control import HouseControl
    from drd.daemon.startup import keep_paying, start_up

    configuration = read()
    async with build(configuration) as built, asyncio.TaskGroup() as group:
        await start_up(built.house)
        workers = [group.create_task(built.house.copy.serve(store)) for store in configuration.stores]
        paying = group.create_task(keep_paying(built.house))
        try:
            yield HouseControl(built.house, None, _nothing_to_reload)
        finally:
            for worker in workers:
                worker.cancel()
            await built.house.dispatch.drain(0)
            await built.house.restore.cancel()
            paying.cancel()


async def consult(
    place: Whereabouts,
    read: Callable[[], Configuration],
    question: Callable[[Questions], Awaitable[Answer]],
    say: Callable[[str], None],
) -> Answer:
    """Ask the daemon, and where none answers the journal; `say` is told so.

    Raises `UsageError` when this user may read neither.
    """
    is_silent = False
    try:
        return await question(RemoteControl(place.state / SOCKET, silence=PATIENCE))
    except DaemonAway:
        why = "no daemon answers"
    except (DaemonSilent, DaemonForbidden) as error:
        is_silent = isinstance(error, DaemonSilent)
        why = str(error)
    from drd.app.reading import JournalAnswers

    answers = JournalAnswers(read(), is_silent=is_silent)
    answer = await question(answers)
    say(f"{why}: this is what {answers.whose_words}")
    return answer


async def _nothing_to_reload() -> tuple[str, ...]:
    raise UsageError("no daemon runs here, so there is nothing to reload", "type: drd run")
