"""YAML 1.2 as plain values, and the place of every value in the text.

PyYAML's parser (libyaml) reads the syntax; the meaning of scalars is drd's own, by the core schema of YAML 1.2.2
(section 10.3): `017` is 17, `on`, `yes` and `1:30` are words. `.inf` and `.nan` stay words too, since no setting is
either. Tags are refused, a key that stands twice is an error, and what aliases expand to is capped.

Values carry no positions. Where one is asked for, the text is composed again: errors are rare, and the positions of a
thousand files would take a hundred megabytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final

import yaml

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
"""What a YAML text can say; mappings have text keys only."""
Path = tuple[str | int, ...]
"""Where a value stands: keys of mappings and indexes of lists, from the outside in."""

LARGEST_VALUES: Final = 100_000
"""How many values one text may expand to."""
DEEPEST: Final = 100
"""How deeply values may be nested."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_WITH_BASE: Final = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]{1,25}|[0-9]{1,25}(?:\.[0-9]{0,25})?)(?:[eE][-+]?[0-9]{1,2})?")
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_SUSPICIOUSLY_DEEP: Final = re.compile(r"(?:[-?:][ \t]+){20}")
_PLAIN: Final = frozenset({None, ""})
_TAGS: Final[dict[type[yaml.Node], str]] = {
    yaml.ScalarNode: "tag:yaml.org,2002:str",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.MappingNode: "tag:yaml.org,2002:map",
}
_OWN_TAGS: Final = frozenset(_TAGS.values())
_TOO_DEEP: Final = f"values are nested more than {DEEPEST} deep: flatten them"

_SENTENCES: Final = {
    "mapping values are not allowed in this context": (
        "a `key:` is not expected here: check the indentation, or put a text that holds `: ` in quotes"
    ),
    "could not find expected ':'": "this line is no `key: value`: add the colon, or indent it under its key",
    "did not find expected key": "this line does not line up with the keys above it: check the indentation",
    "did not find expected '-' indicator": "this line does not line up with the list above it: begin it with `- `",
    "did not find expected ',' or ']'": "this list is not closed: write `]`, and `,` between values",
    "did not find expected ',' or '}'": "this map is not closed: write `}`, and `,` between keys",
    "did not find expected node content": "a value is missing here",
    "found unexpected end of stream": "the quoted text is not closed: write its closing quote",
    "found unexpected document indicator": "the quoted text is not closed: write its closing quote",
    "found undefined alias": "the alias names no anchor above it: write the value itself",
    "found unknown escape character": r"the backslash escapes nothing here: write `\\`, or use single quotes",
    "found a tab character where an indentation space is expected": "a tab indents this line: write spaces",
    "found a tab character that violates indentation": "a tab indents this line: write spaces",
    "but found another document": "a second document begins here: keep one document in a file",
    "did not find expected <document start>": "nothing may follow the end of the document: remove it",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that keeps a text from being read; `line` and `column` count characters from 1."""

    message: str
    line: int = 1
    column: int = 1


class Unreadable(Exception):
    """A text that cannot be had, or is not YAML that drd reads."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__(*mistakes)
        self.mistakes = mistakes


class Spot(Enum):
    """Which place of a path is meant."""

    KEY = "the key, for a key that is unknown"
    VALUE = "the value, for a value that is wrong"
    OWNER = "the key that the value belongs to, for what is missing in it"


@dataclass(slots=True)
class _Reader:
    """Turns nodes into values, and counts them."""

    text: str
    mistakes: list[Mistake]
    left: int = LARGEST_VALUES
    around: set[int] = field(default_factory=set)
    """The collections that the value being read stands in."""

    def value(self, node: yaml.Node, depth: int = 0) -> Value:
        place = node.start_mark.index
        self.left -= 1
        if self.left < 0:
            raise self._unreadable(place, f"the file says more than {LARGEST_VALUES:,} values: use fewer aliases")
        if depth > DEEPEST:
            raise self._unreadable(place, _TOO_DEEP)
        if self.text.startswith("!", place) or node.tag not in _OWN_TAGS:
            self._note(place, "tags are not used here: remove the word that begins with `!`")
        if isinstance(node, yaml.ScalarNode):
            if "\0" in node.value:
                self._note(place, "a text holds U+0000 here: remove the escape")
            return scalar(node.value) if node.style in _PLAIN else str(node.value)
        if id(node) in self.around:
            raise self._unreadable(place, "an alias stands inside what it names: write the value itself")
        self.around.add(id(node))
        found = self._sequence(node, depth) if isinstance(node, yaml.SequenceNode) else self._mapping(node, depth)
        self.around.discard(id(node))
        return found

    def _sequence(self, node: yaml.Node, depth: int) -> list[Value]:
        return [self.value(item, depth + 1) for item in node.value]

    def _mapping(self, node: yaml.Node, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        places: dict[str, int] = {}
        for key, item in node.value:
            place = key.start_mark.index
            if not isinstance(key, yaml.ScalarNode):
                self._note(place, "a key is one word: write it before a colon")
            elif key.value in found:
                first = _place(self.text, places[key.value])[0]
                self._note(place, f"`{key.value}` stands here a second time: keep this one or the one in line {first}")
            else:
                places[key.value] = place
                found[key.value] = self.value(item, depth + 1)
        return found

    def _note(self, index: int, message: str) -> None:
        self.mistakes.append(_mistake(self.text, index, message))

    def _unreadable(self, index: int, message: str) -> Unreadable:
        return Unreadable(*self.mistakes, _mistake(self.text, index, message))


class _Composer(yaml.CSafeLoader):
    """Composes nodes and resolves no scalar: YAML 1.1's rules stay out."""

    def resolve(self, kind: type[yaml.Node], value: object, implicit: object) -> str:
        """The tag of a node that has none of its own: a text, a list or a map."""
        del value, implicit
        return _TAGS[kind]


def parse(text: str) -> Value:
    """The value that `text` stands for; None for an empty one. Raises `Unreadable` with all mistakes."""
    node = _compose(text)
    if node is None:
        return None
    reader = _Reader(text, [])
    value = reader.value(node)
    if reader.mistakes:
        raise Unreadable(*reader.mistakes)
    return value


def scalar(text: str) -> Value:
    """What a plain scalar means by the core schema; anything that is no null, boolean or number is text."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    if _WITH_BASE.fullmatch(text):
        return int(text, base=0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def forget_positions() -> None:
    """Let go of the texts whose positions were asked for last."""
    _compose.cache_clear()


def position(text: str, path: Path, spot: Spot) -> tuple[int, int] | None:
    """Line and column of the place that `path` names, None if it is not in the text."""
    root = _compose(text)
    if root is None:
        return None if path else (1, 1)
    key_mark, node = root.start_mark, root
    for step in path:
        if isinstance(step, int) and not isinstance(node, yaml.SequenceNode):
            continue  # one value that stands for a list of one
        found = _child(node, step)
        if found is None:
            return None
        key_mark, node = found
    mark = node.start_mark if spot is Spot.VALUE else key_mark
    return _place(text, _index(mark))


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Mark, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode):
        if not isinstance(step, int) or step >= len(node.value):
            return None
        return node.value[step].start_mark, node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return key.start_mark, item
    return None


@lru_cache(maxsize=2)
def _compose(text: str) -> yaml.Node | None:
    """The text's nodes. Kept for the last texts only, for a file's mistakes are asked for one after another."""
    if found := _FORBIDDEN.search(text):
        message = f"an invisible character (U+{ord(found[0]):04X}) stands here: remove it"
        raise Unreadable(_mistake(text, found.start(), message))
    try:
        _refuse_depth(text)
        return yaml.compose(text, Loader=_Composer)
    except yaml.MarkedYAMLError as error:
        raise Unreadable(_translated(text, error)) from None


def _refuse_depth(text: str) -> None:
    """Look at the events alone first where nesting may be deep: the composer recurses in C, without a limit."""
    if text.count("[") + text.count("{") <= DEEPEST and not _SUSPICIOUSLY_DEEP.search(text):
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Composer):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise Unreadable(_mistake(text, _index(event.start_mark), _TOO_DEEP))


def _translated(text: str, error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    index = min(_index(mark), len(text))
    problem = error.problem or ""
    if problem == "found character that cannot start any token":
        character = text[index : index + 1]
        if character == "\t":
            return _mistake(text, index, "a tab indents this line: write spaces")
        return _mistake(text, index, f"a text cannot begin with `{character}`: put it in quotes")
    if error.context_mark and (problem.startswith("did not find expected ',' or") or "end of stream" in problem):
        index = _index(error.context_mark)  # where it was opened helps; the end of the file does not
    return _mistake(text, index, _SENTENCES.get(problem, f"this is not YAML: {problem}"))


def _index(mark: object) -> int:
    """Where in the text a mark stands; the parser in C has a class of its own for it."""
    return int(getattr(mark, "index", 0))


def _mistake(text: str, index: int, message: str) -> Mistake:
    return Mistake(message, *_place(text, index))


def _place(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1; what lies behind a final line end counts as the end of the last line."""
    if index >= len(text) and text.endswith("\n"):
        index = len(text) - 1
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
