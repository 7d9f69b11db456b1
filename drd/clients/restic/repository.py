"""One restic repository with all views of the port."""

from __future__ import annotations

from drd.clients.restic.access import Access
from drd.clients.restic.calls import USUAL, Calls, Patience
from drd.clients.restic.repairing import Repairing
from drd.clients.restic.restoring import Restoring
from drd.clients.restic.upkeep import Keeping
from drd.clients.restic.versions import Restic
from drd.clients.restic.writing import Writing
from drd.ports.clock import Clock
from drd.ports.runner import Runner
from drd.ports.store import Limits


class ResticRepository(Writing, Keeping, Restoring, Repairing):
    """One repository. The folder of its `access` must be there.

    Nothing is asked of the store until a method is called, and each call pays about half a second for the password's
    key derivation.
    """

    def __init__(
        self,
        restic: Restic,
        access: Access,
        runner: Runner,
        clock: Clock,
        limits: Limits,
        patience: Patience = USUAL,
    ) -> None:
        super().__init__(Calls(restic, access, runner, clock, limits, patience))
