"""Carries what lies in one place in memory to another, as files are carried: whole or not at all."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from drd.core.errors import DrdError, PermanentError, StoreAway
from drd.ports.clock import Clock
from drd.ports.protection import Extended, Protection
from drd.ports.repository import OnProgress, Progress
from drd.ports.store import Backend, Carried, Uncovered
from tests.fakes.repository import FakePlace


class FakeCarrier:
    """`refused` names snapshots whose files are damaged: one of them withholds every snapshot not yet there."""

    def __init__(self, clock: Clock) -> None:
        self.places: dict[str, FakePlace] = {}
        self.refused: set[str] = set()
        self.seconds = 0.0
        self.rounds = 0
        self.uploads: list[int | None] = []
        self.protection = Protection(True, "it refused")
        self.extended = Extended(0, 0)
        self.keys: dict[str, tuple[str, ...]] = {}
        """Place → the names of its keys, where they are not as many as its passwords."""
        self.examined: list[tuple[str, tuple[str, ...]]] = []
        self.removed: list[str] = []
        self.cleared: list[str] = []
        """The places that were made empty of what an earlier creation left."""
        self.not_put_aside: dict[str, str] = {}
        self.not_mended: dict[str, str] = {}
        self.no_versions: DrdError | None = None
        """Why nobody may look at what a place keeps of its own past."""
        self.uncoverings: list[tuple[tuple[str, ...], datetime | None]] = []
        self.ahead: list[tuple[str, str]] = []
        """The places between which packs are sent now, ahead of a round."""
        self.away_ahead: Exception | None = None
        """Why none can be."""
        self.before: Callable[[], None] = lambda: None
        self._clock = clock

    async def carry(
        self,
        origin: Backend,
        target: Backend,
        upload: int | None,
        on_progress: OnProgress,
        withheld: frozenset[str] = frozenset(),
    ) -> Carried:
        source, sink = self._place(origin), self._place(target)
        if sink.identity != source.identity:
            raise PermanentError(f"{sink.name} holds another repository than {source.name}", "drd accept")
        self.rounds += 1
        self.before()
        listed = {each: snapshot for each, snapshot in source.snapshots.items() if each not in withheld}
        self.uploads.append(upload)
        await self._clock.sleep(self.seconds)
        self._place(origin), self._place(target)
        missing = [each for each in listed if each not in sink.snapshots]
        damaged = tuple(each for each in missing if each in self.refused)
        if not damaged:
            for each in missing:
                sink.plant(listed[each], source.trees[each])
        on_progress(Progress(phase="carrying"))
        whole = tuple(each for each in listed if each in sink.snapshots)
        message = "a file does not match its name" if damaged else ""
        count = 0 if damaged else len(missing)
        paths = tuple(f"snapshots/{each}" for each in damaged)
        return Carried(
            not damaged,
            count,
            count * 100,
            self.seconds,
            whole,
            paths,
            message,
        )

    async def send_ahead(self, origin: Backend, target: Backend, upload: int | None, on_progress: OnProgress) -> None:
        on_progress(Progress(phase="looking for packs"))
        if (away := self.away_ahead) is not None:
            raise away
        self.ahead.append((self._place(origin).name, self._place(target).name))
        try:
            await asyncio.Event().wait()
        finally:
            self.ahead.remove((self._place(origin).name, self._place(target).name))

    async def examine(self, target: Backend, suspects: tuple[str, ...], on_progress: OnProgress) -> dict[str, str]:
        place = self._place(target)
        self.examined.append((place.name, suspects))
        gone = [path for path in suspects if path.startswith("snapshots/") and path[10:] not in place.snapshots]
        bad = {path: "its content does not hash to its name" for path in place.bad if _is_seen(path, suspects)}
        return dict.fromkeys(gone, "it is not there") | bad

    async def mend(
        self,
        origin: Backend,
        target: Backend,
        paths: tuple[str, ...],
        upload: int | None,
        on_progress: OnProgress,
        aside: Path | None = None,
    ) -> dict[str, str]:
        if self.not_mended:
            return self.not_mended
        source, sink = self._place(origin), self._place(target)
        if "config" in paths:
            sink.identity = source.identity
        assert source.identity == sink.identity
        gone = {path for path in paths if path.startswith("snapshots/") and path[10:] not in source.snapshots}
        refused = {path: f"{source.name} does not have it" for path in paths if path in source.bad | gone}
        mended = set(paths) - refused.keys()
        for path in sorted(mended):
            if path.startswith("snapshots/") and path[10:] not in sink.snapshots:
                sink.plant(source.snapshots[path[10:]], source.trees[path[10:]])
        sink.bad -= mended
        sink.heal()
        return refused

    async def put_aside(self, target: Backend, paths: tuple[str, ...], aside: Path) -> dict[str, str]:
        self._place(target)
        return self.not_put_aside

    async def remove(self, target: Backend, paths: tuple[str, ...], aside: Path) -> dict[str, str]:
        self._place(target).bad -= set(paths)
        self.removed += paths
        return {}

    async def uncover(
        self,
        target: Backend,
        paths: tuple[str, ...],
        since: datetime | None,
        aside: Path | None = None,
        *,
        only_look: bool = False,
    ) -> Uncovered:
        self._place(target)
        self.uncoverings.append((paths, since))
        if self.no_versions is not None:
            raise self.no_versions
        return Uncovered((), {})

    async def key_files(self, backend: Backend) -> tuple[str, ...]:
        if (given := self.keys.get(self._place(backend).name)) is not None:
            return given
        return tuple(f"key-{number}" for number, _ in enumerate(self._place(backend).passwords))

    async def clear_unfinished(self, target: Backend) -> None:
        assert self._place(target).identity is None
        self.cleared.append(self._place(target).name)

    async def probe(self, backend: Backend, days: int) -> Protection:
        self._place(backend)
        return self.protection

    async def extend(self, backend: Backend, days: int, now: datetime) -> Extended:
        self._place(backend)
        return self.extended

    async def adopt(self, origin: Backend, target: Backend, origin_password: bytes, target_password: bytes) -> None:
        source, sink = self._place(origin), self._place(target)
        if sink.identity not in (None, source.identity):
            raise PermanentError(f"{sink.name} holds another repository", "drd accept")
        sink.identity, sink.chunker = source.identity, source.chunker
        sink.passwords.add(target_password)

    def _place(self, backend: Backend) -> FakePlace:
        place = self.places[backend.settings["place"]]
        if place.away:
            raise StoreAway(f"{place.name} does not answer: {place.away}", "")
        return place


def _is_seen(path: str, suspects: tuple[str, ...]) -> bool:
    return path in suspects or path.partition("/")[0] in suspects
