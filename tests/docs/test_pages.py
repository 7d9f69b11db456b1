"""What the pages say beside commands: links, names of commands, options, metrics and actions, the version."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from drd import __version__
from drd.app.kinds import find_kinds
from drd.cli.program import main
from drd.core.standing import PolicyState
from tests.docs.pages import PAGES, REPOSITORY, TYPED, anchor, blocks, typed_lines

OPERATING = (REPOSITORY / "docs" / "operating.md").read_text()
README = (REPOSITORY / "README.md").read_text()
OTHERS = (REPOSITORY / "CHANGELOG.md", REPOSITORY / "CONTRIBUTING.md")


def commands(group: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that name it."""
    if not isinstance(group, click.Group):
        yield names, group
        return
    for name, command in group.commands.items():
        yield from commands(command, *names, name)


COMMANDS = dict(commands(main))


def options(command: click.Command) -> set[str]:
    return {word for each in command.params if isinstance(each, click.Option) for word in each.opts}


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_and_each_of_its_options_is_in_the_guide_or_the_readme(names: tuple[str, ...]) -> None:
    told = OPERATING + README + (REPOSITORY / "docs" / "runbooks.md").read_text()
    assert f"drd {' '.join(names)}" in told
    missing = {option for option in options(COMMANDS[names]) if not re.search(rf"{option}(?![\w-])", told)}
    assert not missing


def test_every_command_that_the_pages_name_exists_with_its_options() -> None:
    wrong = []
    quoted = [
        (page.name, tuple(found[1].split()))
        for page in PAGES
        for found in re.finditer(r"`drd ([a-z][^`\n]*)`", page.read_text())
    ]
    typed = [(line.place, line.words[1:]) for line in typed_lines() if line.words[0] == "drd"]
    for place, words in (*quoted, *typed):
        named = next((COMMANDS[words[:count]] for count in (1, 2) if words[:count] in COMMANDS), None)
        is_group = len(words) == 1 and isinstance(main.commands.get(words[0]), click.Group)
        known = set() if named is None else options(named) | {"--help", "-h"}
        if (named is None and not is_group) or {word for word in words if word.startswith("--")} - known:
            wrong.append((place, " ".join(words)))
    assert not wrong


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    broken = []
    for page in (*PAGES, *OTHERS):
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
            path, _, section = target.partition("#")
            leads_to = (page.parent / path).resolve() if path else page
            if not leads_to.exists() or (section and section not in headings(leads_to)):
                broken.append(f"{page.name}: {target}")
    assert not broken


def headings(page: Path) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__


def test_the_guide_lists_exactly_the_metrics_that_there_are() -> None:
    modules = (REPOSITORY / "drd" / "reports").glob("metrics*.py")
    exposed = {name for module in modules for name in re.findall(r'"(drd_[a-z_]+)"', module.read_text())}
    assert set(re.findall(r"^\| `(drd_[a-z_]+)`", OPERATING, re.MULTILINE)) == exposed


def test_the_guide_explains_exactly_the_states_that_there_are() -> None:
    policies, stores = (
        set(re.findall(r"^\| `([a-z ]+)` \|", table, re.MULTILINE))
        for table in re.findall(r"^The state of a \*\*\w+\*\*.*?\n((?:\n?\|.*\n)+)", OPERATING, re.MULTILINE)
    )
    assert policies == set(get_args(PolicyState))
    told = re.findall(r'"state": "([a-z ]+)"|state="([a-z ]+)"', (REPOSITORY / "drd/daemon/status.py").read_text())
    assert stores == {first or second for first, second in told}


def test_the_runbooks_page_lists_exactly_the_actions_that_there_are_in_their_own_words() -> None:
    text = (REPOSITORY / "docs" / "runbooks.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text.partition("## The actions")[2], re.MULTILINE))
    assert listed == {
        kind: (inspect.getdoc(action) or "").splitlines()[0] for kind, action in find_kinds().actions.items()
    }


def test_every_measurement_is_described_and_every_described_one_is_there() -> None:
    described = set(re.findall(r"-m bench\.(\w+)", (REPOSITORY / "docs" / "measurements.md").read_text()))
    programs = {
        program.stem for program in (REPOSITORY / "bench").glob("[a-z]*.py") if "__main__" in program.read_text()
    }
    assert described == programs


def test_lines_stay_readable_in_a_terminal() -> None:
    long = [
        f"{page.name}:{number}"
        for page in TYPED
        for number, line in enumerate(page.read_text().splitlines(), start=1)
        if len(line) > 130 and not line.startswith("|")
    ]
    assert not long


def test_every_credential_of_the_first_drd_yaml_is_made_and_loaded() -> None:
    guide = REPOSITORY / "docs" / "operating.md"
    [drop_in] = [block.text for block in blocks(guide, "ini")]
    [settings] = [block.text for block in blocks(guide, "yaml") if block.text.startswith("site:")]
    wanted = set(re.findall(r"\{credential: ([\w-]+)\}", settings))
    loaded = dict(re.findall(r"^LoadCredential=([\w-]+):(\S+)$", drop_in, re.MULTILINE))
    made = {line.words[-1] for line in typed_lines() if line.words[0] == "install"}
    assert wanted == set(loaded)
    assert set(loaded.values()) <= made


def test_the_drop_in_of_the_guide_uses_what_the_unit_leaves_to_it() -> None:
    [drop_in] = [block.text for block in blocks(REPOSITORY / "docs" / "operating.md", "ini")]
    unit = (REPOSITORY / "systemd" / "drd.service").read_text()
    assert all(f"\n#{key}=" in unit for key in re.findall(r"^(\w+)=", drop_in, re.MULTILINE))
