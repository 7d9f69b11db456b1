"""A repository in an S3 bucket, through boto3.

A pack is at most 128 MiB, so one PutObject is always enough and makes it atomic. Its `x-amz-checksum-sha256` is the
file's own name: a server that knows the header refuses anything else, and one that locks objects wants it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, UnseekableStreamError
from botocore.exceptions import ConnectionError as NoConnection

from drd.clients.carrier.config import config_digest
from drd.clients.carrier.content import BLOCK_BYTES, NamedContent
from drd.clients.carrier.files import CONFIG_NAME, NAME, FileKind, Vanished, path_of
from drd.core.errors import DrdError, PermanentError, StoreAway, TransientError
from drd.ports.look import Look
from drd.ports.protection import Extended, Protection

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from drd.clients.carrier.report import Report

CONNECT_SECONDS = 10
READ_SECONDS = 60
LOOK_SECONDS = 5
CONNECTIONS = 10
DAYS_A_YEAR = 365
_AWAY_CODES = {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "500", "502", "503", "504"}
_AWAY_ERRORS = (HTTPClientError, NoConnection, UnseekableStreamError)
"""The last is what botocore says when a connection broke and it would like to send the body again."""
_CREDENTIAL_CODES = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "401", "403", "Forbidden"}
_SKEW_CODES = {"RequestTimeTooSkewed", "RequestExpired"}


class S3Files:
    """Objects below a prefix, in restic's default layout."""

    replaces = True

    def __init__(self, settings: Mapping[str, str], client: S3Client | None = None) -> None:
        """`client` is a connection of the caller's own, for one that waits less long."""
        self.place = _place(settings)
        self.bucket = settings["bucket"]
        self.prefix = f"{settings['prefix'].strip('/')}/".lstrip("/")
        self.client = client or _client(
            settings, connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS, attempts=3
        )

    def list(self, kind: FileKind) -> Mapping[str, int]:
        """Name → size."""
        prefix = self.prefix + (CONFIG_NAME if kind is FileKind.CONFIG else f"{kind.value}/")
        found: dict[str, int] = {}
        with self.translated():
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            for page in pages:
                for item in page.get("Contents", ()):
                    name = item["Key"].rpartition("/")[2]
                    if NAME.fullmatch(name) or (kind is FileKind.CONFIG and item["Key"] == prefix):
                        found[name] = item["Size"]
        return found

    @contextmanager
    def open(self, kind: FileKind, name: str) -> Iterator[_Body]:
        """Read an object."""
        with self.translated():
            body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path_of(kind, name))["Body"]
            with body:
                yield _Body(body)

    def put(self, kind: FileKind, name: str, content: NamedContent) -> None:
        """One PutObject, whose last block stays away when the content is refused."""
        with self.translated():
            body: _Upload | bytes = _Upload(content)
            digest = content.name
            if digest is None:  # the config, which is short and not named by its content
                body = b"".join(iter(content.read, b""))
                digest = hashlib.sha256(body).hexdigest()
            self.client.put_object(
                Bucket=self.bucket,
                Key=self.prefix + path_of(kind, name),
                Body=cast("IO[bytes] | bytes", body),
                ContentLength=content.size,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(bytes.fromhex(digest)).decode(),
            )

    def remove(self, kind: FileKind, name: str) -> None:
        """One DeleteObject, which is no error for what is not there."""
        with self.translated():
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + path_of(kind, name))

    def settle(self) -> None:
        """An acknowledged object is durable."""

    def prepare(self) -> None:
        """A bucket has no folders."""

    def close(self) -> None:
        """Give up the connections."""
        self.client.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Have what boto3 raises become errors of drd's."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise _as_drd(error, self.place) from error


def probe(settings: Mapping[str, str], days: int) -> Protection:
    """Try to delete; see `drd.clients.carrier.s3_protection`."""
    from drd.clients.carrier.s3_protection import S3Protection  # only here needed, and it needs this module

    files = S3Files(settings)
    try:
        with files.translated():
            return S3Protection(files).probe(days)
    finally:
        files.close()


def uncover(
    settings: Mapping[str, str],
    paths: tuple[str, ...],
    since: datetime | None,
    aside: Path | None,
    report: Report,
    *,
    only_look: bool,
) -> None:
    """Bring back what was deleted or overwritten; see `drd.clients.carrier.s3_versions`."""
    from drd.clients.carrier.s3_versions import S3Versions

    files = S3Files(settings)
    try:
        S3Versions(files, aside).uncover(paths, since, report, only_look=only_look)
    finally:
        files.close()


def extend(settings: Mapping[str, str], now: datetime, days: int, on_some: Callable[[], None]) -> Extended:
    """Make the locks of a repository's files longer."""
    from drd.clients.carrier.s3_protection import S3Protection

    files = S3Files(settings)
    try:
        return S3Protection(files).extend(now, days, on_some)
    finally:
        files.close()


def look_at(settings: Mapping[str, str]) -> Look:
    """Whether the bucket answers to these credentials, and how it keeps what is deleted. Only reads."""
    place = _place(settings)
    client = _client(settings, connect_seconds=LOOK_SECONDS, read_seconds=LOOK_SECONDS, attempts=2)
    try:
        try:
            client.list_objects_v2(Bucket=settings["bucket"], MaxKeys=1)
            config = config_digest(S3Files(settings, client))
        except (ClientError, BotoCoreError, DrdError) as error:
            failure = error if isinstance(error, DrdError) else _as_drd(error, place)
            return Look(reachable=False, message=str(getattr(failure, "message", failure)), hint=_hint(failure))
        return Look(
            reachable=True,
            config=config,
            versioning=_is_versioned(client, settings["bucket"]),
            object_lock_days=_object_lock_days(client, settings["bucket"]),
        )
    finally:
        client.close()


class _Body:
    """An object's content as it comes; a connection that breaks is a failure, not an end."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int, /) -> bytes:
        block: bytes = self._body.read(min(size, BLOCK_BYTES))
        return block


class _Upload:
    """What botocore sends: a file of known length that it need not rewind, since a file is tried again as a whole."""

    def __init__(self, content: NamedContent) -> None:
        self._content = content

    def __len__(self) -> int:
        return self._content.size

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(size)

    def tell(self) -> int:
        return 0


def _client(settings: Mapping[str, str], *, connect_seconds: int, read_seconds: int, attempts: int) -> S3Client:
    config = Config(
        signature_version="s3v4",
        # The defaults add trailing checksums that several servers refuse, and a refused answer to a ranged read.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
        # The checksum header says what the content is; hashing it again for the signature would add nothing.
        s3={
            "addressing_style": "path" if settings["path_style"] == "yes" else "virtual",
            "payload_signing_enabled": False,
        },
    )
    session = boto3.session.Session(
        aws_access_key_id=settings["access_key"],
        aws_secret_access_key=settings["secret_key"],
        region_name=settings["region"],
    )
    return session.client("s3", endpoint_url=settings["endpoint"], config=config, verify=settings.get("ca") or None)


def _is_versioned(client: S3Client, bucket: str) -> bool | None:
    try:
        return client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
    except (ClientError, BotoCoreError):
        return None  # the server does not know the question, or may not be asked


def _object_lock_days(client: S3Client, bucket: str) -> int | None:
    try:
        answer = client.get_object_lock_configuration(Bucket=bucket)
    except (ClientError, BotoCoreError):
        return None
    configuration = answer.get("ObjectLockConfiguration") or {}
    retention = configuration.get("Rule", {}).get("DefaultRetention", {})
    return retention.get("Days") or (retention.get("Years", 0) * DAYS_A_YEAR) or None


def _place(settings: Mapping[str, str]) -> str:
    return f"bucket {settings['bucket']} at {settings['endpoint']}"


def is_refused(error: BaseException) -> bool:
    """Whether a request failed because the credentials may not make it."""
    cause = error if isinstance(error, ClientError) else error.__cause__
    return isinstance(cause, ClientError) and cause.response.get("Error", {}).get("Code") in _CREDENTIAL_CODES


def _as_drd(error: ClientError | BotoCoreError, place: str) -> Exception:
    if not isinstance(error, ClientError):
        if isinstance(error, _AWAY_ERRORS):
            return StoreAway(f"{place} does not answer", "look at the network, the endpoint and its certificate")
        return TransientError(f"{place}: {error}")
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in {"NoSuchKey", "404"} and error.operation_name == "GetObject":
        return Vanished(place)
    if code == "NoSuchBucket" or status == 404:
        return PermanentError(f"{place} does not exist", "make the bucket, or correct `bucket:` in drd.yaml")
    if code in _CREDENTIAL_CODES:
        return PermanentError(f"{place} refuses these credentials ({code})", "correct what `credentials:` refers to")
    if code in _SKEW_CODES:
        return PermanentError(f"{place} says that this machine's clock is wrong ({code})", "timedatectl status")
    if code in _AWAY_CODES or status >= 500:
        return StoreAway(f"{place} answers {code or status}", "it is tried again")
    return PermanentError(f"{place} answers {code or status}", "look at the server's log")


def _hint(failure: Exception) -> str:
    return failure.hint if isinstance(failure, DrdError) else ""
