"""What drd's own engines do for steps of runbooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from drd.core.errors import DrdError, PermanentError, TransientError, UsageError
from drd.core.fencing import Clients
from drd.core.health import ClusterView
from drd.core.policy import Cause, Mode, Outcome
from drd.core.postgres.heartbeat import Beat
from drd.core.postgres.nodes import NodeRole
from drd.core.postgres.target import parse_target
from drd.core.rivals import VERIFICATION
from drd.core.tags import HOST
from drd.core.witnesses import NotLost, confirmed_lost, is_well_primary
from drd.engines.dispatch import Dispatch
from drd.engines.looking import look_once
from drd.engines.restore import Restore
from drd.engines.restore_request import RestoreRequest
from drd.engines.run_result import Request
from drd.engines.stores import Stores
from drd.engines.watching import Watching
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.configuration import Configuration, Protected
from drd.ports.journal import Catalogue
from drd.ports.probe import ServiceWatch
from drd.ports.repository import FilesToSave, SaveRequest
from drd.ports.services import Messenger
from drd.ports.world import World

LATEST: Final = "latest"
KEEP_WITHIN: Final = timedelta(hours=1)
"""How long a folder that a step wants kept may take to be saved in one store."""
KEEP_STALL: Final = timedelta(minutes=5)
WITNESS_SECONDS: Final = 20.0
"""How long it is waited for witnesses who cannot tell yet."""
LOOK_SECONDS: Final = 0.05
USE_SECONDS: Final = 10.0
"""How long a service is tried that does not answer its users."""


class EngineServices:
    """`Services` over the engines of this process."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        dispatch: Dispatch,
        restore: Restore,
        watching: Watching,
        catalogue: Catalogue,
        messenger: Messenger,
        world: World,
        daemon: str,
        stores: Stores,
        queues: WorkQueues,
    ) -> None:
        self._configuration = configuration
        self._dispatch = dispatch
        self._restore = restore
        self._watching = watching
        self._catalogue = catalogue
        self._messenger = messenger
        self._world = world
        self._daemon = daemon
        self._stores = stores
        self._queues = queues
        self._deciding: dict[str, asyncio.Lock] = {}

    async def backup(self, policy: str, full: bool) -> str:
        """Run a policy's backup to its end and return its id. A run that is under way counts only if it fits."""
        mode = Mode.FULL if full else Mode.INCREMENTAL
        protected = self._protected(policy)
        if protected.policy.backup.incremental is None:
            mode = Mode.FULL
        while True:
            ticket = self._dispatch.submit(Request(policy, mode, Cause.MANUAL))
            if ticket is None:
                raise TransientError("the daemon is leaving", "the next one goes on")
            # The task is the dispatch's own: this step may be cut, the run goes on.
            await asyncio.wait({ticket.task})
            if mode is Mode.FULL and ticket.request.mode is not Mode.FULL:
                continue
            result = None if ticket.task.cancelled() else ticket.task.result()
            if result is None or result.outcome is not Outcome.SUCCEEDED:
                message = result.whole_message if result is not None else "it was cancelled"
                raise PermanentError(
                    f"the backup of {policy} did not succeed: {message}", f"type: drd explain {policy}"
                )
            return ticket.run

    async def is_backed_up(self, policy: str, full: bool, since: datetime) -> bool:
        """Whether a run of the policy that was started at that moment or later has succeeded."""
        record = await self._catalogue.policy(policy)
        if record is None:
            return False
        modes = (Mode.FULL,) if full else tuple(Mode)
        starts = [record.last_success_start[mode] for mode in modes if mode in record.last_success_start]
        return any(start >= since for start in starts)

    async def restore(self, policy: str, at: str, to: str, store: str | None, by: str) -> str:
        """Bring a policy's data back; returns where it landed."""
        protected = self._protected(policy)
        moment, target = None, None
        if at != LATEST:
            target = parse_target(at, self._configuration().zone) if protected.wal_stores else None
            moment = None if target is not None else self._moment(at)
        request = RestoreRequest(policy, moment, to, store=store, by=by, moment=target)
        landed = await self._restore.start(self._dispatch.new_id(), request)
        if landed.failed:
            raise PermanentError(
                f"{len(landed.failed)} checks of what was restored failed; it is at {to} all the same", "look at it"
            )
        return ", ".join(landed.places)

    async def is_restored(self, policy: str, since: datetime) -> bool:
        """Whether a restore of the policy that was started at that moment or later has succeeded."""
        return any(
            each.policy == policy and each.started >= since and each.outcome is Outcome.SUCCEEDED
            for each in await self._catalogue.restores()
        )

    async def use(self, policy: str) -> str:
        """Use the service as its users do: as `service:` says, or else one row in its database, written and read."""
        protected = self._protected(policy)
        if protected.service is not None:
            return await self._use_as_users(policy, protected.service)
        servers = protected.servers
        if servers is None:
            raise UsageError(
                f"nothing says how the users of {policy} reach it",
                "write it: service: {…} in the policy, or verify: {argv: …}",
            )
        async with servers.reached(self._world, (NodeRole.PRIMARY,)) as node:
            # A row beside the heartbeat's own, so that the two do not count each other's.
            written = await node.server.beat(Beat(policy, self._daemon + VERIFICATION))
            found = [each for each in await node.server.heartbeats() if each.beat.daemon == written.beat.daemon]
        if not any(each.written >= written.written for each in found):
            raise PermanentError(f"a row that was written in {policy} is not read back", "look at the database")
        return node.name or policy

    async def _use_as_users(self, policy: str, watch: ServiceWatch) -> str:
        """Look until it answers: whoever was sent elsewhere a moment ago may meet a session that ends."""
        clock, target = self._world.clock, replace(watch.target, writes_as=self._daemon + VERIFICATION)
        end = clock.monotonic() + USE_SECONDS
        async with watch.probe.opened(self._world, target) as prober:
            while True:
                result = await look_once(clock, prober, watch.probe)
                if result.is_good:
                    return policy
                if clock.monotonic() > end:
                    why = result.message or (result.failure or "")
                    raise TransientError(
                        f"{policy} does not answer as its users reach it: {why}", f"drd explain {policy}"
                    )
                await clock.sleep(LOOK_SECONDS)

    async def confirm_lost(self, policy: str, node: str, by_probes: bool, by_standbys: bool) -> str:
        """Ask witnesses whether a node is gone, not just slow; returns what they say.

        A daemon that was only just started, as in the middle of this very run, has to look for a while first.
        """
        protected, clock = self._protected(policy), self._world.clock
        if protected.watch is None or node not in protected.policy.nodes:
            raise PermanentError(f"{node} is not watched", f"name it under `nodes:` of {policy}, with `health:`")
        end = clock.monotonic() + WITNESS_SECONDS
        while True:
            try:
                return self._said_of(policy, node, by_probes, by_standbys)
            except NotLost as error:
                if not error.is_open or clock.monotonic() > end:
                    raise PermanentError(str(error), f"look at {node}: drd explain {policy}") from error
            await clock.sleep(LOOK_SECONDS)

    def _said_of(self, policy: str, node: str, by_probes: bool, by_standbys: bool) -> str:
        watched, view = self._watching.of(policy), self._watching.view(policy)
        if watched is None or view is None or node not in watched.nodes:
            raise NotLost(f"{node} is not looked at yet", is_open=True)
        return confirmed_lost(view, watched.verdicts, node, by_probes=by_probes, by_standbys=by_standbys)

    def is_well_primary(self, policy: str, node: str) -> bool:
        """Whether a node is seen to lead and to be well, beyond doubt."""
        watched, view = self._watching.of(policy), self._watching.view(policy)
        if watched is None or view is None or node not in watched.nodes:
            return False
        return is_well_primary(view, watched.verdicts, node)

    def view(self, policy: str) -> ClusterView | None:
        """All that is known of a policy's nodes now."""
        return self._watching.view(policy)

    def clients(self, policy: str) -> Clients:
        """How the clients of a policy's service reach its nodes."""
        return self._protected(policy).policy.clients

    @asynccontextmanager
    async def deciding_on_standbys(self, policy: str) -> AsyncIterator[None]:
        """Held by whoever tells a standby of a policy to lead, or lets them receive from their primary again."""
        async with self._deciding.setdefault(policy, asyncio.Lock()):
            yield

    async def keep(self, policy: str, folder: Path, name: str) -> str:
        """Save a folder in the first store of a policy that answers; it is no point, so that no rotation takes it."""
        for store in self._protected(policy).policy.backup.to:
            with suppress(DrdError):
                repository = await self._stores.open(store, may_make=True)
                async with self._queues.take(store, JobClass.BACKUP, self._stores.configured(store).limits.at_once):
                    await self._stores.confirm_identity(store, repository)
                    await repository.save(
                        SaveRequest(
                            content=FilesToSave((folder,)),
                            host=HOST,
                            tags=(name, f"of={policy}"),
                            reread_everything=True,
                            deadline=KEEP_WITHIN,
                            stall=KEEP_STALL,
                        ),
                        lambda _: None,
                    )
                return store
        return ""

    async def tell(self, people: Iterable[str], text: str) -> tuple[str, ...]:
        """Tell people something, all at once; one who has no address is a failure too."""
        told = await asyncio.gather(*(self._tell(person, text) for person in dict.fromkeys(people)))
        return tuple(failure for failure in told if failure)

    async def _tell(self, person: str, text: str) -> str:
        contact = self._configuration().contacts.get(person)
        if contact is None or not contact.addresses:
            return f"{person} has no address"
        refused = []
        for reference in contact.addresses:
            try:
                address = await self._world.secrets.read(reference)
                await self._messenger.send(address, "drd", text)
            except DrdError as error:
                refused.append(error.message)
        return f"{person}: {'; '.join(refused)}" if len(refused) == len(contact.addresses) else ""

    def _protected(self, policy: str) -> Protected:
        protected = self._configuration().policies.get(policy)
        if protected is None:
            raise PermanentError(f"there is no policy {policy}", "type: drd status")
        return protected

    def _moment(self, text: str) -> datetime:
        try:
            given = datetime.fromisoformat(text)
        except ValueError as error:
            raise UsageError(f"{text} is no moment", "write it like 2026-03-02T14:30:17+08:00") from error
        zoned = given if given.tzinfo else given.replace(tzinfo=self._configuration().zone)
        return zoned.astimezone(UTC)
