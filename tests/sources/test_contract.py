"""What every kind of source keeps to, whatever it reads. A new kind adds one good and one refused example here."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drd.app.kinds import find_kinds
from drd.core.errors import SourceRefused
from drd.ports.repository import FilesToSave, StreamToSave
from drd.ports.source import Source
from drd.ports.world import World

KINDS = find_kinds().sources

GOOD: dict[str, dict[str, Any]] = {
    "files": {"paths": ["shop"]},
    "command": {"argv": ["/bin/echo", "hello"], "filename": "hello.txt"},
    "postgres": {"dsn": {"credential": "orders"}},
}
REFUSED: dict[str, dict[str, Any]] = {
    "files": {"paths": ["gone"]},
    "command": {"argv": ["/nowhere/at/all"]},
    "postgres": {"dsn": {"credential": "nowhere"}},
}
OPENED = [pytest.param(kind, marks=[pytest.mark.slow] if kind == "postgres" else []) for kind in KINDS]
"""Those that need a server take longer."""


@pytest.fixture
def example(request: pytest.FixtureRequest, world: World) -> Source:
    assert world.base is not None
    (world.base / "shop").mkdir()
    (world.base / "shop" / "order").write_text("1")
    written = GOOD[request.param]
    if request.param == "postgres":
        dsn = world.base / "dsn"
        dsn.touch(mode=0o600)
        dsn.write_bytes(request.getfixturevalue("postgres").dsn())
        written = {"dsn": {"file": str(dsn)}, "programs": str(request.getfixturevalue("postgres_programs"))}
    return KINDS[request.param].model_validate(written)


def test_every_kind_has_its_examples() -> None:
    assert set(KINDS) == set(GOOD) == set(REFUSED)


@pytest.mark.parametrize("example", OPENED, indirect=True)
async def test_a_good_source_can_be_opened_again_and_again_with_the_same_content(example: Source, world: World) -> None:
    async with example.opened(world) as first:
        pass
    async with example.opened(world) as second:
        pass

    assert first.content == second.content
    assert isinstance(first.content, FilesToSave | StreamToSave)


@pytest.mark.parametrize("example", OPENED, indirect=True)
async def test_a_good_source_can_be_looked_at(example: Source, world: World) -> None:
    await example.look(world)


@pytest.mark.parametrize("example", OPENED, indirect=True)
async def test_an_error_while_it_is_open_comes_through(example: Source, world: World) -> None:
    with pytest.raises(RuntimeError, match="while saving"):
        async with example.opened(world):
            raise RuntimeError("while saving")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_source_that_is_not_there_is_refused_with_a_hint(kind: str, world: World) -> None:
    source = KINDS[kind].model_validate(REFUSED[kind])

    with pytest.raises(SourceRefused) as caught:
        async with source.opened(world):
            pytest.fail("it was opened")
    with pytest.raises(SourceRefused):
        await source.look(world)

    assert caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_is_an_error(kind: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        KINDS[kind].model_validate({**GOOD[kind], "no_such_key": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_is_a_value_with_a_line_for_people(kind: str) -> None:
    one, other = (KINDS[kind].model_validate(GOOD[kind]) for _ in range(2))

    assert one == other
    assert one.kind == kind
    assert one.summary()
    assert "\n" not in one.summary()


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_explained_in_the_schema(kind: str) -> None:
    schema = KINDS[kind].model_json_schema()

    assert schema["description"]
    assert all(field.get("description") for field in schema["properties"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_stands_alone_in_its_module(kind: str) -> None:
    module = Path(__import__(KINDS[kind].__module__, fromlist=["_"]).__file__ or "")

    assert module.parent.name == "sources"
    assert module.stem == kind
