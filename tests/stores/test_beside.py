"""The place for another repository beside a store's own, in each kind of store."""

from pathlib import Path, PurePosixPath

import pytest

from drd.core.secrets import SecretReference
from drd.ports.store import Store
from drd.stores.local import LocalStore
from drd.stores.rest import RestStore
from drd.stores.s3 import S3Store
from drd.stores.sftp import SftpStore

KEY = SecretReference(env="KEY")


def sftp(path: str) -> SftpStore:
    key = SecretReference(file=Path("/etc/drd/key"))
    return SftpStore(host="far", user="drd", path=PurePosixPath(path), key=key, known_hosts=Path("/etc/drd/hosts"))


def s3(prefix: str) -> S3Store:
    return S3Store(endpoint="https://s3.example", bucket="backups", prefix=prefix, credentials=KEY)


def rest(path: str, user: str | None = None) -> RestStore:
    return RestStore(url=f"https://far:8000{path}", user=user, password=KEY if user else None)


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        (LocalStore(path=Path("/srv/drd")), "/srv/drd-wal"),
        (sftp("/srv/drd"), "drd@far:/srv/drd-wal"),
        (s3("hosts/web-1"), "https://s3.example/backups/hosts/web-1-wal"),
        (s3(""), "https://s3.example/backups/wal"),
        (rest("/web-1"), "https://far:8000/web-1-wal"),
        (rest("/web-1", user="ann"), "https://far:8000/web-1-wal"),
        (rest("/ann", user="ann"), "https://far:8000/ann/wal"),
        (rest("/ann/web-1", user="ann"), "https://far:8000/ann/web-1-wal"),
        (rest(""), "https://far:8000/wal"),
    ],
)
def test_the_place_beside_a_store_is_reached_in_the_same_way_under_another_name(store: Store, expected: str) -> None:
    beside = store.beside("wal")
    assert beside.summary() == expected
    assert type(beside) is type(store)
    assert type(store).model_validate(beside.model_dump(by_alias=True, exclude_none=True)) == beside
