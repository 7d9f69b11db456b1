"""What drd itself does for a step of a runbook: back up, restore, tell people, use a service."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from drd.core.fencing import Clients
from drd.core.health import ClusterView


class Services(Protocol):
    """The daemon's own work, as steps of runbooks order it."""

    async def backup(self, policy: str, full: bool) -> str:
        """Run a policy's backup to its end and return its id. Raises `DrdError` when it does not succeed."""
        ...

    async def is_backed_up(self, policy: str, full: bool, since: datetime) -> bool:
        """Whether a run of the policy that was started at that moment or later has succeeded."""
        ...

    async def restore(self, policy: str, at: str, to: str, store: str | None, by: str) -> str:
        """Bring a policy's data back; returns where it landed. Raises `DrdError` when it does not."""
        ...

    async def is_restored(self, policy: str, since: datetime) -> bool:
        """Whether a restore of the policy that was started at that moment or later has succeeded."""
        ...

    async def use(self, policy: str) -> str:
        """Use a policy's service as its clients do; returns what answered. Raises `DrdError` when it does not."""
        ...

    async def confirm_lost(self, policy: str, node: str, by_probes: bool, by_standbys: bool) -> str:
        """Ask witnesses whether a node is gone, not just slow; returns what they say.

        Raises `DrdError` where one of them does not say so, or there is none.
        """
        ...

    def is_well_primary(self, policy: str, node: str) -> bool:
        """Whether a node is seen to lead and to be well, beyond doubt."""
        ...

    def view(self, policy: str) -> ClusterView | None:
        """All that is known of a policy's nodes now; None where they are not watched."""
        ...

    def clients(self, policy: str) -> Clients:
        """How the clients of a policy's service reach its nodes."""
        ...

    def deciding_on_standbys(self, policy: str) -> AbstractAsyncContextManager[None]:
        """Held by whoever tells a standby of a policy to lead, or lets them receive from their primary again.

        So what the one has seen, that they are cut off or that nobody was told, holds until its order is on record.
        """
        ...

    async def keep(self, policy: str, folder: Path, name: str) -> str:
        """Save a folder in the first store of a policy that answers, beside its backups.

        Returns that store; empty when none does, so that the folder is all there is.
        """
        ...

    async def tell(self, people: Iterable[str], text: str) -> tuple[str, ...]:
        """Tell people something, all of them at once; who could not be reached, and why."""
        ...


class Messenger(Protocol):
    """Sends words to an address."""

    async def send(self, address: bytes, title: str, text: str) -> None:
        """Deliver, or raise `DrdError`. The address holds a secret and stands in no error."""
        ...
