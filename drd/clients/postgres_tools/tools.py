"""The PostgresTools port over the real programs."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from drd.clients.postgres_tools import base, combine, look, receive, serving
from drd.clients.postgres_tools.programs import Programs
from drd.ports.postgres_serving import Served, ServeRequest
from drd.ports.postgres_tools import (
    Base,
    BaseRequest,
    CombineRequest,
    ControlData,
    OnBaseProgress,
    OnWalNews,
    ReceiveRequest,
    Verification,
)
from drd.ports.runner import Runner


class ProgramsOfPostgres:
    """The programs of one major version. The methods are the port's; see there."""

    def __init__(self, programs: Programs, runner: Runner) -> None:
        self.programs = programs
        self._runner = runner

    @property
    def major(self) -> int:
        """The version of server that they belong to."""
        return self.programs.major

    async def base_backup(self, request: BaseRequest, on_progress: OnBaseProgress) -> Base:
        """Take a base backup."""
        return await base.base_backup(request, on_progress, self.programs, self._runner)

    async def receive_wal(self, request: ReceiveRequest, on_news: OnWalNews) -> None:
        """Receive WAL."""
        await receive.receive_wal(request, on_news, self.programs, self._runner)

    async def verify(self, folder: Path, wal: Path | None = None) -> Verification:
        """Compare a base backup with its manifest."""
        return await look.verify(folder, wal, self.programs, self._runner)

    async def combine(self, request: CombineRequest) -> None:
        """Make one base backup of several."""
        await combine.combine(request, self.programs, self._runner)

    async def control_data(self, folder: Path) -> ControlData:
        """Read a control file."""
        return await look.control_data(folder, self.programs, self._runner)

    def served(self, request: ServeRequest) -> AbstractAsyncContextManager[Served]:
        """Start a server, and stop it afterwards."""
        return serving.served(request, self.programs, self._runner)
