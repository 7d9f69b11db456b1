"""Small kinds of the tests' own: the configuration is given its kinds, so it is tested without the real ones."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from drd.core.secrets import SecretReference
from drd.core.units import PositiveDuration
from drd.ports.look import Look
from drd.ports.probe import Probe, Prober, Target
from drd.ports.source import Prepared, Source
from drd.ports.store import Backend, Location, Store
from drd.ports.world import World


class Files(Source):
    """Files of this host."""

    kind: ClassVar[str] = "files"
    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    exclude: tuple[str, ...] = ()

    def summary(self) -> str:
        return f"files {', '.join(self.paths)}"

    def opened(self, world: World) -> AbstractAsyncContextManager[Prepared]:
        raise NotImplementedError


class Command(Source):
    """A program's standard output."""

    kind: ClassVar[str] = "command"
    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    filename: str = "output"

    def advice(self) -> tuple[str, ...]:
        return ("its output is compressed",) if self.argv[0] == "gzip" else ()

    def summary(self) -> str:
        return f"output of {self.argv[0]}"

    def opened(self, world: World) -> AbstractAsyncContextManager[Prepared]:
        raise NotImplementedError


class Somewhere(Store):
    """What the tests' stores have in common: they are never reached."""

    async def location(self, world: World) -> Location:
        raise NotImplementedError

    async def backend(self, world: World) -> Backend:
        raise NotImplementedError

    async def look(self, world: World) -> Look:
        raise NotImplementedError

    def beside(self, word: str) -> Store:
        return self


class Local(Somewhere):
    """A folder of this host."""

    kind: ClassVar[str] = "local"
    path: Path

    @model_validator(mode="before")
    @classmethod
    def _from_a_bare_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value

    def summary(self) -> str:
        return f"folder {self.path}"


class S3(Somewhere):
    """A bucket."""

    kind: ClassVar[str] = "s3"
    endpoint: str
    bucket: str
    region: str | None = None
    credentials: SecretReference

    def summary(self) -> str:
        return f"bucket {self.bucket} at {self.endpoint}"


class Tcp(Probe):
    """A port that accepts connections."""

    kind: ClassVar[str] = "tcp"
    port: int
    timeout: PositiveDuration = Field(default="1s", validate_default=True)

    def summary(self) -> str:
        return f"port {self.port}"

    def opened(self, world: World, target: Target) -> AbstractAsyncContextManager[Prober]:
        raise NotImplementedError


PROBES = {"tcp": Tcp}
SOURCES = {"files": Files, "command": Command}
STORES = {"local": Local, "s3": S3}
