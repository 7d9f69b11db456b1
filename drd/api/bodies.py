"""Reading what a request brings."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import Request

from drd.core.errors import UsageError

Words = Annotated[str, Field(max_length=1000)]
LongWords = Annotated[str, Field(max_length=20_000)]
LONGEST_BODY_BYTES: Final = 4 * 2**20
Asked = TypeVar("Asked", bound=BaseModel)


async def body_of(request: Request, kind: type[Asked], hint: str = "is drd of one version?") -> Asked:
    """The request's body; raises `UsageError` that says what is wrong with it."""
    try:
        return TypeAdapter(kind).validate_json(await _read(request))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"the request is not understood: {place}: {first['msg']}", hint) from error


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY_BYTES:
            raise UsageError(f"the request has more than {LONGEST_BODY_BYTES} bytes", "send less at once")
    return bytes(body)
