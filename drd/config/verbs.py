"""Maps that name one kind by its key, as `source: {files: …}`: one optional key a kind, exactly one of them written.

That shape makes pydantic's locations equal to the paths of the file, and the JSON Schema comes for free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, GetJsonSchemaHandler, ValidationError, create_model, model_validator
from pydantic_core import CoreSchema

from drd.core.kinds import Model, Spec

_PREFIX = "verb_"
_TEXTS = ("/srv/backup", "https://backup.example.net/", "drd@backup.example.net:/srv/backup")
"""Texts that stand for a place, to find out which kinds take one."""
Entry = TypeVar("Entry", bound="OneVerb")


class OneVerb(Model):
    """A map with exactly one of several verbs; `with_verbs` adds them to a class of further keys."""

    VERBS: ClassVar[tuple[str, ...]] = ()
    WHAT: ClassVar[str] = "kind"

    @property
    def verb(self) -> str:
        """The key that was written."""
        return next(verb for verb in self.VERBS if getattr(self, _PREFIX + verb) is not None)

    @property
    def kind(self) -> Any:
        """What stands under it."""
        return getattr(self, _PREFIX + self.verb)

    @model_validator(mode="before")
    @classmethod
    def _names_exactly_one(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        named = [verb for verb in cls.VERBS if verb in value]
        unknown = value.keys() - cls.VERBS - {field.alias or name for name, field in cls.model_fields.items()}
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} stand side by side: name one {cls.WHAT} here")
        if not named and not unknown:
            raise ValueError(f"no {cls.WHAT} is named: add one of {', '.join(cls.VERBS)}")
        # `wait:` alone is a verb that needs no keys.
        return value | {verb: {} for verb in named if value[verb] is None}


def with_verbs(entry: type[Entry], what: str, kinds: Mapping[str, type[Spec]], name: str) -> type[Entry]:
    """A class `name` that has the keys of `entry` and one key a kind; `what` names a kind in sentences."""
    fields: dict[str, Any] = {
        _PREFIX + verb: (_written(kind) | None, Field(default=None, alias=verb, description=_first_line(kind)))
        for verb, kind in sorted(kinds.items())
    }
    made = create_model(name, __base__=entry, __doc__=entry.__doc__, **fields)
    made.VERBS = tuple(sorted(kinds))
    made.WHAT = what
    return made


class _TextOrMap:
    """Shows in the JSON Schema that a text may stand for the map."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


def _written(kind: type[Spec]) -> Any:
    """The kind as it may be written: some take a text for their one needed key, as `local: /srv/backup`."""
    return Annotated[kind, _TextOrMap()] if any(_reads(kind, text) for text in _TEXTS) else kind


def _reads(kind: type[Spec], text: str) -> bool:
    try:
        kind.model_validate(text)
    except ValidationError:
        return False
    return True


def _first_line(kind: type[Spec]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]
