"""A program as a source: a list of words, no shell, an environment of its own."""

import getpass
import pwd

import pytest
from pydantic import ValidationError

from drd.core.errors import SourceRefused
from drd.ports.repository import StreamToSave
from drd.ports.world import World
from drd.sources.command import CommandSource


async def opened(written: object, world: World) -> StreamToSave:
    async with CommandSource.model_validate(written).opened(world) as prepared:
        assert isinstance(prepared.content, StreamToSave)
        return prepared.content


@pytest.mark.parametrize("written", ["pg_dump shop", {"argv": "pg_dump shop"}])
def test_a_line_for_a_shell_is_refused_and_the_list_is_shown(written: object) -> None:
    with pytest.raises(ValidationError, match=r"write \[pg_dump, shop\]"):
        CommandSource.model_validate(written)


async def test_the_program_is_found_in_the_path_and_gives_its_name_to_the_file(world: World) -> None:
    content = await opened(["sh", "-c", "true"], world)

    assert content.argv[0].endswith("/sh")
    assert content.argv[1:] == ("-c", "true")
    assert content.filename == "sh.out"


async def test_the_environment_is_small_and_the_policys_own_wins(world: World) -> None:
    content = await opened({"argv": ["sh"], "environment": {"PGHOST": "db", "LANG": "C"}}, world)

    assert set(content.environment) == {"PATH", "HOME", "LANG", "PGHOST"}
    assert content.environment["LANG"] == "C"


async def test_the_user_gets_the_home_of_its_own(world: World) -> None:
    content = await opened({"argv": ["sh"], "user": "nobody"}, world)

    assert content.user == "nobody"
    assert content.environment["HOME"] == "/nonexistent"
    mine = await opened({"argv": ["sh"], "user": getpass.getuser()}, world)
    assert mine.environment["HOME"] == pwd.getpwnam(getpass.getuser()).pw_dir


@pytest.mark.parametrize("written", [{"argv": ["no-such-program"]}, {"argv": ["sh"], "user": "no-such-user-here"}])
async def test_a_program_or_user_that_is_not_there_is_refused(written: object, world: World) -> None:
    with pytest.raises(SourceRefused, match="no-such"):
        await opened(written, world)


@pytest.mark.parametrize(
    "written", [[], {"argv": []}, {"argv": ["sh"], "filename": "a/b"}, {"argv": ["sh"], "deadline": 5}]
)
def test_what_makes_no_sense_is_an_error(written: object) -> None:
    with pytest.raises(ValidationError):
        CommandSource.model_validate(written)


def test_the_line_for_people_does_not_show_the_arguments() -> None:
    assert CommandSource.model_validate(["mysqldump", "--password=x"]).summary() == "output of mysqldump"


def test_a_program_that_compresses_is_advised_against() -> None:
    [sentence] = CommandSource.model_validate(["pg_dump", "-Fc", "shop"]).advice()
    assert "-Fc" in sentence
    assert CommandSource.model_validate(["pg_dump", "shop"]).advice() == ()
