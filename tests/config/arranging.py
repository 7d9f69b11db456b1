"""A sound configuration in a folder of its own, for tests that then break one thing in it."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import drd.actions
from drd.app.kinds import kinds_in
from drd.config.kinds import Kinds
from drd.config.load import load
from drd.config.problems import ConfigurationErrors
from drd.ports.action import Action
from drd.ports.configuration import Configuration
from tests.config.kinds import PROBES, SOURCES, STORES

HERE = Path(__file__).parent
SOUND = HERE / "sound"
KINDS = Kinds(SOURCES, STORES, kinds_in(drd.actions, Action), PROBES)


def sound_folder(folder: Path) -> Path:
    """A copy of the sound configuration; returns its drd.yaml."""
    shutil.copytree(SOUND, folder, dirs_exist_ok=True)
    return folder / "drd.yaml"


def loaded(file: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    return load(file, environment or {}, KINDS)


def mistakes(file: Path, environment: Mapping[str, str] | None = None) -> list[str]:
    """What loading says is wrong, with paths relative to the folder of drd.yaml; empty if nothing is."""
    try:
        loaded(file, environment)
    except ConfigurationErrors as errors:
        return [str(problem).replace(f"{file.parent}/", "") for problem in errors.problems]
    return []


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
