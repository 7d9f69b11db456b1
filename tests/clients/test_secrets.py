"""Secrets are read where their references say, and errors name the place and never the content."""

from pathlib import Path

import pytest

from drd.clients.process import ChildRunner
from drd.clients.secrets import SystemSecrets
from drd.core.errors import PermanentError
from drd.core.secrets import SecretReference

WORD = "sesame-open"


def secrets(**environment: str) -> SystemSecrets:
    return SystemSecrets(ChildRunner(), {"PATH": "/usr/bin:/bin", **environment})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "restic-local").write_text(f"{WORD}\n")
    (tmp_path / "restic-local").chmod(0o600)
    return tmp_path


async def test_a_file_loses_its_last_line_end_and_nothing_else(folder: Path) -> None:
    (folder / "restic-local").write_bytes(b"  two\nlines \r\n")

    assert await secrets().read(SecretReference(file=folder / "restic-local")) == b"  two\nlines "


async def test_a_variable_is_read_from_the_daemons_environment() -> None:
    assert await secrets(DRD_WORD=WORD).read(SecretReference(env="DRD_WORD")) == WORD.encode()


async def test_the_output_of_a_command_is_the_secret() -> None:
    assert await secrets().read(SecretReference(command=("printf", f"{WORD}\\n"))) == WORD.encode()


async def test_a_credential_is_read_once_at_start(folder: Path) -> None:
    reader = secrets(CREDENTIALS_DIRECTORY=str(folder))
    (folder / "restic-local").unlink()

    assert await reader.read(SecretReference(credential="restic-local")) == WORD.encode()


async def test_a_file_is_read_at_each_use(folder: Path) -> None:
    reader = secrets()
    reference = SecretReference(file=folder / "restic-local")
    await reader.read(reference)

    (folder / "restic-local").write_text("changed")

    assert await reader.read(reference) == b"changed"


async def test_a_file_that_everybody_may_read_is_refused_and_says_what_to_type(folder: Path) -> None:
    (folder / "restic-local").chmod(0o644)

    with pytest.raises(PermanentError) as caught:
        await secrets().read(SecretReference(file=folder / "restic-local"))

    assert caught.value.hint == f"chmod o= {folder / 'restic-local'}"


@pytest.mark.parametrize(
    "reference",
    [
        {"credential": "missing"},
        {"file": "/nowhere/at/all"},
        {"env": "DRD_MISSING"},
        {"env": "DRD_EMPTY"},
        {"command": ["sh", "-c", f"echo {WORD}; echo {WORD} >&2; exit 3"]},
        {"command": ["true"]},
    ],
)
async def test_a_secret_that_is_not_there_is_named_by_its_place_and_never_by_its_content(
    reference: dict[str, object],
) -> None:
    with pytest.raises(PermanentError) as caught:
        await secrets(DRD_EMPTY="").read(SecretReference.model_validate(reference))

    assert WORD not in str(caught.value)
    assert caught.value.hint
