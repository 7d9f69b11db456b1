"""A source whose folder lies in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from drd.ports.repository import FilesToSave, StreamToSave
from drd.ports.source import Prepared, Source
from drd.ports.world import World


class FakeSource(Source):
    """Files below `path`, or what `program` prints; `refusal` is raised when somebody opens it.

    With `rest`, files below that are what makes it whole; `spoilt` is raised when they are asked for.
    """

    kind: ClassVar[str] = "fake"
    path: str = "/srv"
    program: str = ""
    refusal: Any = None
    note: str = ""
    moment: datetime | None = None
    facts: tuple[str, ...] = ()
    rest: str = ""
    spoilt: Any = None
    accompanying: int = 0
    """How many bytes of what is below `path` are none of the source."""

    def summary(self) -> str:
        return f"the made-up folder {self.path}"

    @asynccontextmanager
    async def opened(self, world: World) -> AsyncIterator[Prepared]:
        if self.refusal is not None:
            raise self.refusal
        if self.program:
            yield Prepared(StreamToSave((self.program,), "dump", {}))
        elif self.rest:
            yield Prepared(FilesToSave((Path(self.path),)), completion=self._complete)
        else:
            content = FilesToSave((Path(self.path),))
            yield Prepared(content, self.note, self.moment, self.facts, accompanying_bytes=self.accompanying)

    async def _complete(self) -> Prepared:
        if self.spoilt is not None:
            raise self.spoilt
        return Prepared(FilesToSave((Path(self.rest),)), self.note, self.moment, self.facts)
