"""What errors, alerts and runbooks tell people to type is a command that exists, with its arguments and options."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from drd.cli.program import main
from tests.docs.pages import REPOSITORY
from tests.docs.test_pages import COMMANDS, options

_TYPED = re.compile(r"""[Tt]ype: (?:sudo -u \S+ )?drd ([a-z][^"';,\n]*)""")
_NAMED = re.compile(rf"""(?:: |\bor |first: )drd ((?:{"|".join(main.commands)})\b[^"';,\n]*)""")
"""Also where nobody says \"type\", but a command follows the name, so that it is no sentence about drd."""
_ALONE = re.compile(rf"""[f(, ]"drd ((?:{"|".join(main.commands)})\b(?!:)[^"]*)\"""")
"""The whole of a hint."""
PLACES = (
    *(REPOSITORY / "drd").rglob("*.py"),
    *(REPOSITORY / "runbooks").glob("*.yaml"),
    *(REPOSITORY / "monitoring").glob("*.yaml"),
)


def hints() -> Iterator[tuple[Path, str]]:
    """Every command that a hint names, with braces and templates as single words."""
    for place in PLACES:
        text = re.sub(r"\{\{[^}]*\}\}|\{[^}]*\}", "X", place.read_text())
        for found in (found for pattern in (_TYPED, _NAMED, _ALONE) for found in pattern.finditer(text)):
            yield place.relative_to(REPOSITORY), found[1].split("  or  ")[0].strip(" `.)")


def what_is_wrong(command: str) -> str | None:
    words = command.split()
    names = next((tuple(words[:count]) for count in (2, 1) if tuple(words[:count]) in COMMANDS), None)
    if names is None:
        return "there is no such command"
    if "--help" in words:
        return None
    found = COMMANDS[names]
    unknown = {word for word in words if word.startswith("--")} - options(found)
    if unknown:
        return f"there is no option {', '.join(sorted(unknown))}"
    needed = sum(isinstance(each, click.Argument) and each.required for each in found.params)
    given = [word for word in words[len(names) :] if not word.startswith("--")]
    return "it lacks an argument" if len(given) < needed else None


def test_every_hint_can_be_typed() -> None:
    wrong = [f"{place}: drd {command}: {why}" for place, command in hints() if (why := what_is_wrong(command))]
    assert not wrong


def test_hints_are_found_at_all() -> None:
    assert sum(1 for _ in hints()) > 40
