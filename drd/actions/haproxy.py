"""Sending clients to another server through HAProxy."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, Final

from drd.clients.haproxy import Server, kept_state, order, servers, shutting
from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.runbook import NODE_ROLES, NodeName
from drd.core.runbook_step import Answer
from drd.ports.action import ClientsMove, Facts, Preview, Reference, Situation, node_references

PATIENCE_SECONDS: Final = 5.0
"""For how long orders are repeated that do not hold."""
AGAIN_SECONDS: Final = 0.1


class Haproxy(ClientsMove):
    """Send the clients of an HAProxy backend to one server and to no other."""

    kind: ClassVar[str] = "haproxy"
    is_looked_at_last: ClassVar[bool] = True

    backend: str
    """The backend, as HAProxy calls it."""
    server: NodeName
    """The server's name in the backend, which is the node's name."""
    socket: Path = Path("/run/haproxy/admin.sock")
    """HAProxy's runtime socket, with level admin."""
    state_file: Path | None = None
    """HAProxy's `server-state-file`, in which is written who takes clients; left out: a reload forgets it."""

    async def preview(self, at: Situation) -> Preview:
        """The commands, and how the servers stand now."""
        wanted = self._wanted(at)
        try:
            found = await servers(self.socket, self.backend)
        except DrdError as error:
            return Preview((self.summary(),), (error.message,))
        lines = [f"{self.socket}: {line}" for line in self._orders(found, {wanted})]
        missing = () if any(each.name == wanted for each in found) else (f"{self.backend} has no server {wanted}",)
        return Preview(tuple(lines), missing)

    async def is_done(self, at: Situation) -> Answer:
        """Whether that server takes clients and no other does."""
        ready = _ready(await servers(self.socket, self.backend))
        return Answer.DONE if ready == {self._wanted(at)} else Answer.NOT_DONE

    async def apply(self, at: Situation) -> Facts:
        """Cut the others off, their sessions too, then let the one in, and look whether it is so."""
        before, kept = await self._send_to(at, frozenset({self._wanted(at)}))
        remembered = ",".join(sorted(before)) or at.variables.get(self._remembered, "")
        # That nobody had them says nothing where this was begun before: its own orders may have cut all off.
        return {self._remembered: remembered, **kept} if remembered or not at.is_again else kept

    async def undo(self, at: Situation) -> Facts:
        """Send them to the servers that took them before."""
        if self._remembered not in at.variables:
            raise PermanentError(
                f"which servers of {self.backend} took clients before is not on record", f"look: {self.socket}"
            )
        _, kept = await self._send_to(at, frozenset(filter(None, at.variables[self._remembered].split(","))))
        return kept

    async def rehearse(self, at: Situation) -> Facts | None:
        """Only look whether HAProxy answers and has the server."""
        if not any(each.name == self._wanted(at) for each in await servers(self.socket, self.backend)):
            raise PermanentError(f"{self.backend} has no server {self._wanted(at)}", "look at haproxy.cfg")
        return {}

    @property
    def _remembered(self) -> str:
        return f"haproxy {self.backend}"

    def _wanted(self, at: Situation) -> str:
        return at.machine(self.server).name if self.server in NODE_ROLES else self.server

    async def _send_to(self, at: Situation, wanted: frozenset[str]) -> tuple[frozenset[str], dict[str, str]]:
        """Give the orders until they are seen to hold; who took clients before the first one, and a note.

        One that is reloaded meanwhile does not answer for a moment, begins anew, or forgets them.
        """
        clock, before = at.world.clock, None
        end = clock.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                found = await servers(self.socket, self.backend)
                if missing := sorted(wanted - {each.name for each in found}):
                    raise PermanentError(f"{self.backend} has no server {', '.join(missing)}", "look at haproxy.cfg")
                before = _ready(found) if before is None else before
                for line in self._orders(found, wanted):
                    await order(self.socket, line)
                kept = await kept_state(self.socket, self.state_file)
                ready = _ready(await servers(self.socket, self.backend))
            except TransientError:
                if clock.monotonic() > end:
                    raise
            else:
                if ready == wanted:
                    return before, kept
                if clock.monotonic() > end:
                    raise PermanentError(
                        f"{self.backend} sends clients to {', '.join(sorted(ready)) or 'nobody'} all the same",
                        "look at HAProxy",
                    )
            await clock.sleep(AGAIN_SECONDS)

    def _orders(self, found: tuple[Server, ...], wanted: Collection[str]) -> list[str]:
        """Others first: no moment has clients on both. A session that is open would go on to the old server."""
        lines: list[str] = []
        for each in found:
            if each.name not in wanted:
                lines += shutting(self.backend, each.name)
        return lines + [f"set server {self.backend}/{name} state ready" for name in sorted(wanted)]

    def references(self) -> tuple[Reference, ...]:
        """The server, unless it is a role or a variable."""
        return node_references(self.server, "server")

    def summary(self) -> str:
        """Which backend, to which server."""
        return f"send clients of {self.backend} to {self.server}"


def _ready(found: tuple[Server, ...]) -> frozenset[str]:
    return frozenset(each.name for each in found if each.is_ready)
