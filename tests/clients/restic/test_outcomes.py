"""Exit codes and sentences of all versions, and what they mean. The sentences were taken from real runs."""

import pytest

from drd.clients.restic.outcomes import failure
from drd.core.errors import (
    DrdError,
    PermanentError,
    RepositoryLocked,
    RepositoryMissing,
    SourceRefused,
    StoreAway,
    TransientError,
    WrongPassword,
)

NO_SUCH_FILE = "Fatal: unable to open config file: stat /r/config: no such file or directory\nIs there a repository at"
REFUSED = (
    'Fatal: unable to open config file: client.Head: Head "http://127.0.0.1:1/x/config": dial tcp 127.0.0.1:1: '
    "connect: connection refused\nIs there a repository at the following location?\nrest:http://127.0.0.1:1/x/"
)
LOCKED = (
    "unable to create lock in backend: repository is already locked by PID 4711 on shop by root (UID 0, GID 0)\n"
    "lock was created at 2026-11-22 09:00:00 (1m ago)\nstorage ID 3f2a"
)
LOCKED_JSON = (
    '{"message_type":"exit_error","code":11,"message":"Fatal: repository is already locked exclusively by PID 4711 on '
    'shop by root (UID 0, GID 0)\\nlock was created at 2026-11-22 09:00:00"}'
)


@pytest.mark.parametrize(
    ("code", "stderr", "kind"),
    [
        (1, f"{NO_SUCH_FILE} the following location?\n/r", RepositoryMissing),
        (10, "Fatal: repository does not exist: unable to open config file: stat /r/config", RepositoryMissing),
        (1, "Fatal: wrong password or no key found", WrongPassword),
        (
            12,
            '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}',
            WrongPassword,
        ),
        (1, LOCKED, RepositoryLocked),
        (11, LOCKED_JSON, RepositoryLocked),
        (1, REFUSED, StoreAway),
        (1, "Fatal: unable to open repository at s3:https://x/y: dial tcp: lookup x: no such host", StoreAway),
        (1, "Fatal: unable to open config file: Stat: Access Denied.", PermanentError),
        (1, "Fatal: unable to open config file: Stat: 503 Service Unavailable", StoreAway),
        (1, "Fatal: unable to save snapshot: write /r/tmp: no space left on device", TransientError),
        (1, "Fatal: all target directories/files do not exist", SourceRefused),
        (1, "Fatal: all source directories/files do not exist", SourceRefused),
        (-9, "", TransientError),
        (1, "", PermanentError),
        (99, "something new", PermanentError),
    ],
)
def test_a_failure_is_told_apart(code: int, stderr: str, kind: type[DrdError]) -> None:
    error = failure(code, stderr, "/r")

    assert type(error) is kind
    assert "/r" in error.message or kind is SourceRefused


def test_drds_own_disk_is_not_taken_for_the_store() -> None:
    said = "Fatal: unable to save snapshot: write /var/lib/drd/cache/local/restic-temp-pack-1: no space left on device"
    error = failure(1, said, "/srv/repository", "/var/lib/drd/cache/local")
    assert (type(error), error.message) == (TransientError, "the disk that holds /var/lib/drd/cache/local is full")
    assert "/srv/repository is full" in failure(1, said, "/srv/repository", "/elsewhere").message


def test_what_restic_means_is_read_before_secrets_are_hidden_and_shown_after() -> None:
    hide = {"Fatal: wrong password or no key found": "", "something holds swordfish": "something holds [secret]"}
    assert type(failure(1, "Fatal: wrong password or no key found", "/r", hide=lambda text: "")) is WrongPassword
    assert "[secret]" in failure(1, "something holds swordfish", "/r", hide=lambda text: hide[text]).message


def test_a_locked_repository_names_who_holds_it() -> None:
    assert "PID 4711 on shop" in failure(11, LOCKED_JSON, "/r").message
    assert "PID 4711 on shop" in failure(1, LOCKED, "/r").message


@pytest.mark.parametrize("code", [1, 2, 3, 10, 11, 12, 130, 143, -2, -9, -15])
def test_every_exit_code_becomes_one_sentence(code: int) -> None:
    message = failure(code, "first line\nFatal: the reason\nlast line", "/r").message

    assert "\n" not in message
    assert not message.endswith(".")
