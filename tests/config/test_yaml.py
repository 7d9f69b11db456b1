"""YAML 1.2 as drd reads it, and where things stand in a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.config.yaml import Spot, Unreadable, Value, parse, position

WORDS = st.characters(exclude_characters="\0", codec="utf-8")
KEYS = st.text(WORDS, min_size=1, max_size=8)
PLAIN = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(WORDS, max_size=12)
TREES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("~", None),
        ("", None),
        ("null", None),
        ("True", True),
        ("'17'", "17"),
        ('"true"', "true"),
        ("9" * 5000, "9" * 5000),
        ("<<", "<<"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(written: str, meant: Value) -> None:
    value = parse(f"key: {written}\n")

    assert value == {"key": meant}
    assert type(value["key"]) is type(meant)


def test_keys_are_words_whatever_they_look_like() -> None:
    assert parse("on: 1\n1: 2\nnull: 3\n") == {"on": 1, "1": 2, "null": 3}


def test_aliases_stand_for_what_they_name() -> None:
    assert parse("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("path", "spot", "place"),
    [
        (("名",), Spot.VALUE, (1, 4)),
        (("键", "b"), Spot.KEY, (2, 14)),
        (("键", "b"), Spot.VALUE, (2, 17)),
        (("键", "b"), Spot.OWNER, (2, 14)),
        (("列", 1, "x"), Spot.VALUE, (5, 9)),
        (("列", 1), Spot.KEY, (5, 5)),
        (("列", 1), Spot.VALUE, (5, 5)),
        ((), Spot.OWNER, (1, 1)),
    ],
)
def test_places_count_characters_from_1_also_after_other_scripts(
    path: tuple[str | int, ...], spot: Spot, place: tuple[int, int]
) -> None:
    text = '名: 直播\n键: {a: "😀录", b: 5}\n列:\n  - x: 1\n  - x:  2\n'

    assert position(text, path, spot) == place


def test_a_single_value_is_found_as_the_first_of_a_list() -> None:
    assert position("source: {files: x}\n", ("source", 0, "files"), Spot.VALUE) == (1, 17)


@pytest.mark.parametrize("text", ["[" * 500_000, "- " * 400_000 + "x", "{a: " * 200_000, "? " * 300_000])
def test_endless_nesting_is_refused_before_the_parser_meets_it(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text)


@given(TREES)
def test_what_is_written_in_flow_style_is_read_again(tree: Value) -> None:
    assert parse(flow(tree)) == tree


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place_inside_it(text: str) -> None:
    lines = text.split("\n")
    try:
        parse(text)
    except Unreadable as error:
        for mistake in error.mistakes:
            assert 1 <= mistake.line <= len(lines)
            assert 1 <= mistake.column <= len(lines[mistake.line - 1]) + 1


def flow(tree: Value) -> str:
    """The tree in YAML's flow style, every text quoted and every unusual character escaped."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(flow, tree)) + "]"
    if isinstance(tree, str):
        return '"' + "".join(escaped(character) for character in tree) + '"'
    return {None: "null", True: "true", False: "false"}.get(tree, str(tree)) if not isinstance(tree, float) else ""


def escaped(character: str) -> str:
    return character if character.isascii() and character.isalnum() else f"\\U{ord(character):08X}"
