"""References to secrets. A secret never stands in YAML; a reference says where it is read when it is used."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final

from pydantic import ConfigDict, Field, field_validator, model_validator

from drd.core.kinds import Model

HOW_TO_REFER: Final = "write {credential: NAME}, {file: PATH}, {env: NAME} or {command: [PROGRAM, …]}"


class SecretReference(Model):
    """Where a secret is read: exactly one of the four keys."""

    credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] | None = None
    """A systemd credential (`LoadCredential=`), read from `$CREDENTIALS_DIRECTORY`."""
    file: Path | None = None
    """A file that only drd can read; a trailing line end is dropped."""
    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """A variable of the daemon's own environment."""
    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """A program and its arguments; its standard output is the secret."""

    model_config = ConfigDict(hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _never_repeats_a_secret(cls, value: object) -> object:
        """Refuse what may be a secret in clear with a sentence that does not hold it."""
        if not isinstance(value, dict):
            raise ValueError(f"a secret never stands in the file: {HOW_TO_REFER}")
        strange = [
            key for key in value if key not in cls.model_fields and not get_close_matches(str(key), cls.model_fields)
        ]
        if strange:
            raise ValueError(f"a secret is named by one of credential, file, env or command: {HOW_TO_REFER}")
        return value

    @field_validator("file")
    @classmethod
    def _is_absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("write the whole path, as /etc/drd/secret")
        return value

    @model_validator(mode="after")
    def _names_exactly_one_place(self) -> SecretReference:
        named = [key for key in ("credential", "file", "env", "command") if getattr(self, key) is not None]
        if len(named) != 1:
            raise ValueError(f"name exactly one of credential, file, env or command: {HOW_TO_REFER}")
        return self

    def summary(self) -> str:
        """Where the secret is read, for messages: never the secret itself."""
        if self.credential is not None:
            return f"credential {self.credential}"
        if self.file is not None:
            return f"file {self.file}"
        if self.env is not None:
            return f"environment variable {self.env}"
        return f"command {self.command[0] if self.command else ''}"
