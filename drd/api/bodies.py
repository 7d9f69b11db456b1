"""Reading what a request brings."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import Request

from drd.core.errors import UsageError

Words = Annotated[str, Field(max_length=1000)]
LongWords = Annotated[str, Field(max_length=20_000)]
Asked = TypeVar("Asked", bound=BaseModel)


async def body_of(request: Request, kind: type[Asked]) -> Asked:
    """The request's body; raises `UsageError` that says what is wrong with it."""
    try:
        return TypeAdapter(kind).validate_json(await request.body())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"the request is not understood: {place}: {first['msg']}", "is drd of one version?") from error
