"""The reference of all keys, as Markdown, from the same models that read the files: `docs/configuration.md` is this."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from drd.config.kinds import Kinds
from drd.config.schema import What, json_schema
from drd.core.runbook import VARIABLES

Definitions = Mapping[str, Mapping[str, Any]]

_REF: Final = "#/$defs/"
_FILES: Final[tuple[tuple[What, str, str], ...]] = (
    ("settings", "drd.yaml", "This machine's daemon. `DRD_…` variables of the environment win over it."),
    ("policy", "policies/*.yaml", "What protects one service; one file each, right in the folder."),
    ("runbook", "runbooks/*.yaml", "What to do when a service is lost; one file each, right in the folder."),
)
_INTRODUCTION: Final = """\
# Configuration reference

<!-- Made from the models by drd.config.reference: change those, not this file. -->

Every file is YAML 1.2: `017` is 17, `on` is a word, a key that stands twice is an error. Durations, sizes, rates,
distances and shares carry a unit (`30s`, `15m`, `64 MiB`, `50 MiB/s`, `500 km`, `30 %`); a bare number is an error. An
unknown key is an error. `drd validate` tells all mistakes of all files at once, as `file:line:column: message`.

**Secrets never stand in a file.** Where a secret is needed, write where it is read: `{credential: NAME}` for a systemd
credential, `{file: PATH}`, `{env: NAME}`, or `{command: [PROGRAM, …]}`. The last three are read at each use, a
credential at start.

**`extends: FILE`** begins a file from another one beside it: maps merge, lists replace, `null` removes a key. A base
need not be complete; a base that has no name of its own (`policy:`, `runbook:`) is no policy or runbook itself.

**Environment.** `DRD_SITE=xian` sets `site`, `DRD_HTTP__LISTEN=127.0.0.1:9476` sets `listen` of `http`: the prefix
`DRD_`, the key in capitals, and two underscores for each map that it stands in. The value is read as in a file. A name
that begins with `DRD_` and is no setting is an error, except `DRD_CONFIG`, which names drd.yaml for the command line.
"""


def configuration_reference(kinds: Kinds) -> str:
    """Every key of every file: how it is written, its default and its meaning."""
    parts = [_INTRODUCTION]
    shown: dict[str, Mapping[str, Any]] = {}
    for what, title, meaning in _FILES:
        schema = json_schema(what, kinds)
        required = schema["anyOf"][0]["required"]
        parts.append(f"## {title}\n\n{meaning}\n")
        definitions = schema["$defs"]
        parts.append(_table(schema["properties"], required, definitions))
        for name in _in_order_of_use(schema):
            if name not in shown:
                shown[name] = definitions[name]
                parts.append(_section(name, definitions))
            elif shown[name] != definitions[name]:
                raise ValueError(f"two models that differ are called {name}: the links to one lead to the other")
    parts.append(_variables())
    return "\n".join(parts)


def _section(name: str, definitions: Definitions) -> str:
    schema = definitions[name]
    words = " ".join(str(schema.get("description", "")).split("\n\n")[0].split())
    return f"### {name}\n\n{words}\n\n" + _table(schema["properties"], schema.get("required", []), definitions)


def _table(properties: Mapping[str, Any], required: list[str], definitions: Definitions) -> str:
    rows = ["| key | how it is written | default | meaning |", "|---|---|---|---|"]
    for key, schema in properties.items():
        default = "**needed**" if key in required else _default(schema)
        cells = (f"`{key}`", _written(schema, definitions), default, _meaning(schema, definitions))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _default(schema: Mapping[str, Any]) -> str:
    value = schema.get("default", "")
    return f"`{value if isinstance(value, str) else json.dumps(value)}`" if value != "" else ""


def _meaning(schema: Mapping[str, Any], definitions: Definitions) -> str:
    """The key's own words, else those of the map that stands there."""
    referred = definitions.get(str(schema.get("$ref", "")).removeprefix(_REF), {})
    return " ".join(str(schema.get("description") or referred.get("description", "")).split())


def _written(schema: Mapping[str, Any], definitions: Definitions) -> str:
    """How a value is written, in words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        is_map = "properties" in definitions[name]
        return f"[{name}](#{name.lower()})" if is_map else _written(definitions[name], definitions)
    if "anyOf" in schema:
        choices = [_written(choice, definitions) for choice in schema["anyOf"] if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(choices))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("examples"):
        return f"as `{schema['examples'][0]}`"
    if schema.get("type") == "array":
        return f"list of: {_written(schema.get('items', {}), definitions)}"
    if schema.get("type") == "object":
        return f"map of names to: {_written(_values(schema), definitions)}"
    return "path" if schema.get("format") == "path" else _SIMPLE.get(str(schema.get("type")), "text")


def _values(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands under the names of a map."""
    values: Mapping[str, Any] = schema.get("additionalProperties") or {}
    for found in schema.get("patternProperties", {}).values():
        values = found
    return values


_SIMPLE: Final = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}


def _in_order_of_use(schema: Mapping[str, Any]) -> Iterator[str]:
    """The definitions that are maps, each behind the one that first mentions it; choices are shown where they stand."""
    ahead, seen = list(_mentioned(schema["properties"])), set[str]()
    while ahead:
        name = ahead.pop(0)
        if name in seen:
            continue
        seen.add(name)
        definition = schema["$defs"][name]
        if "properties" in definition:
            yield name
        ahead = [*_mentioned(definition), *ahead]


def _mentioned(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield str(value["$ref"]).removeprefix(_REF)
        for item in value.values():
            yield from _mentioned(item)
    elif isinstance(value, list):
        for item in value:
            yield from _mentioned(item)


def _variables() -> str:
    rows = ["## Variables of runbooks", "", "| write | what stands there when a step runs |", "|---|---|"]
    rows += [f"| `${{{name}}}` | {meaning} |" for name, meaning in VARIABLES.items()]
    return "\n".join(rows) + "\n\n`$${` stands for `${` where a shell is to read it.\n"
