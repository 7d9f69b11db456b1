"""What restic's failures mean: exit codes 10, 11 and 12 tell since 0.17; before, and of the rest, its sentences do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from drd.clients.restic.messages import ExitError, ItemFailed, parse
from drd.core.errors import (
    DrdError,
    PermanentError,
    RepositoryDamaged,
    RepositoryLocked,
    RepositoryMissing,
    SourceRefused,
    StoreAway,
    TransientError,
    WrongPassword,
)

NO_REPOSITORY = 10
LOCKED = 11
WRONG_PASSWORD = 12
INCOMPLETE = 3
"""`backup` made a snapshot that lacks something."""

_LOCKED = re.compile(r"repository is already locked|unable to create lock in backend: .*already locked")
_WRONG_PASSWORD = re.compile(r"wrong password or no key found")
_DENIED = re.compile(
    r"AccessDenied|Access Denied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|"
    r"\b40[13] (Unauthorized|Forbidden)|unexpected HTTP response \(40[13]\)|permission denied|Permission denied"
)
_AWAY = re.compile(
    r"connection refused|connection reset|no such host|no route to host|network is unreachable|broken pipe|"
    r"i/o timeout|TLS handshake|handshake failure|x509:|deadline exceeded|server misbehaving|unexpected EOF|"
    r"Client\.Timeout|dial tcp|dial unix|\b50[0234] (Internal|Bad|Service|Gateway)|"
    r"unexpected HTTP response \(5\d\d\)|SlowDown|"
    r"unable to start the sftp session|ssh: connect|Connection (timed out|closed|refused)|Could not resolve hostname|"
    r"stale NFS file handle|transport endpoint is not connected",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"no space left on device|disk quota exceeded|XMinioStorageFull|QuotaExceeded|\b507 Insufficient", re.IGNORECASE
)
_MISSING = re.compile(
    r"repository does not exist|Is there a repository at the following location|"
    r"unable to open config file: .*(no such file or directory|does not exist|not exist)"
)
_DAMAGED = re.compile(
    r"ciphertext verification failed|invalid data returned|not found in repository|"
    r"(Load|ReadFull)\(<(data|index)/[^)]*\).*(file is too short|does not exist|specified key|not found|"
    r"no such file or directory|ReadFull: unexpected EOF)"
)
_NO_SOURCE = re.compile(r"all (target|source) directories/files do not exist")
_EXISTS = re.compile(r"config file already exists|repository master key and config already initialized")


def tells_of_a_store_that_is_away(said: str) -> bool:
    """Whether these sentences speak of the way to the store and not of what it holds."""
    return _AWAY.search(said) is not None


def failure(code: int, stderr: str, store: str, own_folder: str = "\0", hide: Callable[[str], str] = str) -> DrdError:
    """The error that a restic exit code and its standard error amount to.

    `store` is the place in words, no secret, and `own_folder` where drd lets restic keep what is its own.
    `stderr` may hold secrets: what it means is read from it as it is, since a password may be a word of restic's own,
    and only what is shown goes through `hide`.
    """
    said = "\n".join(_sentences(stderr))
    last = hide(_last_sentence(said))
    if code == LOCKED or _LOCKED.search(said):
        return RepositoryLocked(
            f"the repository {store} is locked by another process: {hide(_lock_holder(said))}", _LOCK_HINT
        )
    if code == WRONG_PASSWORD or _WRONG_PASSWORD.search(said):
        return WrongPassword(
            f"the repository {store} does not open with its password", "check the `password:` of that store in drd.yaml"
        )
    if code < 0:
        return TransientError(
            f"restic at {store} was killed by signal {-code}", "look for lack of memory: dmesg | grep -i oom"
        )
    if _NO_SOURCE.search(said):
        return SourceRefused("nothing that the source names is there", "correct the policy's paths: drd validate")
    if _FULL.search(said):
        return _full(store, own_folder if own_folder in said else None)
    if _EXISTS.search(said):
        return PermanentError(f"{store} holds a repository already", "drd validate")
    return _of_the_store(code, said, store, last)


def _of_the_store(code: int, said: str, store: str, last: str) -> DrdError:
    """What keeps a store from serving: `last` is the sentence that names the reason."""
    is_there = code != NO_REPOSITORY
    if is_there and _DAMAGED.search(said):
        return RepositoryDamaged(f"the repository {store} is damaged", DAMAGED_HINT)
    if is_there and _AWAY.search(said):
        return StoreAway(
            f"the store {store} does not answer: {last}", "drd tries again by itself; drd status tells when"
        )
    if is_there and _DENIED.search(said):
        return PermanentError(
            f"access to the store {store} is denied: {last}", "check the store's credentials and permissions"
        )
    if not is_there or _MISSING.search(said):
        return RepositoryMissing(
            f"there is no repository at {store}", "drd makes it with the next backup: drd backup POLICY"
        )
    return PermanentError(f"restic failed at {store} (exit code {code}): {last or 'it gave no reason'}", HINT)


HINT = "look at the store and at drd's log; whether drd reaches everything tells: drd validate --reach"
DAMAGED_HINT = "try another store with --from"
_LOCK_HINT = "wait until that work is done; a lock whose process is dead goes by itself after 30 minutes"


def _full(store: str, own_folder: str | None) -> DrdError:
    if own_folder is not None:
        return TransientError(f"the disk that holds {own_folder} is full", f"make room there: df -h {own_folder}")
    return TransientError(f"the store {store} is full", "make room there, or keep fewer recovery points (`keep:`)")


def _sentences(stderr: str) -> Iterator[str]:
    """Each line of standard error in words, whether restic wrote it as text or as JSON."""
    for line in stderr.splitlines():
        message = parse(line.encode(), ExitError, ItemFailed)
        if isinstance(message, ExitError):
            yield message.message
        elif isinstance(message, ItemFailed):
            yield message.text
        else:
            yield line


def _last_sentence(said: str) -> str:
    """The line that names the reason: restic's `Fatal:` where there is one, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("Fatal:")]
    return (fatal or lines or [""])[-1].removeprefix("Fatal: ")[:300]


def _lock_holder(said: str) -> str:
    match = re.search(r"locked (?:exclusively )?by (PID \d+ on \S+)", said)
    return match[1] if match else "restic does not say which"
