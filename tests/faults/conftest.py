"""Machines with the whole of drd on them."""

from collections.abc import Iterator
from typing import Any

import boto3.session
import pytest

from tests.servers import MotoS3
from tests.system.fixtures import another_machine, machine, two_stores, two_stores_each_restic
from tests.system.machine import BUCKET

__all__ = ["another_machine", "machine", "two_stores", "two_stores_each_restic"]


@pytest.fixture
def bucket(moto_s3: MotoS3) -> Iterator[Any]:
    """A bucket that locks its versions in compliance mode, by its administrator."""
    session = boto3.session.Session(moto_s3.access_key, moto_s3.secret_key, region_name="us-east-1")
    client: Any = session.client("s3", endpoint_url=moto_s3.url)
    client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    client.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=lock)
    yield client
    client.close()
