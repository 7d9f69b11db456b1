import pytest
from pydantic import ValidationError

from drd.core.errors import PermanentError
from drd.core.secrets import SecretReference
from drd.ports.world import World
from drd.stores.s3 import S3Store
from tests.servers import RcloneS3
from tests.stores.places import GivenSecrets, Mirroring, ResticOn, StorePlace

pytestmark = pytest.mark.slow

CREDENTIALS = SecretReference(env="S3")


async def test_a_missing_bucket_is_told_from_wrong_keys_and_from_a_server_that_is_away(s3_place: StorePlace) -> None:
    assert isinstance(s3_place.store, S3Store)
    missing = await s3_place.store.model_copy(update={"bucket": "another"}).look(s3_place.world)
    assert not missing.reachable
    assert "does not exist" in missing.message
    assert s3_place.wrong_secret is not None
    s3_place.wrong_secret()
    refused = await s3_place.store.look(s3_place.world)
    assert "refuses these credentials" in refused.message
    s3_place.take_away()
    away = await s3_place.store.look(s3_place.world)
    assert "does not answer" in away.message


async def test_credentials_that_are_no_pair_of_keys_are_told_without_showing_them(
    s3_place: StorePlace, secrets: GivenSecrets
) -> None:
    secrets.table["S3"] = "only-one-word"
    look = await s3_place.store.look(s3_place.world)
    assert not look.reachable
    assert "only-one-word" not in f"{look.message} {look.hint}"
    assert "ACCESS_KEY:SECRET_KEY" in look.hint
    with pytest.raises(PermanentError):
        await s3_place.store.location(s3_place.world)


@pytest.mark.slow
@pytest.mark.parametrize("secret_key", ["with#hash;and=signs", "with spaces and: colons", "back\\slash'\"quotes"])
async def test_a_secret_key_of_any_characters_reaches_restic_whole(
    secret_key: str, s3_place: StorePlace, secrets: GivenSecrets, rclone_s3: RcloneS3, restic_on: ResticOn
) -> None:
    rclone_s3.stop()
    quoted = f"{rclone_s3.access_key},{secret_key}".replace('"', '""')
    rclone_s3._environment["RCLONE_AUTH_KEY"] = f'"{quoted}"'
    rclone_s3.start()
    secrets.table["S3"] = f"{rclone_s3.access_key}:{secret_key}"
    assert (await s3_place.store.look(s3_place.world)).reachable
    restic = await restic_on(s3_place.store, "a password")
    await restic.run("init")


def test_an_endpoint_needs_its_scheme() -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        S3Store(endpoint="s3.example", bucket="drd", credentials=CREDENTIALS)


def test_the_summary_is_the_place_in_full() -> None:
    store = S3Store(endpoint="https://s3.example/", bucket="drd", prefix="/hosts/web-1/", credentials=CREDENTIALS)
    assert store.summary() == "https://s3.example/drd/hosts/web-1"


async def test_the_look_tells_versions_and_days_of_object_lock(world: World, locked_bucket: S3Store) -> None:
    look = await locked_bucket.look(world)
    assert look.reachable, look
    assert look.versioning is True
    assert look.object_lock_days == 30


async def test_a_bucket_without_them_has_neither(s3_place: StorePlace) -> None:
    look = await s3_place.store.look(s3_place.world)
    assert not look.versioning
    assert look.object_lock_days is None


async def test_a_bucket_that_locks_its_objects_can_be_a_mirror(mirroring: Mirroring, locked_bucket: S3Store) -> None:
    await mirroring.adopt(locked_bucket)
    assert (await mirroring.carry(locked_bucket)).complete
    assert (await mirroring.carry(locked_bucket)).files == 0
