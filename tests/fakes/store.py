"""A store of a made-up kind over a place in memory."""

from typing import Any, ClassVar, Literal

from drd.ports.look import Look
from drd.ports.repository import Repository
from drd.ports.store import Backend, ConfiguredStore, Location, Store
from drd.ports.world import World
from tests.fakes.repository import FakeDisk, FakePlace, FakeRepository


class FakeStore(Store):
    """Reachable unless its place is away; `looks` counts how often somebody looked."""

    kind: ClassVar[str] = "fake"
    keeps_by: ClassVar[Literal["nothing", "lock", "appending"]] = "lock"
    place: Any
    free_bytes: int = 2**40
    object_lock_days: int | None = None

    def summary(self) -> str:
        return f"a made-up place {self.place.name}"

    async def location(self, world: World) -> Location:
        return Location(f"fake:{self.place.name}")

    async def backend(self, world: World) -> Backend:
        return Backend("fake", {"place": self.place.name})

    async def look(self, world: World) -> Look:
        self.place.looks += 1
        await world.clock.sleep(self.place.look_seconds)
        if self.place.away:
            return Look(False, self.place.away, "plug it in")
        config = self.place.identity or ""
        return Look(
            True,
            config=config,
            free_bytes=self.free_bytes,
            versioning=self.place.keeps_versions,
            object_lock_days=self.object_lock_days,
        )

    def beside(self, word: str) -> Store:
        return self.model_copy(update={"place": FakePlace(f"{self.place.name}.{word}")})


class FakeRepositories:
    """Opens repositories over the stores' places; the same object each time, so that a test can prepare it."""

    def __init__(self, world: World, disk: FakeDisk) -> None:
        self._world = world
        self._disk = disk
        self._open: dict[str, FakeRepository] = {}

    async def open(self, store: ConfiguredStore) -> Repository:
        return self.of(store, await self._world.secrets.read(store.password))

    def of(self, store: ConfiguredStore, password: bytes) -> FakeRepository:
        assert isinstance(store.place, FakeStore)
        place: FakePlace = store.place.place
        if store.name not in self._open or self._open[store.name].place is not place:
            self._open[store.name] = FakeRepository(place, password, self._world.clock, self._disk)
        return self._open[store.name]
