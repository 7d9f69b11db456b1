"""The import contracts of pyproject.toml hold for drd, and break when a wrong import is written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LINTER = Path(sys.prefix) / "bin" / "lint-imports"

DOWNWARD = "Imports go down only; rooms side by side do not know one another"
CLIENTS = "Only the kinds and the composition root know the clients"
PURE = "The core does no input or output, reads no clock and draws no lots"

WRONG_IMPORTS = [
    ("core", "import drd.ports", DOWNWARD),
    ("ports", "import drd.clients", DOWNWARD),
    ("clients", "import drd.sources", DOWNWARD),
    ("sources", "import drd.stores", DOWNWARD),
    ("stores", "import drd.engines", DOWNWARD),
    ("reports", "import drd.api", DOWNWARD),
    ("engines", "import drd.daemon", DOWNWARD),
    ("daemon", "import drd.app", DOWNWARD),
    ("app", "import drd.demo", DOWNWARD),
    ("demo", "import drd.cli", DOWNWARD),
    ("engines", "import drd.clients", CLIENTS),
    ("config", "import drd.clients", CLIENTS),
    ("reports", "import drd.clients", CLIENTS),
    ("api", "import drd.clients", CLIENTS),
    ("daemon", "import drd.clients", CLIENTS),
    ("daemon", "import drd.sources", CLIENTS),
    ("core", "import sqlite3", PURE),
    ("core", "import asyncio", PURE),
    ("core", "import time", PURE),
    ("core", "import random", PURE),
    ("core", "import boto3", PURE),
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return build_house(tmp_path)


@pytest.fixture(scope="module")
def report_on_intruders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the linter says, by contract, of one house with all the wrong imports, each in a module of its own."""
    house = build_house(tmp_path_factory.mktemp("house"))
    for room, wrong_import, _ in WRONG_IMPORTS:
        (house / "drd" / room / f"{intruder(wrong_import)}.py").write_text(f"{wrong_import}\n")
    sections = re.split(r"\n(.+)\n-{5,}\n", lint(house).stdout.partition("Broken contracts")[2])
    return dict(zip(sections[1::2], sections[2::2], strict=True))


def test_the_rooms_without_a_wrong_import_keep_every_contract(house: Path) -> None:
    assert "Contracts: 3 kept, 0 broken." in lint(house).stdout


@pytest.mark.parametrize(("room", "wrong_import", "contract"), WRONG_IMPORTS)
def test_a_wrong_import_breaks_its_contract(
    report_on_intruders: dict[str, str], room: str, wrong_import: str, contract: str
) -> None:
    assert f"drd.{room}.{intruder(wrong_import)} -> " in report_on_intruders[contract]


def test_a_room_without_a_place_in_the_layers_is_an_error(house: Path) -> None:
    (house / "drd" / "helpers").mkdir()
    (house / "drd" / "helpers" / "__init__.py").touch()

    assert "helpers" in lint(house).stdout


def build_house(folder: Path) -> Path:
    """drd's rooms without their furniture, under the project's own contracts."""
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    for room in (REPOSITORY / "drd").glob("*/__init__.py"):
        (folder / "drd" / room.parent.name).mkdir(parents=True)
        (folder / "drd" / room.parent.name / "__init__.py").touch()
    (folder / "drd" / "__init__.py").touch()
    # A kind that does its work through a client, as kinds may: the daemon must not reach that client by way of it.
    (folder / "drd" / "sources" / "__init__.py").write_text("import drd.clients\n")
    return folder


def intruder(wrong_import: str) -> str:
    return "imports_" + wrong_import.removeprefix("import ").replace(".", "_")


def lint(house: Path) -> subprocess.CompletedProcess[str]:
    # The linter looks in the working directory first, so it reads these rooms and not the installed ones.
    return subprocess.run([LINTER, "--no-cache"], cwd=house, capture_output=True, text=True, check=False, timeout=60)
