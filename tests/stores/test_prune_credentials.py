"""An S3 store whose writing credentials may delete nothing but locks, under the policies that the guide shows."""

import json
import re
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3.session
import pytest

from drd.app.repositories import ResticRepositories
from drd.clients.clock import SystemClock
from drd.clients.host import MachineHost
from drd.clients.process import ChildRunner
from drd.clients.restic import find_restic
from drd.core.errors import DrdError, PermanentError
from drd.core.secrets import SecretReference
from drd.ports.repository import FilesToSave, Repository, SaveRequest
from drd.ports.store import ConfiguredStore, Limits
from drd.ports.world import World
from drd.stores.s3 import PruneCredentials, S3Store
from tests.conftest import REPOSITORY
from tests.servers import MotoS3
from tests.stores.places import GivenSecrets

pytestmark = pytest.mark.slow
REGION = "us-east-1"
BLOCK = re.compile(r"```json\n(\{\n  \"Version\".*?)```", re.DOTALL)


@dataclass
class Bucket:
    """A bucket `drd` that enforces who may do what, and the keys of both users."""

    url: str
    table: dict[str, str]


def client(kind: str, server: MotoS3) -> Any:
    return boto3.session.Session().client(
        kind,
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    )


def begin_to_look_at_rights(server: MotoS3) -> None:
    """Until then moto lets everybody do everything."""
    headers = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{server.url}/moto-api/reset-auth", data=b"0", headers=headers)
    urllib.request.urlopen(request).close()


@pytest.fixture
def bucket(moto_s3: MotoS3) -> Bucket:
    policies = BLOCK.findall((REPOSITORY / "docs" / "operating.md").read_text())
    assert len(policies) == 2
    storage, users = client("s3", moto_s3), client("iam", moto_s3)
    storage.create_bucket(Bucket="drd")
    table = {"PASSWORD": "a password"}
    for name, document in zip(("WRITE", "PRUNE"), policies, strict=True):
        users.create_user(UserName=name)
        users.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(json.loads(document)))
        key = users.create_access_key(UserName=name)["AccessKey"]
        table[name] = f"{key['AccessKeyId']}:{key['SecretAccessKey']}"
    storage.close()
    users.close()
    begin_to_look_at_rights(moto_s3)
    return Bucket(moto_s3.url, table)


async def opened(bucket: Bucket, folder: Path, restic: Path, **more: Any) -> Repository:
    runner = ChildRunner()
    world = World(SystemClock(), runner, GivenSecrets(bucket.table))
    place = S3Store(endpoint=bucket.url, bucket="drd", credentials=SecretReference(env="WRITE"), **more)
    repositories = ResticRepositories(await find_restic(str(restic), runner), world, MachineHost())
    return await repositories.open(
        ConfiguredStore(
            name="offsite",
            place=place,
            site="far",
            distance_metres=0.0,
            password=SecretReference(env="PASSWORD"),
            immutable_days=None,
            limits=Limits(),
            independent=False,
            cache=folder / "cache",
        )
    )


async def saved(repository: Repository, tree: Path, text: str) -> str:
    tree.mkdir(exist_ok=True)
    (tree / "order").write_text(text)
    minute = timedelta(minutes=1)
    request = SaveRequest(
        content=FilesToSave((tree,)), host="drd", tags=("drd",), reread_everything=False, deadline=minute, stall=minute
    )
    return (await repository.save(request, lambda _: None)).snapshot_id


async def test_who_writes_cannot_delete_and_who_prunes_can(bucket: Bucket, tmp_path: Path, newest_restic: Path) -> None:
    writing = await opened(bucket, tmp_path, newest_restic)
    await writing.create()
    first = await saved(writing, tmp_path / "tree", "one")
    second = await saved(writing, tmp_path / "tree", "two")
    with pytest.raises(DrdError):
        await writing.forget((first,))
    assert {each.id for each in await writing.snapshots()} == {first, second}
    assert (await writing.check()).sound
    assert await writing.locks() == ()

    prune = PruneCredentials(credentials=SecretReference(env="PRUNE"))
    both = await opened(bucket, tmp_path, newest_restic, prune=prune)
    assert await both.forget((first,)) == (first,)
    await both.prune(None)
    marked = await both.mark(second, "outcome=incomplete")
    assert [each.id for each in await both.snapshots()] == [marked]
    assert (await both.check("1/1")).sound
    assert await both.locks() == ()


async def test_prune_credentials_that_cannot_be_read_keep_nothing_from_being_saved(
    bucket: Bucket, tmp_path: Path, newest_restic: Path
) -> None:
    class Vaulted(GivenSecrets):
        async def read(self, reference: SecretReference) -> bytes:
            if reference.env == "PRUNE":
                raise PermanentError("the vault is closed", "open it")
            return await super().read(reference)

    runner = ChildRunner()
    world = World(SystemClock(), runner, Vaulted(bucket.table))
    place = S3Store(
        endpoint=bucket.url,
        bucket="drd",
        credentials=SecretReference(env="WRITE"),
        prune=PruneCredentials(credentials=SecretReference(env="PRUNE")),
    )
    repositories = ResticRepositories(await find_restic(str(newest_restic), runner), world, MachineHost())
    store = ConfiguredStore(
        "offsite", place, "far", 0.0, SecretReference(env="PASSWORD"), None, Limits(), False, tmp_path / "cache"
    )
    repository = await repositories.open(store)
    await repository.create()
    only = await saved(repository, tmp_path / "tree", "one")
    with pytest.raises(PermanentError, match="the vault is closed"):
        await repository.forget((only,))
    assert [each.id for each in await repository.snapshots()] == [only]


def test_the_store_for_wal_beside_it_prunes_by_the_same_credentials() -> None:
    store = S3Store(
        endpoint="https://s3.example",
        bucket="drd",
        credentials=SecretReference(env="WRITE"),
        prune=PruneCredentials(credentials=SecretReference(env="PRUNE")),
    )
    assert store.beside("wal").deleting().credentials == SecretReference(env="PRUNE")
    plain = store.model_copy(update={"prune": None})
    assert plain.deleting() is plain
