"""What a bucket that keeps versions still has of files that somebody deleted or overwrote.

A deletion hides an object behind a marker, and an overwriting puts a new version before it; object lock forbids neither
to who may write. A marker is taken away by its version id, which brings back what it hid. Where these credentials may
not do that, and where an object was overwritten, the good version is copied to the front inside the bucket: whoever may
write may do that. (Amazon S3 User Guide, "Deleting object versions from a versioning-enabled bucket".)
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from drd.clients.carrier.content import BLOCK_BYTES, NamedContent, Refused
from drd.clients.carrier.files import CONFIG_NAME, FileKind, Vanished
from drd.clients.carrier.job import Saying
from drd.clients.carrier.pace import Pace
from drd.clients.carrier.report import Report
from drd.clients.carrier.s3 import S3Files
from drd.core.errors import DrdError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

THREADS = 8
_ORDER = (FileKind.CONFIG, FileKind.KEY, FileKind.DATA, FileKind.INDEX, FileKind.SNAPSHOT)
"""What a snapshot needs comes back before it."""


@dataclass(frozen=True, slots=True)
class _Version:
    id: str
    modified: datetime
    is_latest: bool
    is_marker: bool
    size: int


class S3Versions:
    """The versions of one repository's files."""

    def __init__(self, files: S3Files) -> None:
        self._files = files
        self._client: S3Client = files.client
        self._bucket = files.bucket

    def uncover(
        self, paths: Collection[str], since: datetime | None, report: Report, *, only_look: bool = False
    ) -> None:
        """Bring back `paths`, and all but snapshots that was hidden after `since` (None: ever).

        A snapshot comes back only by its name, for the others may have been forgotten. What does not come back is
        refused with the reason, and with `only_look` all that would.
        """
        report.phase("looking for deleted files")
        with self._files.translated():
            found = dict(self._wanted(frozenset(paths), since))
        ordered = sorted(found, key=lambda path: (_ORDER.index(_kind(path)), path))
        if only_look:
            for path in ordered:
                report.refuse(path, _what(found[path]))
            return
        with ThreadPoolExecutor(THREADS) as pool:
            why = pool.map(lambda path: self._bring_back(path, found[path]), ordered)
            for path, reason in zip(ordered, why, strict=True):
                if reason is None:
                    continue  # it was damaged when it was taken away
                if reason:
                    report.refuse(path, f"{_what(found[path])}, and {reason}")
                else:
                    report.names(Saying.UNCOVERED, [path])

    def _wanted(self, paths: frozenset[str], since: datetime | None) -> Iterator[tuple[str, list[_Version]]]:
        """Path → its versions, newest first, of what is to be brought back."""
        for path, versions in self._versions():
            markers = _markers(versions)
            if len(versions) == len(markers) or (not markers and (path not in paths or len(versions) == 1)):
                continue
            # Hidden twice it was hidden since the first time.
            is_recent = bool(markers) and (since is None or markers[-1].modified > since)
            if path in paths or (is_recent and _kind(path) is not FileKind.SNAPSHOT):
                yield path, versions

    def _versions(self) -> Iterator[tuple[str, list[_Version]]]:
        path, versions = "", list[_Version]()
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._files.prefix
        )
        for page in pages:
            for key, version in sorted(_of(page), key=lambda each: each[0]):
                if key != path:
                    if versions and _is_file(path.removeprefix(self._files.prefix)):
                        yield path.removeprefix(self._files.prefix), _newest_first(versions)
                    path, versions = key, []
                versions.append(version)
        if versions and _is_file(path.removeprefix(self._files.prefix)):
            yield path.removeprefix(self._files.prefix), _newest_first(versions)

    def _bring_back(self, path: str, versions: list[_Version]) -> str | None:
        """Empty when the file is there again, else why not; None where no version is what the file is called."""
        key = self._files.prefix + path
        markers = _markers(versions)
        older = [each for each in versions[len(markers) or 1 :] if not each.is_marker]
        if _kind(path) is FileKind.CONFIG:  # named by nothing: the first one is the repository's
            older.reverse()
        good = next((each for each in older if self._is_good(path, each, versions[0])), None)
        if good is None:
            return None
        try:
            if markers and good is versions[len(markers)]:
                for each in markers:
                    self._client.delete_object(Bucket=self._bucket, Key=key, VersionId=each.id)
                return ""
        except (ClientError, BotoCoreError):
            pass  # whoever may not take a marker away may still write
        try:
            self._to_the_front(path, good)
        except (DrdError, Refused, Vanished) as error:
            return (
                f"these credentials may not bring it back ({error}); who may types: "
                f"aws s3api delete-object --endpoint-url {self._client.meta.endpoint_url} --bucket {self._bucket} "
                f"--key {key} --version-id {versions[0].id}"
            )
        return ""

    def _to_the_front(self, path: str, good: _Version) -> None:
        """Copy a version inside the bucket; where the server will not, by way of this machine."""
        key = self._files.prefix + path
        try:
            self._client.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": self._bucket, "Key": key, "VersionId": good.id},
                ChecksumAlgorithm="SHA256",
            )
        except (ClientError, BotoCoreError):
            with self._files.translated():
                body = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=good.id)["Body"]
                with body:
                    name = None if _kind(path) is FileKind.CONFIG else path.rpartition("/")[2]
                    content = NamedContent(body, name, good.size, Pace(None), lambda _: None)
                    self._files.put(_kind(path), path.rpartition("/")[2], content)

    def _is_good(self, path: str, version: _Version, newest: _Version) -> bool:
        """Whether a version is what it is called. Packs that are only hidden are many: the next check reads them."""
        if _kind(path) is FileKind.CONFIG or (newest.is_marker and _kind(path) is FileKind.DATA):
            return True
        digest = hashlib.sha256()
        try:
            body: Any = self._client.get_object(
                Bucket=self._bucket, Key=self._files.prefix + path, VersionId=version.id
            )["Body"]
            with body:
                while block := body.read(BLOCK_BYTES):
                    digest.update(block)
        except (ClientError, BotoCoreError):
            return False
        return digest.hexdigest() == path.rpartition("/")[2]


def _of(page: Any) -> Iterator[tuple[str, _Version]]:
    for kind, is_marker in (("Versions", False), ("DeleteMarkers", True)):
        for each in page.get(kind, ()):
            yield (
                each["Key"],
                _Version(each["VersionId"], each["LastModified"], each["IsLatest"], is_marker, each.get("Size", 0)),
            )


def _newest_first(versions: list[_Version]) -> list[_Version]:
    """A bucket tells whole seconds: what was deleted in the second in which it was written was written first."""
    return sorted(versions, key=lambda each: (each.is_latest, each.modified, each.is_marker), reverse=True)


def _markers(versions: list[_Version]) -> list[_Version]:
    """Those that hide what is behind them."""
    return list(takewhile(lambda each: each.is_marker, versions))


def _is_file(path: str) -> bool:
    return path == CONFIG_NAME or path.partition("/")[0] in {kind.value for kind in _ORDER[1:]}


def _kind(path: str) -> FileKind:
    return FileKind(path.partition("/")[0])


def _what(versions: list[_Version]) -> str:
    done = "hidden behind a delete marker" if versions[0].is_marker else "overwritten"
    return f"it was {done} on {versions[0].modified:%Y-%m-%d %H:%M} UTC"
