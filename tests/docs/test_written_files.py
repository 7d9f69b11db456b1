"""YAML on the pages is read by drd itself: whole files as they are, parts of a file within a sound one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from drd.app.read import read_configuration
from tests.docs.pages import REPOSITORY, Block, all_blocks

SETTINGS: Mapping[str, Any] = {
    "site": "hangzhou",
    "timezone": "Asia/Shanghai",
    "sites": {
        "hangzhou": {"latitude": 30.25, "longitude": 120.17},
        "xian": {"latitude": 34.34, "longitude": 108.94},
    },
    "stores": {
        "local": {"local": "/srv/drd/repository", "site": "hangzhou", "password": {"credential": "restic-local"}},
        "offsite": {"local": "/mnt/offsite", "site": "xian", "password": {"credential": "restic-offsite"}},
    },
    "nodes": {
        name: {"host": "127.0.0.1", "site": "hangzhou", "postgres": {"dsn": {"credential": name}}}
        for name in ("orders-1", "orders-2", "payments-1", "payments-2")
    },
    "people": {
        name: {"name": name} for name in ("sre-on-call", "sre-lead", "dba-on-call", "community-on-call")
    },
}  # fmt: skip
NAMES = {"policy": "policies", "runbook": "runbooks"}
PARTS = {"stores", "nodes"}
"""Keys of drd.yaml of which a page may show one alone."""

BLOCKS = all_blocks("yaml")


def on_the_same_page(block: Block, key: str) -> list[Block]:
    return [each for each in BLOCKS if each.page == block.page and first_key(each) == key]


def first_key(block: Block) -> str:
    document = yaml.load(block.text, yaml.BaseLoader)
    return str(next(iter(document)))


def arrange(folder: Path, block: Block) -> Path:
    """The block and what it needs: a drd.yaml with what its page declares, and the page's policies and runbooks.

    What the page takes from the demonstration is taken from there.
    """
    settings: dict[str, Any] = dict(SETTINGS)
    for part in PARTS:
        for other in on_the_same_page(block, part):
            declared = yaml.safe_load(other.text)[part]
            settings[part] = {**settings.get(part, {}), **declared}
    (folder / "drd.yaml").write_text(yaml.safe_dump(settings))
    for key, name in NAMES.items():
        (folder / name).mkdir()
        for number, other in enumerate(on_the_same_page(block, key)):
            (folder / name / f"{number}.yaml").write_text(other.text)
    present = {each.name for each in _named(block, "policy")}
    for shipped in (REPOSITORY / "policies").glob("*.yaml"):
        if shipped.stem not in present and not on_the_same_page(block, "site"):
            (folder / "policies" / shipped.name).write_text(_alone(shipped.read_text()))
    if first_key(block) == "site":
        (folder / "drd.yaml").write_text(block.text)
        _keep_own(folder / "policies", block)
    return folder / "drd.yaml"


def _named(block: Block, key: str) -> list[Path]:
    return [Path(str(yaml.safe_load(each.text)[key])) for each in on_the_same_page(block, key)]


def _alone(policy: str) -> str:
    """A shipped policy without its runbooks, which stay where they are, and with whole paths."""
    document = yaml.safe_load(policy)
    document.pop("disasters", None)
    if "files" in document["backup"]["source"]:
        document["backup"]["source"]["files"]["paths"] = ["/srv/shop"]
    return yaml.safe_dump(document)


def _keep_own(policies: Path, block: Block) -> None:
    """A page that shows a drd.yaml shows its policy next."""
    following = [each for each in on_the_same_page(block, "policy") if each.line > block.line][:1]
    for file in policies.iterdir():
        file.unlink()
    for each in following:
        (policies / "own.yaml").write_text(each.text)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_file_on_a_page_loads(block: Block, tmp_path: Path) -> None:
    assert first_key(block) in {"site", *NAMES, *PARTS}, "say in this test how such a part of a file is read"
    configuration = read_configuration(arrange(tmp_path, block), {})
    document = yaml.safe_load(block.text)
    assert document.get("policy") is None or document["policy"] in configuration.policies
    assert document.get("runbook") is None or document["runbook"] in configuration.runbooks
    assert set(document.get("stores", {})) <= set(configuration.stores)


def test_the_failover_of_the_cookbook_is_the_one_that_the_loader_is_tested_on() -> None:
    sound = (REPOSITORY / "tests/config/sound/runbooks/orders-failover.yaml").read_text()
    assert any(sound.strip() == block.text.strip() for block in BLOCKS)
