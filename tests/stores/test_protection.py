"""Whether stores keep what they hold from somebody with drd's own credentials: on servers that do and that do not."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3.session
import pytest
from botocore.exceptions import ClientError

from drd.clients.carrier import ProcessCarrier
from drd.clients.carrier.report import Report
from drd.clients.carrier.s3 import S3Files
from drd.clients.carrier.s3_versions import S3Versions
from drd.clients.clock import SystemClock
from drd.core.secrets import SecretReference
from drd.ports.protection import Protection
from drd.ports.store import Store
from drd.ports.world import World
from drd.stores.local import LocalStore
from drd.stores.rest import RestStore
from drd.stores.s3 import S3Store
from tests.ceph_lab import ACCESS_KEY, SECRET_KEY, Ceph, missing
from tests.servers import MotoS3, RcloneRest
from tests.stores.places import GivenSecrets, Mirroring, Restic, ResticOn, StorePlace
from tests.system.programs import wait_for

pytestmark = pytest.mark.slow
DAYS = 30


class Bucket:
    """A bucket that keeps versions and locks them, and its administrator."""

    def __init__(self, url: str, access_key: str, secret_key: str, mode: str) -> None:
        session = boto3.session.Session(access_key, secret_key, region_name="us-east-1")
        self.admin: Any = session.client("s3", endpoint_url=url)
        self.admin.create_bucket(Bucket="drd", ObjectLockEnabledForBucket=True)
        self.lock(mode, DAYS)
        self.store = S3Store(endpoint=url, bucket="drd", prefix="hosts/web-1", credentials=SecretReference(env="S3"))

    def lock(self, mode: str, days: int) -> None:
        rule = {"DefaultRetention": {"Mode": mode, "Days": days}}
        self.admin.put_object_lock_configuration(
            Bucket="drd", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )

    def retained_until(self) -> dict[str, datetime]:
        """Key → the end of its lock, of what is not hidden."""
        found = {}
        for item in self.admin.list_objects_v2(Bucket="drd").get("Contents", ()):
            told = self.admin.head_object(Bucket="drd", Key=item["Key"])
            found[item["Key"]] = told["ObjectLockRetainUntilDate"]
        return found

    def versions(self, kind: str = "Versions") -> set[tuple[str, str]]:
        listed = self.admin.list_object_versions(Bucket="drd").get(kind, ())
        return {(each["Key"], each["VersionId"]) for each in listed}

    def uncover(self) -> None:
        """Take the markers away that hide what was deleted."""
        for key, version in self.versions("DeleteMarkers"):
            self.admin.delete_object(Bucket="drd", Key=key, VersionId=version)


@pytest.fixture
def compliance(moto_s3: MotoS3, secrets: GivenSecrets) -> Iterator[Bucket]:
    secrets.table["S3"] = f"{moto_s3.access_key}:{moto_s3.secret_key}"
    bucket = Bucket(moto_s3.url, moto_s3.access_key, moto_s3.secret_key, "COMPLIANCE")
    yield bucket
    bucket.admin.close()


def attack(bucket: Bucket) -> None:
    """Delete everything, and every version of it past the lock."""
    held = bucket.versions()
    for key, version in held:
        bucket.admin.delete_object(Bucket="drd", Key=key)
        with pytest.raises(ClientError):
            bucket.admin.delete_object(Bucket="drd", Key=key, VersionId=version, BypassGovernanceRetention=True)
    assert held == bucket.versions()


def until_later(bucket: Bucket, than: datetime) -> None:
    """Until the bucket's clock, which tells whole seconds, has gone on."""

    def is_later() -> bool:
        bucket.admin.put_object(Bucket="drd", Key="tick", Body=b"", ChecksumAlgorithm="SHA256")
        return bool(bucket.admin.head_object(Bucket="drd", Key="tick")["LastModified"] > than)

    wait_for(is_later, "the bucket's next second")


async def assert_restorable(restic: Restic, tree: Path, target: Path) -> None:
    """What was saved is all there and sound."""
    await restic.run("check", "--read-data")
    await restic.run("restore", "latest", "--target", str(target))
    back = {path.name: path.read_bytes() for path in target.rglob("*.bin")}
    assert back == {path.name: path.read_bytes() for path in tree.rglob("*.bin")}


async def probed(carrier: ProcessCarrier, store: Store, world: World, days: int = DAYS) -> Protection:
    return await carrier.probe(await store.backend(world), days)


@pytest.fixture
def ceph(tmp_path: Path) -> Iterator[Ceph]:
    if lacking := missing():
        words = "make test, or scripts/apt-install ceph-mon=ceph-mon ceph-osd=ceph-osd radosgw=radosgw ceph=ceph-common"
        pytest.fail(f"{', '.join(lacking)} missing; type: {words}", pytrace=False)
    cluster = Ceph(tmp_path / "ceph")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


async def test_a_bucket_in_compliance_mode_refuses_to_delete_the_probe(
    compliance: Bucket, carrier: ProcessCarrier, world: World
) -> None:
    found = await probed(carrier, compliance.store, world)
    assert (found.is_held, found.mode, found.days, found.risks) == (True, "COMPLIANCE", DAYS, ())
    assert found.reason == "object lock (compliance, 30 days) refused to delete a probe"
    again = await probed(carrier, compliance.store, world)
    assert again.is_held
    assert {key for key, _ in compliance.versions()} == {"hosts/web-1/drd-probe"}


async def test_a_lock_that_is_shorter_than_was_declared_does_not_hold(
    compliance: Bucket, carrier: ProcessCarrier, world: World
) -> None:
    found = await probed(carrier, compliance.store, world, days=90)
    assert (found.is_held, found.reason) == (False, "its bucket locks by default for 30 days, not for 90 days")


async def test_credentials_that_may_go_past_governance_mode_are_found_by_doing_it(
    compliance: Bucket, carrier: ProcessCarrier, world: World
) -> None:
    compliance.lock("GOVERNANCE", DAYS)
    found = await probed(carrier, compliance.store, world)
    assert not found.is_held
    assert "by going past the lock" in found.reason
    assert found.risks == ("governance mode: whoever has s3:BypassGovernanceRetention deletes all the same",)


async def test_a_bucket_without_versions_or_lock_keeps_nothing(
    s3_place: StorePlace, carrier: ProcessCarrier, world: World
) -> None:
    found = await probed(carrier, s3_place.store, world)
    assert not found.is_held
    assert "keeps no versions" in found.reason


async def test_who_else_could_delete_is_told(compliance: Bucket, carrier: ProcessCarrier, world: World) -> None:
    compliance.admin.put_bucket_lifecycle_configuration(
        Bucket="drd",
        LifecycleConfiguration={
            "Rules": [
                {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "hosts/"}, "Expiration": {"Days": 40}},
                {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 4}},
            ]
        },
    )
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["s3:DeleteObject*"], "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    compliance.admin.put_bucket_policy(Bucket="drd", Policy=json.dumps(policy))
    assert (await probed(carrier, compliance.store, world)).risks == (
        "the lifecycle rule old hides what is 40 days old, also where snapshots need it",
        "the bucket's policy lets everybody delete",
    )


async def test_locks_are_made_longer_before_they_end_and_never_those_of_restic_itself(
    compliance: Bucket, carrier: ProcessCarrier, world: World, mirroring: Mirroring
) -> None:
    store = compliance.store
    await mirroring.adopt(store)
    assert (await mirroring.carry(store)).complete
    compliance.admin.put_object(Bucket="drd", Key="hosts/web-1/locks/" + 64 * "a", Body=b"", ChecksumAlgorithm="SHA256")
    before = compliance.retained_until()
    backend, now = await store.backend(world), SystemClock().now()
    early = await carrier.extend(backend, DAYS, now + timedelta(days=1))
    assert (early.extended, early.failed) == (0, 0)
    late = await carrier.extend(backend, DAYS, now + timedelta(days=15))
    assert (late.files, late.extended, late.failed) == (early.files, early.files, 0)
    after = compliance.retained_until()
    longer = {key for key in after if after[key] > before[key]}
    assert {key.split("/")[2] for key in longer} == {"config", "keys", "data", "index", "snapshots"}
    assert len(longer) == late.files
    assert all(after[key] >= now + timedelta(days=44) for key in longer)


async def test_an_attacker_with_the_writers_credentials_leaves_every_snapshot_restorable(
    compliance: Bucket, mirroring: Mirroring, restic_on: ResticOn, tree: Path, tmp_path: Path
) -> None:
    await mirroring.adopt(compliance.store)
    assert (await mirroring.carry(compliance.store)).complete
    attack(compliance)
    compliance.uncover()
    await assert_restorable(await restic_on(compliance.store, "mirror password"), tree, tmp_path / "back")


async def test_what_an_attacker_deleted_and_overwrote_is_brought_back_and_nothing_else(
    compliance: Bucket,
    carrier: ProcessCarrier,
    world: World,
    mirroring: Mirroring,
    restic_on: ResticOn,
    tree: Path,
    tmp_path: Path,
) -> None:
    store = compliance.store
    await mirroring.adopt(store)
    assert (await mirroring.carry(store)).complete
    paths = sorted(key.removeprefix("hosts/web-1/") for key, _ in compliance.versions())
    [snapshot] = [path for path in paths if path.startswith("snapshots/")]
    forgotten, pruned = f"hosts/web-1/snapshots/{64 * 'a'}", f"hosts/web-1/data/bb/{64 * 'b'}"
    for key in (forgotten, pruned):
        compliance.admin.put_object(Bucket="drd", Key=key, Body=b"was here", ChecksumAlgorithm="SHA256")
        compliance.admin.delete_object(Bucket="drd", Key=key)
    before = max(each["LastModified"] for each in compliance.admin.list_object_versions(Bucket="drd")["DeleteMarkers"])
    until_later(compliance, before)
    [index, *_] = [path for path in paths if path.startswith("index/")]
    attack(compliance)
    compliance.admin.put_object(Bucket="drd", Key=f"hosts/web-1/{index}", Body=b"pay us", ChecksumAlgorithm="SHA256")
    backend = await store.backend(world)
    named = (snapshot, index, "keys")
    looked = await carrier.uncover(backend, named, before, only_look=True)
    assert (looked.paths, sorted(looked.left)) == ((), paths)
    assert "hidden behind a delete marker" in looked.left["config"]
    assert "overwritten" in looked.left[index]
    uncovered = await carrier.uncover(backend, named, before)
    assert (sorted(uncovered.paths), uncovered.left) == (paths, {})
    assert not {forgotten, pruned} & compliance.retained_until().keys()
    await assert_restorable(await restic_on(store, "mirror password"), tree, tmp_path / "back")


class Refusing:
    """An S3 client whose credentials may not do some things."""

    def __init__(self, client: Any, *denied: str) -> None:
        self._client = client
        self._denied = denied

    def __getattr__(self, name: str) -> Any:
        if name in self._denied:
            return self._refuse
        return getattr(self._client, name)

    def _refuse(self, **_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")


async def test_who_may_only_write_brings_a_version_to_the_front_and_who_may_not_is_told_what_to_type(
    compliance: Bucket, world: World, mirroring: Mirroring, restic_on: ResticOn, tree: Path, tmp_path: Path
) -> None:
    await mirroring.adopt(compliance.store)
    assert (await mirroring.carry(compliance.store)).complete
    held = len(compliance.versions())
    [snapshot] = [key[12:] for key, _ in compliance.versions() if key.startswith("hosts/web-1/snapshots/")]
    attack(compliance)
    settings = (await compliance.store.backend(world)).settings
    said: list[dict[str, Any]] = []

    def uncover(*denied: str) -> list[dict[str, Any]]:
        said.clear()
        report = Report(lambda line: said.append(json.loads(line)))
        client = S3Files(settings).client
        S3Versions(S3Files(settings, Refusing(client, *denied))).uncover((snapshot, "keys"), None, report)
        return [each for each in said if each["say"] == "refused"]

    refused = await asyncio.to_thread(uncover, "delete_object", "copy_object", "put_object")
    assert len(refused) == held
    assert "With credentials that may, type: aws s3api" in refused[0]["reason"]
    assert "these credentials may not bring it back" in refused[0]["reason"]
    assert "aws s3api delete-object --endpoint-url http" in refused[0]["reason"]
    unread = await asyncio.to_thread(uncover, "get_object")
    assert snapshot in {each["path"] for each in unread}
    assert {each["reason"].partition(", and ")[2] for each in unread} == {
        "these credentials may not read what it was: that takes s3:GetObjectVersion"
    }
    attack(compliance)
    assert await asyncio.to_thread(uncover, "delete_object") == []
    await assert_restorable(await restic_on(compliance.store, "mirror password"), tree, tmp_path / "back")


async def test_neither_what_was_given_up_nor_a_strangers_key_comes_back_and_nothing_is_copied_twice(
    compliance: Bucket, carrier: ProcessCarrier, world: World, mirroring: Mirroring, tmp_path: Path
) -> None:
    await mirroring.adopt(compliance.store)
    assert (await mirroring.carry(compliance.store)).complete
    backend = await compliance.store.backend(world)
    pack, stranger, other = f"data/bb/{64 * 'b'}", f"keys/{sha256(b'key').hexdigest()}", f"data/cc/{64 * 'c'}"
    for path, content in ((pack, b"damaged"), (stranger, b"key"), (other, b"damaged too")):
        key = f"hosts/web-1/{path}"
        compliance.admin.put_object(Bucket="drd", Key=key, Body=content, ChecksumAlgorithm="SHA256")
        compliance.admin.delete_object(Bucket="drd", Key=key)
    (tmp_path / pack).parent.mkdir(parents=True)
    (tmp_path / pack).write_bytes(b"damaged")
    [index, *_] = [key[12:] for key, _ in compliance.versions() if key.startswith("hosts/web-1/index/")]
    compliance.admin.put_object(Bucket="drd", Key=f"hosts/web-1/{index}", Body=b"pay us", ChecksumAlgorithm="SHA256")
    assert (await carrier.uncover(backend, (index, other), None, tmp_path)).paths == (index,)
    held = compliance.versions()
    for only_look in (True, False):
        again = await carrier.uncover(backend, (index, other), None, tmp_path, only_look=only_look)
        assert index not in (*again.paths, *again.left)
    assert held == compliance.versions()
    assert not {f"hosts/web-1/{each}" for each in (pack, stranger, other)} & compliance.retained_until().keys()
    assert (await carrier.uncover(backend, (stranger,), None, tmp_path)).paths[:1] == (stranger,)


@pytest.mark.faults
@pytest.mark.timeout(400)
async def test_real_ceph_keeps_everything_from_an_attacker_with_the_writers_credentials(
    ceph: Ceph,
    secrets: GivenSecrets,
    carrier: ProcessCarrier,
    world: World,
    mirroring: Mirroring,
    restic_on: ResticOn,
    tree: Path,
    tmp_path: Path,
) -> None:
    secrets.table["S3"] = f"{ACCESS_KEY}:{SECRET_KEY}"
    bucket = Bucket(ceph.url, ACCESS_KEY, SECRET_KEY, "COMPLIANCE")
    await mirroring.adopt(bucket.store)
    assert (await mirroring.carry(bucket.store)).complete
    assert (await probed(carrier, bucket.store, world)).is_held
    now = SystemClock().now()
    extended = await carrier.extend(await bucket.store.backend(world), DAYS, now + timedelta(days=15))
    assert extended.files == extended.extended > 4
    [snapshot] = [key[12:] for key, _ in bucket.versions() if key.startswith("hosts/web-1/snapshots/")]
    attack(bucket)
    uncovered = await carrier.uncover(await bucket.store.backend(world), (snapshot, "keys"), None)
    assert ("config" in uncovered.paths, uncovered.left) == (True, {})
    with pytest.raises(ClientError):  # moto lets a lock be made shorter, which Ceph does not
        bucket.admin.put_object_retention(
            Bucket="drd", Key="hosts/web-1/config", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": now}
        )
    await assert_restorable(await restic_on(bucket.store, "mirror password"), tree, tmp_path / "back")
    bucket.lock("GOVERNANCE", DAYS)
    assert "by going past the lock" in (await probed(carrier, bucket.store, world)).reason
    bucket.admin.close()


@pytest.mark.parametrize("append_only", [True, False])
async def test_a_rest_server_is_held_when_it_only_appends(
    append_only: bool,
    rclone_rest: RcloneRest,
    rclone_rest_append_only: RcloneRest,
    carrier: ProcessCarrier,
    world: World,
    mirroring: Mirroring,
    restic_on: ResticOn,
    tree: Path,
    tmp_path: Path,
) -> None:
    server = rclone_rest_append_only if append_only else rclone_rest
    store = RestStore(url=f"{server.url}/web-1")
    await mirroring.adopt(store)
    assert (await mirroring.carry(store)).complete
    restic = await restic_on(store, "mirror password")
    for _ in range(2):
        found = await probed(carrier, store, world)
        assert found.is_held is append_only
        assert found.reason == (
            "its server refused to delete a pack that was written to try it, and names that nobody wrote among all else"
            if append_only
            else "its server deleted a probe: it does not only append"
        )
        await assert_restorable(restic, tree, tmp_path / "back")


async def test_a_folder_keeps_nobody_from_deleting(carrier: ProcessCarrier, world: World, tmp_path: Path) -> None:
    found = await probed(carrier, LocalStore(path=tmp_path / "repository"), world)
    assert (found.is_held, found.reason) == (False, "a store of the kind local keeps nobody from deleting")
