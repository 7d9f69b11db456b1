"""What a model expects at a path: the keys it knows there, and its description."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from drd.config.yaml import Path


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model that reads the map at `path`, None if there is none."""
    expected: Any = model
    for step in path:
        expected = _below(expected, step)
        if expected is None:
            return None
    return next(_models(expected), None)


def keys_at(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The keys that may stand in the map at `path`."""
    found = model_at(model, path)
    return tuple(_key(name, field) for name, field in found.model_fields.items()) if found else ()


def meaning_at(model: type[BaseModel], path: Path) -> str:
    """The first sentence about the key that `path` ends in, empty if there is none."""
    named = next((index for index in range(len(path) - 1, -1, -1) if isinstance(path[index], str)), 0)
    owner = model_at(model, path[:named])
    for name, field in owner.model_fields.items() if owner else ():
        if path and _key(name, field) == path[named]:
            return " ".join((field.description or "").split()).partition(". ")[0].rstrip(".")
    return ""


def _key(name: str, field: FieldInfo) -> str:
    return field.alias or name


def _below(expected: Any, step: str | int) -> Any:
    """What stands under a key or an index of what is expected; optional values and lists of one are looked through."""
    for candidate in _choices(expected):
        origin = get_origin(candidate)
        if isinstance(step, int) and origin in (tuple, list):
            return get_args(candidate)[0]
        if isinstance(step, str) and origin is dict:
            return get_args(candidate)[1]
        if isinstance(step, str) and isinstance(candidate, type) and issubclass(candidate, BaseModel):
            for name, field in candidate.model_fields.items():
                if _key(name, field) == step:
                    return field.annotation
    return None


def _choices(expected: Any) -> Iterator[Any]:
    origin = get_origin(expected)
    if origin is Annotated:
        yield from _choices(get_args(expected)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(expected):
            yield from _choices(member)
    elif expected is not types.NoneType:
        yield expected


def _models(expected: Any) -> Iterator[type[BaseModel]]:
    return (found for found in _choices(expected) if isinstance(found, type) and issubclass(found, BaseModel))
