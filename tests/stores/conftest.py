"""Every kind of store over a real server or folder."""

from pathlib import Path

import pytest

from drd.clients.carrier import ProcessCarrier
from drd.core.secrets import SecretReference
from drd.ports.world import World
from drd.stores.local import LocalStore
from drd.stores.s3 import S3Store
from tests.servers import RcloneS3
from tests.stores.places import GivenSecrets, Restic, StorePlace, WallClock
from tests.stores.plain_runner import PlainRunner


@pytest.fixture
def runner() -> PlainRunner:
    return PlainRunner()


@pytest.fixture
def secrets() -> GivenSecrets:
    return GivenSecrets({})


@pytest.fixture
def world(runner: PlainRunner, secrets: GivenSecrets) -> World:
    return World(clock=WallClock(), runner=runner, secrets=secrets)


@pytest.fixture
def carrier(runner: PlainRunner, restic_binary: Path, tmp_path: Path) -> ProcessCarrier:
    return ProcessCarrier(runner, restic_binary, tmp_path / "scratch")


@pytest.fixture
def first(world: World, tmp_path: Path) -> LocalStore:
    """The store that mirrors are made of."""
    return LocalStore(path=tmp_path / "first")


@pytest.fixture
def local_place(world: World, tmp_path: Path) -> StorePlace:
    parent = tmp_path / "disk"
    parent.mkdir()
    hidden = tmp_path / "unplugged"
    return StorePlace(
        store=LocalStore(path=parent / "repository"),
        world=world,
        take_away=lambda: parent.rename(hidden),
        bring_back=lambda: hidden.rename(parent),
    )


@pytest.fixture
def s3_place(world: World, secrets: GivenSecrets, rclone_s3: RcloneS3) -> StorePlace:
    rclone_s3.make_bucket("drd")
    secrets.table["S3"] = f"{rclone_s3.access_key}:{rclone_s3.secret_key}"
    return StorePlace(
        store=S3Store(endpoint=rclone_s3.url, bucket="drd", prefix="web-1", credentials=SecretReference(env="S3")),
        world=world,
        take_away=rclone_s3.stop,
        bring_back=rclone_s3.start,
        wrong_secret=lambda: secrets.table.update(S3=f"{rclone_s3.access_key}:another-secret"),
    )


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest) -> StorePlace:
    """Each kind of store in turn, over an empty place."""
    made: StorePlace = request.getfixturevalue(f"{request.param}_place")
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A little to back up."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 50_000 + number.to_bytes(8, "big") * 1000)
    return folder


@pytest.fixture
def restic_on(world: World, restic_binary: Path, tmp_path: Path):
    """Makes a Restic for a store."""

    async def make(store: LocalStore | S3Store, password: str, program: Path = restic_binary) -> Restic:
        cache = tmp_path / f"cache-{store.kind}-{password}"
        cache.mkdir(exist_ok=True)
        return Restic(program, world.runner, await store.location(world), password, cache)

    return make
