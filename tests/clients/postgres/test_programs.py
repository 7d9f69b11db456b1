"""PostgreSQL's programs are found by the server's major version, and by nothing else."""

import os
from pathlib import Path

import pytest

from drd.clients.postgres_tools import find_programs
from drd.clients.postgres_tools.programs import NEEDED
from drd.clients.process import ChildRunner
from drd.core.errors import ProgramMissing
from tests.postgres_lab import Lab


def installed(folder: Path, version: str, names: tuple[str, ...] = NEEDED) -> Path:
    """A folder of programs that say what version they are."""
    folder.mkdir()
    for name in names:
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version} (some packager)'\n")
        program.chmod(0o755)
    return folder


async def test_the_version_that_the_programs_tell_decides_and_not_the_folder(tmp_path: Path) -> None:
    folders = [installed(tmp_path / "a", "17.2"), installed(tmp_path / "b", "15.18"), tmp_path / "none"]
    found = await find_programs(15, ChildRunner(), folders)
    assert (found.folder, found.major, found.version) == (folders[1], 15, "15.18")


async def test_the_folder_that_a_policy_names_comes_first_where_its_version_fits(tmp_path: Path) -> None:
    named, usual = installed(tmp_path / "named", "15.17"), installed(tmp_path / "usual", "15.18")
    older = installed(tmp_path / "older", "14.2")
    assert (await find_programs(15, ChildRunner(), [usual], first=named)).folder == named
    assert (await find_programs(14, ChildRunner(), [older], first=named)).folder == older


async def test_a_version_that_is_not_out_yet_has_a_number_too(tmp_path: Path) -> None:
    found = await find_programs(19, ChildRunner(), [installed(tmp_path / "a", "19beta1")])
    assert found.major == 19


async def test_without_fitting_programs_it_says_what_to_install(tmp_path: Path) -> None:
    folders = [installed(tmp_path / "a", "14.1"), installed(tmp_path / "b", "15.18", NEEDED[:2])]
    with pytest.raises(ProgramMissing, match="apt-get install postgresql-client-15 postgresql-15"):
        await find_programs(15, ChildRunner(), folders)


async def test_the_real_ones_are_found(postgres_programs: Path) -> None:
    lab = Lab.__new__(Lab)
    lab.programs = postgres_programs
    found = await find_programs(lab.major, ChildRunner(), [postgres_programs])
    assert os.access(found.path("pg_receivewal"), os.X_OK)
