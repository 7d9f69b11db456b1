"""Files turned into checked values, each for itself: what fails is reported, and the others are still looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from drd.config.documents import Entry, Library, Report
from drd.config.problems import Problem
from drd.config.sentences import explained
from drd.config.settings import Settings, settings_from, variable_at
from drd.config.yaml import Value

MOST_MISTAKES: Final = 50
"""A file's further mistakes are counted, not told."""
_ENDINGS: Final = (".yaml", ".yml")

Made = TypeVar("Made", bound=BaseModel)


def read_settings(
    entry: Entry, model: type[Settings], environment: Mapping[str, str], report: Report
) -> Settings | None:
    """drd.yaml and the environment; a mistake in a variable is told by the variable's name."""
    try:
        return settings_from(model, entry.value, environment)
    except ValidationError as error:
        for detail in error.errors(include_url=False)[:MOST_MISTAKES]:
            path, spot, sentence = explained(detail, model)
            variable = variable_at(path, environment)
            report(Problem(variable, 0, 0, sentence) if variable else entry.problem(path, sentence, spot))
    return None


def read_entry(entry: Entry, model: type[Made], report: Report) -> Made | None:
    """A policy or a runbook."""
    try:
        return model.model_validate(entry.value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        for detail in details[:MOST_MISTAKES]:
            path, spot, sentence = explained(detail, model)
            report(entry.problem(path, sentence, spot))
        if len(details) > MOST_MISTAKES:
            report(
                entry.problem(
                    (), f"there are {len(details) - MOST_MISTAKES} more mistakes like these: correct these first"
                )
            )
    return None


def files_in(folder: FilePath) -> tuple[FilePath, ...]:
    """The files of settings right in a folder, by name; hidden ones, which editors leave, are none. Raises OSError."""
    found = (file for file in folder.iterdir() if file.name.endswith(_ENDINGS) and not file.name.startswith("."))
    return tuple(sorted(found))


def read_folder(folder: FilePath, name_key: str, library: Library) -> tuple[Entry, ...]:
    """The files of a folder, without those that only serve others as a base. Raises OSError."""
    entries = [entry for file in files_in(folder) if (entry := library.entry(file)) is not None]
    return tuple(entry for entry in entries if not _is_base_only(entry, name_key, library))


def digest_of(*values: Value) -> str:
    """SHA-256 over the values, however they were written."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _is_base_only(entry: Entry, name_key: str, library: Library) -> bool:
    return name_key not in entry.chain[0].value and entry.file.resolve() in library.bases
