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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from drd.clients.carrier.content import BLOCK_BYTES, NamedContent, Refused
from drd.clients.carrier.files import CONFIG_NAME, FileKind, Vanished
from drd.clients.carrier.job import Saying
from drd.clients.carrier.pace import Pace
from drd.clients.carrier.report import Report
from drd.clients.carrier.s3 import S3Files, is_refused
from drd.core.errors import DrdError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

THREADS = 8
_BY_NAME = {FileKind.KEY, FileKind.SNAPSHOT}
"""Whoever took one of them away may have meant it: they come back only when they are asked for."""
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

    def __init__(self, files: S3Files, aside: Path | None = None) -> None:
        """`aside` is a folder of this machine with what drd took away because it was damaged."""
        self._files = files
        self._client: S3Client = files.client
        self._bucket = files.bucket
        self._aside = aside
        self._unreadable: set[str] = set()
        """Files of which these credentials may not read the versions."""

    def uncover(
        self, paths: Collection[str], since: datetime | None, report: Report, *, only_look: bool = False
    ) -> None:
        """Bring back `paths`, and the config, packs and indexes that were hidden after `since` (None: ever).

        Snapshots and keys come back only by their names, for the others may have been forgotten or shut out; the
        folder `keys` among `paths` stands for all that were hidden after `since`. What does not come back is refused
        with the reason, and with `only_look` all that would.
        """
        named = frozenset(paths)
        with self._files.translated():
            found = dict(self._wanted(named, since, report))
        ordered = sorted(found, key=lambda path: (_ORDER.index(_kind(path)), path))
        with ThreadPoolExecutor(THREADS) as pool:
            why: Iterator[str | None]
            if only_look:
                goods = pool.map(lambda path: self._stands(path, found[path]), ordered)
                why = (None if is_good else "" for is_good in goods)
            else:
                why = pool.map(lambda path: self._bring_back(path, found[path], path in named), ordered)
            for path, reason in zip(ordered, why, strict=True):
                report.passed(0)  # reading is slow: whoever waits hears that it goes on
                if reason is None:
                    continue  # it was damaged when it was taken away, or stands there as it was
                if only_look or reason:
                    report.refuse(path, f"{_what(found[path])}{reason}")
                else:
                    report.names(Saying.UNCOVERED, [path])

    def _wanted(
        self, paths: frozenset[str], since: datetime | None, report: Report
    ) -> Iterator[tuple[str, list[_Version]]]:
        """Path → its versions, newest first, of what is to be brought back."""
        for path, versions in self._versions(report):
            markers = _markers(versions)
            if len(versions) == len(markers) or (not markers and (path not in paths or len(versions) == 1)):
                continue
            # Hidden twice it was hidden since the first time.
            is_recent = bool(markers) and (since is None or markers[-1].modified > since)
            is_meant = _kind(path) not in _BY_NAME or (_kind(path) is FileKind.KEY and FileKind.KEY.value in paths)
            if path in paths or (is_recent and is_meant):
                yield path, versions

    def _versions(self, report: Report) -> Iterator[tuple[str, list[_Version]]]:
        path, versions = "", list[_Version]()
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._files.prefix
        )
        for page in pages:
            report.phase("looking for deleted files")
            for key, version in sorted(_of(page), key=lambda each: each[0]):
                if key != path:
                    if versions and _is_file(path.removeprefix(self._files.prefix)):
                        yield path.removeprefix(self._files.prefix), _newest_first(versions)
                    path, versions = key, []
                versions.append(version)
        if versions and _is_file(path.removeprefix(self._files.prefix)):
            yield path.removeprefix(self._files.prefix), _newest_first(versions)

    def _bring_back(self, path: str, versions: list[_Version], is_named: bool) -> str | None:
        """Empty when the file is there again, else why not; None where no older version is to take its place."""
        if self._stands(path, versions):
            return None
        key = self._files.prefix + path
        markers = _markers(versions)
        older = [each for each in versions[len(markers) or 1 :] if not each.is_marker]
        if _kind(path) is FileKind.CONFIG:  # named by nothing: the first one is the repository's
            older.reverse()
        is_unread = bool(markers) and not is_named and not self._lies_aside(path)
        good = next((each for each in older if self._is_good(path, each, is_unread)), None)
        if good is None and path in self._unreadable:
            return ", and these credentials may not read what it was: that takes s3:GetObjectVersion"
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
            why = error.message if isinstance(error, DrdError) else str(error)
            if not is_refused(error):
                return f", and it could not be brought back: {why}"
            return (
                f", and these credentials may not bring it back ({why}). With credentials that may, type: "
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

    def _stands(self, path: str, versions: list[_Version]) -> bool:
        """Whether what is there now is good: of a config, whether it is what it was at first."""
        if versions[0].is_marker:
            return False
        digest = self._digest(path, versions[0])
        if _kind(path) is FileKind.CONFIG:
            first = next(each for each in reversed(versions) if not each.is_marker)
            return bool(digest) and digest == self._digest(path, first)
        return digest == path.rpartition("/")[2]

    def _lies_aside(self, path: str) -> bool:
        return self._aside is not None and (self._aside / path).exists()

    def _is_good(self, path: str, version: _Version, is_unread: bool) -> bool:
        """Whether a version is what it is called.

        Packs that were only hidden, and of which nobody has said that they are damaged, are many: the next check reads
        them.
        """
        if _kind(path) is FileKind.CONFIG or (is_unread and _kind(path) is FileKind.DATA):
            return True
        return self._digest(path, version) == path.rpartition("/")[2]

    def _digest(self, path: str, version: _Version) -> str:
        """What a version hashes to; empty where it cannot be read."""
        digest = hashlib.sha256()
        try:
            body: Any = self._client.get_object(
                Bucket=self._bucket, Key=self._files.prefix + path, VersionId=version.id
            )["Body"]
            with body:
                while block := body.read(BLOCK_BYTES):
                    digest.update(block)
        except (ClientError, BotoCoreError) as error:
            if is_refused(error):
                self._unreadable.add(path)
            return ""
        return digest.hexdigest()


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
