"""The policies and runbooks of the repository as the demonstration uses them: those whose nodes it has."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from drd.config.yaml import Unreadable, Value, parse


def arrange(
    into: Path,
    policies: Path,
    runbooks: Path,
    nodes: Collection[str],
    addresses: Mapping[str, str],
) -> tuple[Path, Path]:
    """Folders of links to those files: without policies of other nodes than `nodes` and without their runbooks.

    A file that names one of `addresses` is a copy with what stands for it here.
    """
    left_out = {name for file in policies.glob("*.yaml") if (name := _foreign(file, nodes))}
    return (
        _linked(policies, into / "policies", lambda file: _of(file, "policy") in left_out, addresses),
        _linked(runbooks, into / "runbooks", lambda file: _of(file, "policy") in left_out, addresses),
    )


def _linked(folder: Path, into: Path, is_left_out: Callable[[Path], bool], addresses: Mapping[str, str]) -> Path:
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for file in sorted(folder.iterdir()):
        if file.suffix == ".yaml" and is_left_out(file):
            continue
        text = file.read_text() if file.suffix == ".yaml" else ""
        if any(address in text for address in addresses):
            for address, here in addresses.items():
                text = text.replace(address, here)
            (into / file.name).write_text(text)
        else:
            (into / file.name).symlink_to(file)
    return into


def _foreign(file: Path, nodes: Collection[str]) -> str:
    """The name of a policy of which the demonstration does not have every node; empty for all others."""
    named = _read(file).get("nodes")
    is_foreign = isinstance(named, list) and not {str(each) for each in named} <= set(nodes)
    return _of(file, "policy") if is_foreign else ""


def _of(file: Path, key: str) -> str:
    return str(_read(file).get(key, ""))


def _read(file: Path) -> dict[str, Value]:
    """What stands in a file; nothing where it cannot be read, which whoever loads the configuration will tell."""
    try:
        found = parse(file.read_text())
    except (Unreadable, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
