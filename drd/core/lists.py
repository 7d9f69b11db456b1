"""Settings that take one value or a list of them."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic_core import CoreSchema

Item = TypeVar("Item")


class _OneOrList:
    """Shows in the JSON Schema that a single value may stand for a list of one."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


def _listed(value: object) -> object:
    return value if value is None or isinstance(value, list | tuple) else [value]


OneOrMany = Annotated[tuple[Item, ...], BeforeValidator(_listed), _OneOrList()]
"""A tuple that a file may write as a single value."""
