"""Stores of every kind as tests see them: the spec from drd.yaml, a way to take the place away, and restic on it."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from drd.core.secrets import SecretReference
from drd.ports.repository import OnProgress
from drd.ports.runner import Command, Ended, Runner
from drd.ports.store import Backend, Carried, Carrier, Location, Store
from drd.ports.world import World

RESTIC_SECONDS = 90


class GivenSecrets:
    """Secrets by the name of an environment variable, from a table."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self.table = dict(table)

    async def read(self, reference: SecretReference) -> bytes:
        assert reference.env is not None
        return self.table[reference.env].encode()


class WallClock:
    """Stores ask for no time, but a World has a clock."""

    boot_id = "test"

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@dataclass
class StorePlace:
    """A store over an empty place."""

    store: Store
    world: World
    take_away: Callable[[], None]
    bring_back: Callable[[], None]
    wrong_secret: Callable[[], None] | None = None
    """Makes the secret wrong that opens the place, for kinds that have one."""


@dataclass
class Restic:
    """A real restic on one repository, the way the daemon reaches it."""

    program: Path
    runner: Runner
    location: Location
    password: str
    cache: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str, expect: int | None = 0) -> list[str]:
        """Run restic and return its lines of output; asserts the exit status unless `expect` is None."""
        lines: list[str] = []
        ended = await self.ended(*arguments, lines=lines)
        assert expect is None or ended.code == expect, (arguments, ended.code, lines, ended.stderr_tail)
        return lines

    async def ended(self, *arguments: str, lines: list[str] | None = None) -> Ended:
        secrets = {**self.location.secrets, "password": self.password.encode()}
        repository = ("--repo", self.location.url)
        if self.location.url_is_secret:
            secrets["url"] = self.location.url.encode()
            repository = ("--repository-file", "{url}")
        options = tuple(word for option in self.location.options for word in ("-o", option))
        command = Command(
            argv=(
                *(str(self.program), *repository, "--password-file", "{password}"),
                *("--cache-dir", str(self.cache), *options, *arguments),
            ),
            environment={"PATH": "/usr/bin:/bin", "HOME": str(self.cache), **self.location.environment},
            secrets=secrets,
            deadline=timedelta(seconds=RESTIC_SECONDS),
        )
        heard = [] if lines is None else lines
        return await self.runner.run(command, lambda _stream, line: heard.append(line.decode()))

    async def snapshots(self) -> list[str]:
        """The full ids of all snapshots."""
        return [line for line in await self.run("list", "snapshots", "-q") if len(line) == 64]

    async def restored(self, snapshot: str, into: Path) -> dict[str, bytes]:
        """Restore a snapshot and return its regular files by relative path."""
        shutil.rmtree(into, ignore_errors=True)
        await self.run("restore", snapshot, "--target", str(into))
        return content_of(into)


@dataclass
class Mirroring:
    """Makes and fills mirrors of the first store."""

    carrier: Carrier
    first: Store
    world: World

    async def adopt(self, mirror: Store, first_password: str = "first password") -> None:
        origin, target = await self._ends(mirror)
        await self.carrier.adopt(origin, target, first_password.encode(), b"mirror password")

    async def carry(
        self,
        mirror: Store,
        upload: int | None = None,
        on_progress: OnProgress = lambda progress: None,
        withheld: frozenset[str] = frozenset(),
    ) -> Carried:
        origin, target = await self._ends(mirror)
        return await self.carrier.carry(origin, target, upload, on_progress, withheld)

    async def send_ahead(self, mirror: Store, upload: int | None = None) -> None:
        origin, target = await self._ends(mirror)
        await self.carrier.send_ahead(origin, target, upload, lambda progress: None)

    async def keys(self, store: Store) -> tuple[str, ...]:
        return await self.carrier.key_files(await store.backend(self.world))

    async def _ends(self, mirror: Store) -> tuple[Backend, Backend]:
        return await self.first.backend(self.world), await mirror.backend(self.world)


class ResticOn(Protocol):
    """Makes a Restic for a store and a password."""

    async def __call__(self, store: Store, password: str, program: Path = ...) -> Restic: ...


def content_of(folder: Path) -> dict[str, bytes]:
    """All regular files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
