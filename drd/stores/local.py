"""A repository in a folder of this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from drd.clients.carrier import examine
from drd.clients.carrier.mounts import unmounted_disk
from drd.core.errors import StoreAway
from drd.ports.look import Look
from drd.ports.store import Backend, Location, Store
from drd.ports.world import World


class LocalStore(Store):
    """A folder on a disk of this machine, written as `local: /srv/drd/repository`.

    When the folder lies on a disk that fstab names and that is not mounted, the store is away: nothing is ever written
    to the empty mount point.
    """

    kind: ClassVar[str] = "local"

    path: Path
    """The repository's folder, absolute; made on first use, its parent must exist."""

    @model_validator(mode="before")
    @classmethod
    def _a_bare_path_is_enough(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str | Path) else value

    @field_validator("path")
    @classmethod
    def _is_absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError(f"write the whole path, as /srv/drd/{path}")
        return path

    def summary(self) -> str:
        """Where it is."""
        return str(self.path)

    async def location(self, world: World) -> Location:
        """The path. Raises `StoreAway` when its disk is not mounted."""
        if disk := await asyncio.to_thread(unmounted_disk, self.path):
            raise StoreAway(f"the backup disk {disk} is not mounted", f"mount {disk}")
        return Location(url=str(self.path))

    async def backend(self, world: World) -> Backend:
        """The path."""
        return Backend("local", {"path": str(self.path)})

    async def look(self, world: World) -> Look:
        """Whether the folder, or the one it will be made in, is there and may be written, and how much room it has."""
        return await examine(world.runner, self.backend(world))

    def beside(self, word: str) -> LocalStore:
        """The folder `PATH-WORD`."""
        return self.model_copy(update={"path": self.path.with_name(f"{self.path.name}-{word}")})
