"""Files turned into checked values, each for itself: what fails is reported, and the others are still looked at."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path as FilePath
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from drd.config.documents import Entry, Library, Report
from drd.config.environment import SettingsEntry
from drd.config.sentences import explained, is_echo
from drd.config.settings import Settings, settings_from
from drd.config.yaml import Value

MOST_MISTAKES: Final = 50
"""A file's further mistakes are counted, not told."""
_ENDINGS: Final = (".yaml", ".yml")

Made = TypeVar("Made", bound=BaseModel)


def read_settings(entry: SettingsEntry, model: type[Settings], report: Report) -> Settings | None:
    """drd.yaml and the environment."""
    try:
        return settings_from(model, entry.file_value, entry.environment)
    except ValidationError as error:
        _explain(error, entry, model, report)
    return None


def read_entry(entry: Entry, model: type[Made], report: Report) -> Made | None:
    """A policy or a runbook."""
    try:
        return model.model_validate(entry.value)
    except ValidationError as error:
        _explain(error, entry, model, report)
    return None


def _explain(error: ValidationError, entry: Entry, model: type[BaseModel], report: Report) -> None:
    details = [detail for detail in error.errors(include_url=False) if not is_echo(detail)]
    for detail in details[:MOST_MISTAKES]:
        path, spot, sentence = explained(detail, model)
        report(entry.problem(path, sentence, spot))
    if len(details) > MOST_MISTAKES:
        more = len(details) - MOST_MISTAKES
        report(entry.problem((), f"the file has {more} more mistakes: correct the others first"))


def files_in(folder: FilePath) -> tuple[FilePath, ...]:
    """The files of settings right in a folder, by name; hidden ones, which editors leave, are none. Raises OSError."""
    found = (file for file in folder.iterdir() if file.name.endswith(_ENDINGS) and not file.name.startswith("."))
    return tuple(sorted(found))


def read_folder(folder: FilePath, name_key: str, library: Library) -> tuple[tuple[Entry, ...], bool]:
    """The files of a folder, without those that only serve others as a base, and whether all could be read.

    Raises OSError.
    """
    entries = [library.entry(file) for file in files_in(folder)]
    readable = tuple(entry for entry in entries if entry is not None)
    return tuple(entry for entry in readable if not _is_base_only(entry, name_key, library)), None not in entries


def unread_in(folder: FilePath, library: Library) -> tuple[FilePath, ...]:
    """Files of settings in folders below, which are not read unless another file extends them. Raises OSError."""
    below = (file for inner in folder.iterdir() if inner.is_dir() for file in inner.rglob("*"))
    found = (file for file in below if file.name.endswith(_ENDINGS) and file.is_file())
    return tuple(sorted(file for file in found if file.resolve() not in library.bases))


def digest_of(*values: Value) -> str:
    """SHA-256 over the values, however they were written."""
    return hashlib.sha256(
        json.dumps(values, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ).hexdigest()


def _is_base_only(entry: Entry, name_key: str, library: Library) -> bool:
    return name_key not in entry.chain[0].value and entry.file.resolve() in library.bases
