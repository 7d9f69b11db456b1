"""Whatever is done to a sound file, loading succeeds or tells what is wrong at a place inside the file."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drd.config.problems import ConfigurationErrors, Problem
from tests.config.arranging import SOUND, loaded

FILES = ["drd.yaml", "policies/orders.yaml", "runbooks/orders-failover.yaml"]
LINES = {name: (SOUND / name).read_text().split("\n") for name in FILES}
JUNK = st.text(max_size=20) | st.sampled_from(
    ["\t", "  ", "- ", "? ", "*x", "&x", "!!str x", "{", "}", "[", "]", "null", "on", "017", "'", '"', "---", "|", ">",
     "${x}", "直播", "1e400", "99999999999d", "5 %", "-1", "{a: [", "extends: drd.yaml", "<<: *x", "...", "%YAML 1.1"]
)  # fmt: skip


@st.composite
def broken_files(draw: st.DrawFn) -> tuple[str, str]:
    """A sound file after one to four things were done to its lines."""
    name = draw(st.sampled_from(FILES))
    lines = list(LINES[name])
    for _ in range(draw(st.integers(1, 4))):
        if not lines:
            break
        index = draw(st.integers(0, len(lines) - 1))
        done = draw(st.sampled_from(["delete", "repeat", "swap", "cut", "replace", "value", "insert", "indent"]))
        line = lines[index]
        column = draw(st.integers(0, len(line)))
        if done == "delete":
            del lines[index]
        elif done == "repeat":
            lines.insert(index, line)
        elif done == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[index], lines[other] = lines[other], lines[index]
        elif done == "cut":
            lines[index] = line[:column]
        elif done == "replace":
            lines[index] = draw(JUNK)
        elif done == "value":
            lines[index] = f"{line.partition(':')[0]}: {draw(JUNK)}"
        elif done == "insert":
            lines[index] = line[:column] + draw(JUNK) + line[column:]
        else:
            lines[index] = " " * draw(st.integers(1, 3)) + line
    return name, "\n".join(lines)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.slow
@settings(max_examples=300)
@given(broken=broken_files())
def test_a_mutated_file_is_read_or_told_with_places_inside_it(folder: Path, broken: tuple[str, str]) -> None:
    name, text = broken
    shutil.copytree(SOUND, folder, dirs_exist_ok=True)
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))

    for problem in problems_of(folder / "drd.yaml"):
        assert problem.message
        assert "\n" not in problem.message
        content = Path(problem.file).read_bytes().decode("utf-8", "surrogateescape")
        lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


def problems_of(file: Path) -> tuple[Problem, ...]:
    try:
        loaded(file)
    except ConfigurationErrors as errors:
        return errors.problems
    return ()
