"""Every kind of store over a real server or folder."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import boto3.session
import pytest

from drd.clients.carrier import ProcessCarrier
from drd.clients.process import ChildRunner
from drd.core.secrets import SecretReference
from drd.ports.store import Store
from drd.ports.world import World
from drd.stores.local import LocalStore
from drd.stores.rest import RestStore
from drd.stores.s3 import S3Store
from drd.stores.sftp import SftpStore
from tests.conftest import _parts_folder
from tests.servers import RcloneRest, RcloneS3
from tests.stores.places import GivenSecrets, Mirroring, Restic, ResticOn, StorePlace, WallClock
from tests.stores.sshd import Sshd, free_port, wait_until_listening


@pytest.fixture
def runner() -> ChildRunner:
    return ChildRunner()


@pytest.fixture
def secrets() -> GivenSecrets:
    return GivenSecrets({})


@pytest.fixture
def world(runner: ChildRunner, secrets: GivenSecrets) -> World:
    return World(clock=WallClock(), runner=runner, secrets=secrets)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where the carrier puts what must not stay."""
    return tmp_path / "scratch"


@pytest.fixture
def carrier(runner: ChildRunner, newest_restic: Path, scratch: Path) -> ProcessCarrier:
    return ProcessCarrier(runner, newest_restic, scratch)


@pytest.fixture(scope="session")
def repository_with_one_snapshot(newest_restic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository and the tree it was made from, made once: restic takes a second to make a key."""
    folder = tmp_path_factory.mktemp("template")
    tree = folder / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"{number}.bin").write_bytes(bytes([number]) * 50_000 + number.to_bytes(8, "big") * 1000)
    environment = {"RESTIC_PASSWORD": "first password", "HOME": str(folder), "RESTIC_CACHE_DIR": str(folder / "cache")}
    for arguments in (["init"], ["backup", "."]):
        command = [newest_restic, "--repo", folder / "first", *arguments]
        subprocess.run(command, env=environment, cwd=tree, check=True, capture_output=True)
    return folder


@pytest.fixture
def tree(repository_with_one_snapshot: Path, tmp_path: Path) -> Path:
    """What the first store holds a snapshot of."""
    return shutil.copytree(repository_with_one_snapshot / "tree", tmp_path / "tree")


@pytest.fixture
def first(repository_with_one_snapshot: Path, tmp_path: Path) -> LocalStore:
    """The store that mirrors are made of: it holds one snapshot, and its password is `first password`."""
    shutil.copytree(repository_with_one_snapshot / "first", tmp_path / "first")
    return LocalStore(path=tmp_path / "first")


@pytest.fixture
def mirroring(carrier: ProcessCarrier, first: LocalStore, world: World) -> Mirroring:
    """Makes and fills mirrors of the first store."""
    return Mirroring(carrier, first, world)


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


@pytest.fixture
def locked_bucket(world: World, secrets: GivenSecrets, tmp_path: Path) -> Iterator[S3Store]:
    """A bucket that keeps versions and locks them for 30 days, as moto does it."""
    secrets.table["S3"] = "test-access-key:test-secret-key"
    port = free_port()
    command = [Path(sys.prefix) / "bin" / "moto_server", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "moto.log").open("wb") as log:
        server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=log, stderr=log)
    try:
        store = S3Store(endpoint=f"http://127.0.0.1:{port}", bucket="drd", credentials=SecretReference(env="S3"))
        wait_until_listening(port, server)
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=store.endpoint,
            region_name=store.region,
            aws_access_key_id="test-access-key",
            aws_secret_access_key="test-secret-key",
        )
        client.create_bucket(Bucket="drd", ObjectLockEnabledForBucket=True)
        client.put_object_lock_configuration(
            Bucket="drd",
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}},
            },
        )
        client.close()
        yield store
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def rest_place(world: World, secrets: GivenSecrets, rclone_rest: RcloneRest) -> StorePlace:
    rclone_rest.stop()
    rclone_rest._environment.update(RCLONE_USER="web-1", RCLONE_PASS="p@ss/word: secret")
    rclone_rest.start()
    secrets.table["REST"] = "p@ss/word: secret"
    return StorePlace(
        store=RestStore(url=f"{rclone_rest.url}/web-1", user="web-1", password=SecretReference(env="REST")),
        world=world,
        take_away=rclone_rest.stop,
        bring_back=rclone_rest.start,
        wrong_secret=lambda: secrets.table.update(REST="another secret"),
    )


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    parts = _parts_folder() / "openssh"
    if not (parts / "sshd").exists():
        pytest.fail(f"{parts / 'sshd'} is missing; type: make parts", pytrace=False)
    server = Sshd(parts)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def sftp_place(world: World, sshd: Sshd) -> StorePlace:
    stranger = sshd._new_key("stranger")
    key = sshd.folder / "key"
    shutil.copy2(sshd.user_key, key)
    store = SftpStore(
        host="127.0.0.1",
        port=sshd.port,
        user=sshd.user,
        path=PurePosixPath(sshd.data / "repository"),
        key=SecretReference(file=key),
        known_hosts=sshd.known_hosts,
    )
    return StorePlace(
        store=store,
        world=world,
        take_away=sshd.stop,
        bring_back=sshd.start,
        wrong_secret=lambda: key.write_bytes(stranger.read_bytes()),
    )


@pytest.fixture(params=["local", "s3", "rest", "sftp"])
def place(request: pytest.FixtureRequest) -> StorePlace:
    """Each kind of store in turn, over an empty place."""
    made: StorePlace = request.getfixturevalue(f"{request.param}_place")
    return made


@pytest.fixture
def restic_on(world: World, newest_restic: Path, tmp_path: Path) -> ResticOn:
    """Makes a Restic for a store and a password."""

    async def make(store: Store, password: str, program: Path = newest_restic) -> Restic:
        cache = tmp_path / f"cache-{store.kind}-{password}-{program.parent.name}"
        cache.mkdir(exist_ok=True)
        return Restic(program, world.runner, await store.location(world), password, cache)

    return make
