"""How values become bytes in the journal and values again.

The stored form is canonical JSON: keys sorted, no spaces, ASCII only, moments in UTC with six decimals and `Z`. The
same event always gives the same bytes, and these bytes are what the chain hashes, so anybody can check it with any JSON
reader and any SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from drd.core.errors import JournalDamaged
from drd.core.events import Body, Event, kinds
from drd.core.upcast import UPCASTERS, Upcasters, upcast

Value = TypeVar("Value")

_INTEGERS = 2**63

_dump = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False).encode
_load = json.JSONDecoder().decode


class Fact(NamedTuple):
    """An event as plainly as it is stored: what the projections read, a million times at a cold start."""

    sequence: int
    at: str
    """A moment in canonical form; such texts sort as the moments do."""
    run: str | None
    kind: str
    body: dict[str, Any]
    """The fields in their current version, still as JSON has them."""


def canonical(value: Any) -> str:
    """Canonical JSON of a plain value. Raises ValueError for NaN and infinities, TypeError for what is not plain."""
    return _dump(value)


def envelope(event: Event) -> dict[str, Any]:
    """All of an event that is hashed, as plain values. Raises ValueError for a naive moment."""
    return {
        "at": moment_text(event.at),
        "body": plain(event.body),
        "boot": event.boot,
        "daemon": event.daemon,
        "kind": event.body.KIND,
        "monotonic_ns": event.monotonic_ns,
        "run": plain(event.run),
        "sequence": event.sequence,
        "term": event.term,
        "version": event.body.VERSION,
    }


def encode(event: Event) -> bytes:
    """The bytes that are stored and hashed. Raises ValueError or TypeError for what cannot be stored faithfully."""
    return canonical(envelope(event)).encode("ascii")


def decode(data: bytes, head: str = "", upcasters: Upcasters = UPCASTERS) -> Event:
    """The event in stored bytes, in the current version of its kind.

    Raises JournalDamaged when they are no event, or one that this drd is too old for.
    """
    stored = _opened(data)
    try:
        kind = _kind(stored["kind"])
        body = _body(kind, upcast(kind.KIND, stored["version"], kind.VERSION, stored["body"], upcasters))
        return Event(
            daemon=stored["daemon"],
            sequence=stored["sequence"],
            at=moment(stored["at"]),
            boot=stored["boot"],
            monotonic_ns=stored["monotonic_ns"],
            run=stored["run"],
            term=stored["term"],
            body=body,
            head=head,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _not_an_event(data, error) from error


def read_fact(data: bytes, upcasters: Upcasters = UPCASTERS) -> Fact:
    """The same in its plain form, which is several times quicker. Raises JournalDamaged as `decode` does."""
    stored = _opened(data)
    try:
        body, kind, version = stored["body"], stored["kind"], stored["version"]
        current = _kind(kind).VERSION
        if version != current:
            body = upcast(kind, version, current, body, upcasters)
        return Fact(stored["sequence"], stored["at"], stored["run"], kind, body)
    except (KeyError, TypeError, ValueError) as error:
        raise _not_an_event(data, error) from error


def moment_text(value: datetime) -> str:
    """A moment in canonical form, as `2026-10-01T02:00:00.000000Z`. Raises ValueError for a naive one."""
    if value.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be stored")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment(text: str) -> datetime:
    """The moment of a canonical text."""
    return datetime.fromisoformat(text)


def plain(value: Any) -> Any:
    r"""A value of the domain as JSON has it: dataclasses as objects, moments and enumerations as texts.

    Half characters, as they stand for undecodable bytes in file names and programs' words, become `\udc80` in letters.
    Raises TypeError for other types, ValueError for naive moments and for integers beyond 64 bits.
    """
    if type(value) is str:
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if type(value) is int and not -_INTEGERS <= value < _INTEGERS:
        raise ValueError("an integer beyond 64 bits cannot be stored in the journal")
    if value is None or type(value) in (int, float, bool):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} cannot be stored in the journal")


def restore(form: type[Value], stored: Mapping[str, Any]) -> Value:
    """A dataclass of the domain from its plain form. Raises TypeError for fields that are missing or unknown."""
    readers = _readers(cast(Any, form))
    return form(
        **{
            name: value if (reader := readers.get(name)) is None or value is None else reader(value)
            for name, value in stored.items()
        }
    )


def body_of(kind: str, fields: Mapping[str, Any]) -> Body:
    """An event's body from its plain form in the current version. Raises JournalDamaged for an unknown kind."""
    return _body(_kind(kind), fields)


_body = restore


def _opened(data: bytes) -> dict[str, Any]:
    try:
        stored = _load(data.decode("ascii"))
    except ValueError as error:
        raise _not_an_event(data, error) from error
    if not isinstance(stored, dict):
        raise _not_an_event(data, None)
    return stored


def _not_an_event(data: bytes, error: Exception | None) -> JournalDamaged:
    reason = f" ({type(error).__name__}: {error})" if error else ""
    return JournalDamaged(
        f"{len(data)} bytes in the journal are not an event{reason}",
        "`drd journal verify` names the first event that does not fit",
    )


def _kind(name: str) -> type[Body]:
    kind = _known().get(name)
    if kind is None:
        kind = kinds().get(name)
        if kind is None:
            raise JournalDamaged(
                f"the journal holds an event {name}, which this drd does not know",
                "install the newer drd that wrote it",
            )
        _known.cache_clear()
    return kind


@cache
def _known() -> dict[str, type[Body]]:
    return kinds()


@cache
def _readers(form: Callable[..., Any]) -> dict[str, Callable[[Any], Any]]:
    """Per field what turns its plain value into the domain's; fields that stay as they are have none."""
    hints = get_type_hints(form)
    readers = {field.name: _reader(hints[field.name]) for field in fields(cast(Any, form))}
    return {name: reader for name, reader in readers.items() if reader is not None}


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        [only] = [choice for choice in inner if choice is not NoneType]
        return _reader(only)
    if origin is tuple:
        return _sequence_reader(_reader(inner[0]))
    if origin is dict:
        return _mapping_reader(_reader(inner[0]), _reader(inner[1]))
    if hint is datetime:
        return moment
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {member.value: member for member in hint}.__getitem__
    if is_dataclass(hint):
        form = cast(type[Any], hint)
        return lambda stored: restore(form, stored)
    return None


def _sequence_reader(item: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return tuple if item is None else lambda stored: tuple(item(each) for each in stored)


def _mapping_reader(key: Callable[[Any], Any] | None, value: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    def read(stored: Mapping[Any, Any]) -> dict[Any, Any]:
        return {key(k) if key else k: value(v) if value else v for k, v in stored.items()}

    return read
