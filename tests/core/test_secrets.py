"""References to secrets, and what is said about a secret that stands in clear."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from drd.core.secrets import SecretReference


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"credential": "restic-local"}, "credential restic-local"),
        ({"file": "/etc/drd/secret"}, "file /etc/drd/secret"),
        ({"env": "S3_KEYS"}, "environment variable S3_KEYS"),
        ({"command": ["/usr/bin/pass", "show", "backup"]}, "command /usr/bin/pass"),
    ],
)
def test_a_reference_says_where_the_secret_is_read(written: dict[str, object], shown: str) -> None:
    assert SecretReference.model_validate(written).summary() == shown


@pytest.mark.parametrize(
    "clear",
    [
        "hunter2",
        12345678,
        ["hunter2"],
        {"hunter2": None},
        {"password": "hunter2"},
        {"file": "hunter2"},
        {"env": "hunter 2"},
    ],
)
def test_a_secret_in_clear_is_refused_and_never_repeated(clear: object) -> None:
    with pytest.raises(ValidationError) as raised:
        SecretReference.model_validate(clear)

    assert "hunter" not in str(raised.value)
    assert "12345678" not in str(raised.value)


@pytest.mark.parametrize("written", [{}, {"env": "A", "file": "/a"}, {"env": None}])
def test_exactly_one_place_is_named(written: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="name exactly one"):
        SecretReference.model_validate(written)


def test_a_reference_may_be_made_in_code() -> None:
    assert SecretReference(file=Path("/etc/drd/secret")).summary() == "file /etc/drd/secret"


def test_a_reference_that_was_read_already_is_taken_as_it_is() -> None:
    read = SecretReference.model_validate({"env": "S3_KEYS"})
    assert SecretReference.model_validate(read).summary() == "environment variable S3_KEYS"
