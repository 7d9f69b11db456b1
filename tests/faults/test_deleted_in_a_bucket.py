"""Somebody with drd's own credentials deletes in a bucket that keeps versions: drd notices, and brings it back."""

import random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drd.core.errors import PermanentError
from drd.core.events import DamageHealed
from drd.core.rotation import Part
from tests.in_process import InProcess, Place, SteppedClock
from tests.servers import MotoS3
from tests.system.machine import BUCKET

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
STORE, POLICY = "vault", "shop"


@pytest.mark.parametrize("kinds", ["all", "data", "snapshots"])
async def test_what_was_deleted_behind_drds_back_is_healed_from_the_buckets_own_versions(
    kinds: str, bucket: Any, moto_s3: MotoS3, tmp_path: Path, newest_restic: Path
) -> None:
    drd = InProcess(tmp_path, newest_restic, {STORE: _place(moto_s3, tmp_path)}, SteppedClock())
    drd.protect(POLICY, keep={"last": 2})
    contents: dict[str, dict[str, bytes]] = {}
    async with drd.opened():
        for number in range(4):
            (drd.data / POLICY / f"file-{number}").write_bytes(random.Random(number).randbytes(20_000))
            run, _ = await drd.backup(POLICY)
            contents[run] = {path.name: path.read_bytes() for path in (drd.data / POLICY).iterdir()}
            drd.clock.step(timedelta(hours=1))
        await drd.house.retain.forget(POLICY, STORE, "schedule")
        kept = dict(list(contents.items())[-2:])
        for item in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]:
            if kinds in ("all", item["Key"].split("/")[0]):
                bucket.delete_object(Bucket=BUCKET, Key=item["Key"])
        await _noticed(drd)
        record = (await drd.house.catalogue.stores())[STORE]
        assert record.hold
        assert record.damage is not None
        assert await drd.house.healing.heal(STORE)
        record = (await drd.house.catalogue.stores())[STORE]
        assert (record.damage, record.hold) == (None, None)
        [healed] = [event.body for event in drd.journal.events(kind=DamageHealed.KIND)]
        assert "from the bucket's own versions" in healed.means
        assert await drd.house.reconcile.reconcile(STORE) == (0, 0), "what drd forgot stays forgotten"
        assert (await drd.house.proof.check(STORE, part=Part(1, 1))).sound
        for run, content in kept.items():
            assert await drd.held(STORE, run, POLICY) == content


async def _noticed(drd: InProcess) -> None:
    """Look as upkeep does."""
    for look in (
        lambda: drd.house.reconcile.reconcile(STORE),
        lambda: drd.house.proof.check(STORE, part=Part(1, 1)),
        lambda: drd.house.healing.look(STORE),
    ):
        with suppress(PermanentError):
            await look()
        if (await drd.house.catalogue.stores())[STORE].damage is not None:
            return
    raise AssertionError("nobody has noticed")


def _place(server: MotoS3, folder: Path) -> Place:
    credentials = folder / "credentials"
    credentials.write_text(f"{server.access_key}:{server.secret_key}\n")
    credentials.chmod(0o600)
    settings = {"s3": {"endpoint": server.url, "bucket": BUCKET, "credentials": {"file": str(credentials)}}}
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    return Place(settings, f"s3:{server.url}/{BUCKET}", folder, {**keys, "AWS_DEFAULT_REGION": "us-east-1"})
