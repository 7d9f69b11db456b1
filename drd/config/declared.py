"""What the files declare, for the rules that look across them: names, and single values of files that have mistakes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from drd.config.documents import Entry, Report
from drd.config.suggest import what_to_write
from drd.config.yaml import Path, Value

_PASSWORD_IN_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:(?!\$)[^/\s@]+@")

Names = Collection[str] | None
"""Names that may be referred to; None where a file that could not be read may declare more."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The names that files may refer to, and where the stores are."""

    sites: Names
    stores: Names
    people: Names
    nodes: Names
    policies: Names
    databases: Collection[str]
    """The policies that have one."""
    runbooks: Names
    here: str | None
    """The site of this daemon."""
    distances: Mapping[str, float]
    """Metres from here, by store; only for stores whose place is known."""
    store_sites: Mapping[str, str]
    immutable: Collection[str]
    """The stores that nobody can delete from."""
    media: Mapping[str, str]
    """Store → its kind, where one stands there."""
    served_by: Mapping[str, Collection[str]]
    """Node → the kinds of server that run there, as `postgres`."""


def typed(entry: Entry, path: Path, kind: Any) -> Any:
    """The value at `path` as `kind`; None where nothing stands there or where it is wrong, which was reported."""
    return typed_value(entry.at(path), kind)


def typed_value(value: Value, kind: Any) -> Any:
    """The value as `kind`, None where it is none."""
    if value is None:
        return None
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError:
        return None


def words(entry: Entry, path: Path) -> Iterator[tuple[Path, str]]:
    """The text at `path`, or the texts of the list there, each with its own path."""
    value = entry.at(path)
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        yield from (((*path, index), item) for index, item in enumerate(value) if isinstance(item, str))


def keys(entry: Entry, path: Path) -> tuple[str, ...]:
    """The keys of the map at `path`."""
    value = entry.at(path)
    return tuple(value) if isinstance(value, dict) else ()


def refer(entry: Entry, path: Path, what: str, known: Names, section: str, report: Report) -> None:
    """Every name at `path` must be known."""
    if known is None:
        return
    for place, name in words(entry, path):
        if name not in known:
            report(entry.problem(place, unknown(what, name, known, section)))


def unknown(what: str, name: str, known: Collection[str], section: str) -> str:
    """The sentence about a name that nothing declares."""
    return f"there is no {what} `{name}`{section}: {what_to_write(name, known) if known else 'add it'}"


def texts(value: Value, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in a value, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*path, index))


def lint_texts(entry: Entry, *, has_variables: bool, report: Report) -> None:
    """No password stands in an address, and `${name}` only in runbooks or in what a program is given."""
    for path, text in texts(entry.value):
        if "://" in text and _PASSWORD_IN_ADDRESS.search(text):
            report(
                entry.problem(
                    path, "a password stands in this address: take it out and refer to it by a key of its own"
                )
            )
        if "${" in text and not has_variables and not {"argv", "command"} & set(path):
            report(entry.problem(path, "`${…}` stands for something in runbooks only: write the value itself"))


def lint_twice(entries: tuple[Entry, ...], key: str, report: Report) -> None:
    """No two files describe the same thing."""
    first: dict[str, Entry] = {}
    for entry in entries:
        name = entry.at((key,))
        if isinstance(name, str) and first.setdefault(name, entry) is not entry:
            report(
                entry.problem((key,), f"{first[name].file} describes the {key} `{name}` as well: rename or remove one")
            )


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
