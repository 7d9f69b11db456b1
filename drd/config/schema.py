"""JSON Schema of what people write, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from drd.config.documents import EXTENDS
from drd.config.kinds import Kinds
from drd.config.policies import policy_model
from drd.config.runbooks import runbook_model
from drd.config.settings import settings_model
from drd.core.runbook import VARIABLES

What = Literal["policy", "runbook", "settings"]
WHATS: Final[tuple[What, ...]] = ("policy", "runbook", "settings")
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def model_of(what: str, kinds: Kinds) -> type[BaseModel]:
    """The model that reads a file. Raises ValueError for an unknown `what`."""
    if what == "policy":
        return policy_model(kinds)
    if what == "runbook":
        return runbook_model(kinds)
    if what == "settings":
        return settings_model(kinds)
    raise ValueError(f"there is no schema of {what}; name one of {', '.join(WHATS)}")


def json_schema(what: str, kinds: Kinds) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy, a runbook or drd.yaml. Raises ValueError for an unknown `what`."""
    schema = model_of(what, kinds).model_json_schema(by_alias=True, schema_generator=_Untitled)
    extends = {
        "type": "string",
        "description": "A file that this one extends: maps merge, lists replace, null removes.",
    }
    schema["properties"] = {EXTENDS: extends, **schema["properties"]}
    # What a base gives need not be repeated.
    schema["anyOf"] = [{"required": schema.pop("required", [])}, {"required": [EXTENDS]}]
    if what == "runbook":
        schema["x-variables"] = {f"${{{name}}}": meaning for name, meaning in VARIABLES.items()}
    return {"$schema": _DIALECT, **schema}


class _Untitled(GenerateJsonSchema):
    """Without the titles that pydantic makes of the keys: they say nothing that the key does not."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """A key with its default as a file writes it; nothing, an empty list and a whole map are none worth showing."""
        made = super().default_schema(schema)
        if not isinstance(made.get("default"), str | int | float):
            made.pop("default", None)
        return made
