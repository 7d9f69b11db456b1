"""Machines with the whole of drd on them, and one that watches a primary and its standby on hosts of their own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import boto3.session
import pytest

from tests.postgres_lab import Lab, lab
from tests.postgres_pair import Pair, pair
from tests.servers import MotoS3
from tests.shipped_runs import shipped_pair
from tests.system.fixtures import another_machine, machine, two_stores, two_stores_each_restic
from tests.system.machine import BUCKET, Machine
from tests.watched_pair import Watcher

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


@pytest.fixture
def orders(postgres_programs: Path, tmp_path: Path, haproxy: Path) -> Iterator[Pair]:
    """The pair's hosts, with HAProxy; its servers are not started yet."""
    with lab(postgres_programs) as laboratory, pair(laboratory, tmp_path) as made:
        made.start_proxy(haproxy)
        yield made


@pytest.fixture
def watched(machine: Machine, orders: Pair) -> Callable[..., Watcher]:
    """Starts the servers and drd, and returns when both nodes are well."""

    def start(*, is_synchronous: bool, people: Mapping[str, Any] | None = None, **more: Any) -> Watcher:
        orders.start(is_synchronous=is_synchronous, **more)
        watcher = Watcher(machine, orders)
        if people is not None:
            machine.settings["people"] = dict(people)
            machine.write()
        watcher.start()
        return watcher

    return start


@pytest.fixture
def laboratory(postgres_programs: Path) -> Iterator[Lab]:
    with lab(postgres_programs) as made:
        yield made


@pytest.fixture
def shipped(
    laboratory: Lab, tmp_path: Path, haproxy: Path, machine: Machine
) -> Callable[[str], AbstractContextManager[Watcher]]:
    """Makes the pair of a service and its daemon, with the shells of the hosts (tests/shipped_runs.py)."""
    return lambda service: shipped_pair(laboratory, tmp_path, haproxy, machine, service)
