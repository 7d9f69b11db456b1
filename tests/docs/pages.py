"""The pages that people read, taken apart: fenced blocks, commands, links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
TYPED = tuple(page for page in PAGES if page.name not in ("architecture.md", "configuration.md"))
"""Pages that say what to type."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Block:
    """A fenced block and where it begins."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Typed:
    """One line of a shell block, without its comment, as words."""

    place: str
    settings: dict[str, str]
    """Variables that stand before the program."""
    words: tuple[str, ...]
    text: str
    """As it stands there."""


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])
        for found in _FENCE.finditer(text)
        if found[1] in languages
    ]


def all_blocks(*languages: str) -> list[Block]:
    return [block for page in TYPED for block in blocks(page, *languages)]


def typed_lines() -> Iterator[Typed]:
    """Every line of every `sh` block, in the order of reading."""
    for block in all_blocks("sh"):
        for number, line in enumerate(block.text.splitlines()):
            words = shlex.split(line, comments=True)
            settings = {}
            while words and _ASSIGNMENT.fullmatch(words[0]):
                name, _, value = words.pop(0).partition("=")
                settings[name] = value
            if words:
                yield Typed(f"{block.page.name}:{block.line + number}", settings, tuple(words), line)


def anchor(heading: str) -> str:
    """What a heading is called in links: lower case, without punctuation, blanks as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
