"""Whether an S3 bucket really keeps what it is given: by trying to delete, and by reading who else could.

The probe is one small object beside the repository, which restic never looks at. Each version of it is under the
bucket's default retention, so it is deleted by its version, with the writer's own credentials, and that has to fail.
Plain deletions only hide what they delete behind a marker: the versions stay, for as long as they are locked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from drd.clients.carrier.files import CONFIG_NAME, FileKind
from drd.clients.carrier.s3 import DAYS_A_YEAR, S3Files
from drd.ports.protection import Extended, Protection

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROBE_NAME = "drd-probe"
THREADS = 8
AT_ONCE = 500
AHEAD = 2 / 3
"""A lock of which less than this share of the promised time is left is made longer."""
_REFUSALS = {"AccessDenied", "InvalidRequest", "ObjectLocked", "403", "Forbidden", "MethodNotAllowed"}
_LOCKED_KINDS = (FileKind.DATA, FileKind.INDEX, FileKind.SNAPSHOT, FileKind.KEY)
"""All that a kept snapshot needs, beside the config. Locks have to go: a lock that stays keeps everybody out."""
_ALL = {"*", "s3:*"}
_DELETING = _ALL | {"s3:delete*", "s3:deleteobject*", "s3:deleteobjectversion", "s3:bypassgovernanceretention"}
_LOOSENING = _ALL | {"s3:put*", "s3:putbucket*", "s3:putlifecycleconfiguration", "s3:putbucketversioning"}


class S3Protection:
    """One repository in a bucket."""

    def __init__(self, files: S3Files) -> None:
        self._files = files
        self._client: S3Client = files.client
        self._bucket = files.bucket
        self._key = f"{files.prefix}{PROBE_NAME}"

    def probe(self, days: int) -> Protection:
        """Write the probe and try to delete it. `days`: for how long the store is said to keep what it gets."""
        mode, locked_days = self._default_retention()
        version = self._put()
        reason = self._why_not_held(version, mode)
        if not reason and (locked_days or 0) < days:
            held = f"{locked_days} days" if locked_days else "no time that is set"
            reason = f"its bucket locks by default for {held}, not for {days} days"
        self._sweep(version)
        how = f"object lock ({mode.lower()}, {locked_days} days) refused to delete a probe"
        return Protection(not reason, reason or how, mode, locked_days, tuple(self._risks(mode)))

    def extend(self, now: datetime, days: int, on_some: Callable[[], None]) -> Extended:
        """Make each lock longer that would end too soon, so that nothing a kept snapshot needs runs out of it.

        `on_some` is called now and then: there may be very many.
        """
        mode = self._default_retention()[0] or "GOVERNANCE"
        until, least = now + timedelta(days=days), now + timedelta(days=days * AHEAD)
        keys = chain((self._files.prefix + CONFIG_NAME,), self._keys())

        def extended(key: str) -> str | None:
            """Nothing where the lock is long enough, else what came of making it longer: empty when it is now."""
            held = self._retained_until(key)
            if held is not None and held[1] >= least:
                return None
            try:
                self._client.put_object_retention(
                    Bucket=self._bucket,
                    Key=key,
                    Retention={"Mode": cast("Any", held[0] if held else mode), "RetainUntilDate": until},
                )
            except (ClientError, BotoCoreError) as error:
                return _words(error)
            return ""

        files = longer = 0
        failures: list[str] = []
        with ThreadPoolExecutor(THREADS) as pool:
            while some := list(islice(keys, AT_ONCE)):
                results = list(pool.map(extended, some))
                files += len(some)
                longer += results.count("")
                failures += [result for result in results if result]
                on_some()
        return Extended(files, longer, len(failures), failures[0] if failures else "")

    def _default_retention(self) -> tuple[str, int | None]:
        try:
            answer = self._client.get_object_lock_configuration(Bucket=self._bucket)
        except (ClientError, BotoCoreError):
            return "", None
        rule = (answer.get("ObjectLockConfiguration") or {}).get("Rule", {}).get("DefaultRetention", {})
        return str(rule.get("Mode", "")), rule.get("Days") or (rule.get("Years", 0) * DAYS_A_YEAR) or None

    def _put(self) -> str:
        with self._files.translated():
            put = self._client.put_object(
                Bucket=self._bucket, Key=self._key, Body=b"drd tries to delete this", ChecksumAlgorithm="SHA256"
            )
        return put.get("VersionId", "")

    def _why_not_held(self, version: str, mode: str) -> str:
        """What let the probe go; empty where all was refused."""
        if not version or version == "null":
            self._client.delete_object(Bucket=self._bucket, Key=self._key)
            return "its bucket keeps no versions: what is deleted or overwritten there is gone"
        if self._deletes(version, {}):
            return "a probe could be deleted there at once"
        if mode != "COMPLIANCE" and self._deletes(version, {"BypassGovernanceRetention": True}):
            return "a probe could be deleted there by going past the lock, which `governance` allows these credentials"
        return ""

    def _deletes(self, version: str, how: Mapping[str, Any]) -> bool:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._key, VersionId=version, **how)
        except ClientError as error:
            if _code(error) in _REFUSALS:
                return False
            raise
        return True

    def _sweep(self, newest: str) -> None:
        """Take away the probes of earlier days whose time is over; where that is refused they stay."""
        try:
            listed = self._client.list_object_versions(Bucket=self._bucket, Prefix=self._key)
        except (ClientError, BotoCoreError):
            return
        for each in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
            if each["Key"] == self._key and each["VersionId"] != newest:
                try:
                    self._client.delete_object(Bucket=self._bucket, Key=self._key, VersionId=each["VersionId"])
                except (ClientError, BotoCoreError):
                    continue

    def _risks(self, mode: str) -> Iterator[str]:
        """What these credentials may read of who else could delete."""
        versioning = self._asked(lambda: self._client.get_bucket_versioning(Bucket=self._bucket))
        if versioning is not None and versioning.get("Status") != "Enabled":
            yield "its bucket keeps no versions"
        if mode == "GOVERNANCE":
            yield "governance mode: whoever has s3:BypassGovernanceRetention deletes all the same"
        rules = self._asked(lambda: self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket)) or {}
        for rule in rules.get("Rules", ()):
            if rule.get("Status") == "Enabled" and _covers(rule, self._files.prefix):
                yield from _expiring(rule)
        policy = self._asked(lambda: json.loads(self._client.get_bucket_policy(Bucket=self._bucket)["Policy"]))
        yield from _allowed(policy) if isinstance(policy, dict) else ()

    def _asked(self, ask: Callable[[], Any]) -> Any | None:
        try:
            return ask()
        except (ClientError, BotoCoreError, ValueError):
            return None  # there is none, these credentials may not see it, or the server does not know the question

    def _retained_until(self, key: str) -> tuple[str, datetime] | None:
        try:
            told: Mapping[str, Any] = self._client.head_object(Bucket=self._bucket, Key=key)
        except (ClientError, BotoCoreError):
            return None
        if "ObjectLockRetainUntilDate" not in told:
            return None
        return str(told.get("ObjectLockMode", "GOVERNANCE")), told["ObjectLockRetainUntilDate"]

    def _keys(self) -> Iterator[str]:
        for kind in _LOCKED_KINDS:
            prefix = f"{self._files.prefix}{kind.value}/"
            with self._files.translated():
                pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
                for page in pages:
                    yield from (item["Key"] for item in page.get("Contents", ()))


def _covers(rule: Mapping[str, Any], prefix: str) -> bool:
    """Whether a lifecycle rule is about anything of the repository."""
    part = rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")) or ""
    return bool(prefix.startswith(part) or part.startswith(prefix))


def _expiring(rule: Mapping[str, Any]) -> Iterator[str]:
    name = rule.get("ID") or "without a name"
    days = rule.get("Expiration", {}).get("Days")
    if days:
        yield f"the lifecycle rule {name} hides what is {days} days old, also where snapshots need it"
    days = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    if days:
        yield f"the lifecycle rule {name} removes hidden versions {days} days after, once their lock is over"


def _allowed(policy: Mapping[str, Any]) -> Iterator[str]:
    statements = policy.get("Statement", ())
    for statement in [statements] if isinstance(statements, dict) else statements:
        actions = statement.get("Action", ())
        wanted = {each.lower() for each in ([actions] if isinstance(actions, str) else actions)}
        if statement.get("Effect") != "Allow":
            continue
        who = _who(statement.get("Principal", "*"))
        if wanted & _DELETING:
            yield f"the bucket's policy lets {who} delete"
        elif wanted & _LOOSENING:
            yield f"the bucket's policy lets {who} change its rules"


def _who(principal: Any) -> str:
    if principal == "*" or principal == {"AWS": "*"}:
        return "everybody"
    named = principal.get("AWS", principal) if isinstance(principal, dict) else principal
    return ", ".join(named) if isinstance(named, list) else str(named)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _words(error: Exception) -> str:
    return f"the bucket answers {_code(error)}" if isinstance(error, ClientError) else type(error).__name__
