"""pydantic's errors as plain sentences: each says what to write instead, and none shows pydantic's own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from drd.config.shape import keys_at, meaning_at, model_at
from drd.config.suggest import what_to_write
from drd.config.yaml import Path, Spot

_KEY: Final = "[key]"
_SHOWN: Final = 40
"""A longer value is not repeated."""
_NUMBER: Final = "write a whole number, as 3"
_PATTERNS: Final = {
    r"^[a-z0-9][a-z0-9-]{0,62}$": "write a name of at most 63 lower-case letters, digits and hyphens, as `orders-1`",
    r"^([a-z0-9][a-z0-9-]{0,62}|[a-z]+_[a-z]+|\$\{\w+\})$": (
        "write a node's name, as `orders-1`, or a role: primary, standby, best_standby, old_primary, "
        "new_primary or other_standbys"
    ),
    "^https?://.+": "write an address, as https://status.example.net/hook",
    r"^[A-Za-z0-9_.-]+$": "write the name of a systemd credential, as `restic-local`",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "write the name of an environment variable, as `S3_KEY`",
}


def explained(error: ErrorDetails, model: type[BaseModel]) -> tuple[Path, Spot, str]:
    """Where an error of `model` stands, and the sentence that says what to write there."""
    path: Path = error["loc"]
    if path and path[-1] == _KEY:
        return path[:-1], Spot.KEY, _of_value(error)
    if error["type"] == "extra_forbidden":
        return path, Spot.KEY, unknown_key(str(path[-1]), model, path[:-1])
    if error["type"] == "missing":
        return path[:-1], Spot.OWNER, f"`{path[-1]}` is missing{_inside(path)}: add `{path[-1]}:`"
    sentence = _of_value(error)
    if not sentence:
        meaning = meaning_at(model, path)
        sentence = f"correct it, for it means this: {meaning[:1].lower()}{meaning[1:]}"
    named = next((step for step in reversed(path) if isinstance(step, str)), None)
    is_a_map_of_a_list = isinstance(error["input"], dict) and path != () and isinstance(path[-1], int)
    return path, Spot.VALUE, sentence if named is None or is_a_map_of_a_list else f"`{named}`: {sentence}"


def is_echo(error: ErrorDetails) -> bool:
    """Whether the error only says that a list has too few values because those that it has are wrong themselves."""
    given = error["input"]
    return error["type"] == "too_short" and (not isinstance(given, list | tuple | dict) or len(given) > 0)


def unknown_key(key: str, model: type[BaseModel], path: Path) -> str:
    """The sentence about a key that `model` does not know at `path`."""
    owner = model_at(model, path)
    if key in getattr(owner, "LATER", ()):
        return f"`{key}` is not supported by this version of drd: remove it"
    return f"`{key}` is unknown here: {what_to_write(key, keys_at(model, path))}"


def _inside(path: Path) -> str:
    if len(path) < 2:
        return ""
    return " here" if isinstance(path[-2], int) else f" in `{path[-2]}`"


def _of_value(error: ErrorDetails) -> str:
    """The sentence about a wrong value; empty for a text that does not fit a pattern that only its kind knows."""
    context: Mapping[str, Any] = error.get("ctx", {})
    kind = error["type"]
    if kind in _BY_CONTEXT:
        return _BY_CONTEXT[kind](context, error["input"])
    for ending, sentence in _BY_ENDING.items():
        if kind.startswith(ending):
            return sentence
    return error["msg"][:1].lower() + error["msg"][1:]


def _choice(context: Mapping[str, Any], value: object) -> str:
    expected = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
    subject = (
        f"`{value}` is no choice here" if isinstance(value, str) and len(value) <= _SHOWN else "it is no choice here"
    )
    return f"{subject}: {what_to_write(str(value), expected)}"


def _pattern(context: Mapping[str, Any], _value: object) -> str:
    pattern = str(context["pattern"])
    choices = pattern.removeprefix("^(").removesuffix(")$")
    if choices.replace("|", "").isalpha():
        return f"write one of {', '.join(f'`{word}`' for word in choices.split('|'))}"
    return _PATTERNS.get(pattern, "")


_BY_CONTEXT: Final[dict[str, Callable[[Mapping[str, Any], object], str]]] = {
    "value_error": lambda context, _: str(context["error"]),
    "enum": _choice,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "greater_than_equal": lambda context, _: f"write a number of at least {context['ge']:g}",
    "greater_than": lambda context, _: f"write a number greater than {context['gt']:g}",
    "less_than_equal": lambda context, _: f"write a number of at most {context['le']:g}",
    "less_than": lambda context, _: f"write a number less than {context['lt']:g}",
    "too_short": lambda *_: "name at least one",
    "too_long": lambda context, _: f"name at most {context['max_length']}",
    "string_too_short": lambda *_: "write a text that is not empty",
    "string_too_long": lambda context, _: f"write at most {context['max_length']} characters",
}
_BY_ENDING: Final = {
    "int_": _NUMBER,
    "float_": "write a number, as 30.25",
    "finite_number": "write a number, as 30.25",
    "bool_": "write `true` or `false`",
    "string_": "write a text (in quotes if it looks like a number)",
    "path_": "write a path, as /srv/backup",
    "tuple_": "write a list, as [a, b]",
    "list_": "write a list, as [a, b]",
    "dict_": "write keys with their values, as `key: value`",
    "model_": "write keys with their values, as `key: value`",
    "mapping_": "write keys with their values, as `key: value`",
    "url_": "write an address, as https://s3.example.net",
}
