"""How restic reaches a repository: the arguments, environment and secrets of every call, built from nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drd.clients.restic.versions import Restic
from drd.core.errors import PermanentError
from drd.ports.store import Limits, Location

_REPOSITORY = re.compile(r"[0-9a-f]{64}")
"""The name of restic's cache of one repository."""
REQUEST_SECONDS = 120
"""After this long without an answer, restic gives a request to a store up and repeats it."""


@dataclass(frozen=True, slots=True)
class Access:
    """One repository and the way to it."""

    location: Location
    password: bytes = field(repr=False)
    cache: Path
    """A folder of this repository's own, which is also restic's home."""
    keeps_cache: bool = True
    """Whether restic may keep what it has read there; else it works without, and reads it again each time."""
    deleting: Callable[[], Awaitable[Location]] | None = field(default=None, repr=False)
    """Tells how what is deleted there is reached, where that takes other credentials; they are read when needed."""

    @property
    def place(self) -> str:
        """The repository for messages, without any password that its URL may hold."""
        if not self.location.url_is_secret:
            return self.location.url
        return re.sub(r"//[^/]*@", "//…@", self.location.url) if "@" in self.location.url else "(its URL is a secret)"

    def arguments(self, side: str = "") -> tuple[str, ...]:
        """The options that name the repository; `side` is `from-` for the second repository of a copy."""
        name = side.replace("-", "_")
        if self.location.url_is_secret:
            repository = (f"--{side}repository-file", f"{{{name}drd_repository}}")
        else:
            repository = (f"--{side}repo", self.location.url)
        return (*repository, f"--{side}password-file", f"{{{name}drd_password}}")

    def secrets(self, side: str = "") -> dict[str, bytes]:
        """The secrets that `arguments` and `environment` name."""
        name = side.replace("-", "_")
        secrets = {f"{name}{key}": value for key, value in self.location.secrets.items()}
        secrets[f"{name}drd_password"] = self.password
        if self.location.url_is_secret:
            secrets[f"{name}drd_repository"] = self.location.url.encode()
        return secrets

    def environment(self, side: str = "") -> dict[str, str]:
        """The variables that the store needs."""
        name = side.replace("-", "_")
        return {key: _renamed(value, self.location.secrets, name) for key, value in self.location.environment.items()}


def restic_environment(
    access: Access, other: Access | None, processor_share: float, memory_bytes: int | None = None
) -> dict[str, str]:
    """All that restic sees of the world. Progress comes four times a second, also into a pipe.

    `memory_bytes` is no bound: Go collects its garbage more often there, and what is in use may still be more.
    """
    own = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(access.cache),
        "TMPDIR": str(access.cache),
        "TZ": "UTC",
        "RESTIC_PROGRESS_FPS": "4",
    }
    if processor_share < 1:
        own["GOMAXPROCS"] = str(max(1, round(processor_share * (os.cpu_count() or 1))))
    if memory_bytes is not None:
        own["GOMEMLIMIT"] = str(memory_bytes)  # since Go 1.19, with which Debian's restic 0.14 is made
    environment = own | access.environment()
    if other is None:
        return environment
    meant = access.location
    for key, value in other.environment("from-").items():
        if environment.setdefault(key, value) != value and _meaning(meant, key) != _meaning(other.location, key):
            raise PermanentError(
                f"restic copy cannot go from {other.place} to {access.place}: both need {key}, with different values",
                "leave `independent: true` out, so that drd carries the files itself",
            )
    return environment


def restic_arguments(restic: Restic, access: Access, other: Access | None, limits: Limits) -> tuple[str, ...]:
    """The program and the options that come before every command."""
    cache = ("--cache-dir", str(access.cache)) if access.keeps_cache else ("--no-cache",)
    words = [restic.path, "--json", *cache, *access.arguments()]
    if other is not None:
        words += other.arguments("from-")
    for option in (*access.location.options, *(other.location.options if other is not None else ())):
        words += ["-o", option]
    if limits.upload is not None:
        words += ["--limit-upload", str(max(1, limits.upload // 1024))]
    if limits.download is not None:
        words += ["--limit-download", str(max(1, limits.download // 1024))]
    if restic.limits_stuck_requests:
        words += ["--stuck-request-timeout", f"{REQUEST_SECONDS}s"]
    return tuple(words)


def _meaning(location: Location, key: str) -> str:
    value = location.environment.get(key, "")
    for name, secret in location.secrets.items():
        value = value.replace(f"{{{name}}}", secret.decode(errors="replace"))
    return value


def _renamed(value: str, secrets: Mapping[str, bytes], prefix: str) -> str:
    for name in secrets:
        value = value.replace(f"{{{name}}}", f"{{{prefix}{name}}}")
    return value


def give_up_cache(cache: Path) -> None:
    """Remove what restic keeps of repositories; what drd keeps beside it stays."""
    for folder in cache.iterdir():
        if _REPOSITORY.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
