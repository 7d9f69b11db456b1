"""What the repository shows people works: its policies and runbooks, its schemas and its reference."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from drd.app.kinds import find_kinds
from drd.config.load import load
from drd.config.reference import configuration_reference
from drd.config.schema import WHATS, json_schema
from drd.config.yaml import Value, parse
from drd.core.runbook import VARIABLES
from tests.config.arranging import HERE

REPOSITORY = HERE.parents[1]
DRD_YAML = """\
site: hangzhou
timezone: Asia/Shanghai
state: /var/lib/drd
data: /srv/platform
sites:
  hangzhou: {latitude: 30.25, longitude: 120.17}
  xian: {latitude: 34.34, longitude: 108.94}
stores:
  local: {local: /srv/drd/repository, site: hangzhou, password: {file: /etc/drd/local}}
  offsite:
    s3: {endpoint: "http://127.0.0.1:9000", bucket: drd, credentials: {file: /etc/drd/s3}}
    site: xian
    password: {file: /etc/drd/offsite}
nodes:
  orders-1: {host: 10.0.1.11, site: hangzhou, postgres: {dsn: {file: /etc/drd/orders-1}}, power: {command: [off, "1"]}}
  orders-2: {host: 10.0.1.12, site: hangzhou, postgres: {dsn: {file: /etc/drd/orders-2}}, power: {command: [off, "2"]}}
  payments-1: {host: 10.0.1.21, site: hangzhou, postgres: {dsn: {file: /etc/drd/payments-1}}}
  payments-2: {host: 10.0.1.22, site: hangzhou, postgres: {dsn: {file: /etc/drd/payments-2}}}
people:
  sre-on-call: {name: SRE on call, deputy: sre-lead}
  sre-lead: {name: Lead of the SREs}
  dba-on-call: {name: DBA on call, deputy: sre-lead}
  community-on-call: {name: Community on call}
"""


@pytest.fixture
def drd_yaml(tmp_path: Path) -> Path:
    for folder in ("policies", "runbooks"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    (tmp_path / "drd.yaml").write_text(DRD_YAML)
    return tmp_path / "drd.yaml"


def test_the_policies_and_runbooks_of_the_repository_load_unchanged(drd_yaml: Path) -> None:
    configuration = load(drd_yaml, {}, find_kinds())

    assert set(configuration.policies) >= {"recordings", "community", "members-export", "orders", "payments"}
    assert set(configuration.runbooks) >= {"recordings-point-in-time", "recordings-site-loss"}
    assert configuration.warnings == ()


def test_every_disaster_of_the_examples_has_its_runbook(drd_yaml: Path) -> None:
    configuration = load(drd_yaml, {}, find_kinds())

    for protected in configuration.policies.values():
        for disaster, answer in protected.policy.disasters.items():
            assert configuration.runbooks[answer.runbook].disaster is disaster


def test_the_reference_in_docs_is_made_from_the_models() -> None:
    written = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")

    assert written == configuration_reference(find_kinds()), "type: scripts/reference"


def test_every_key_of_the_reference_says_what_it_means() -> None:
    rows = [line for line in configuration_reference(find_kinds()).splitlines() if line.startswith("| `")]

    assert [row for row in rows if row.endswith("|  |")] == []


def test_no_two_sections_of_the_reference_have_one_name() -> None:
    titles = [line for line in configuration_reference(find_kinds()).splitlines() if line.startswith("#")]

    assert len(titles) == len({title.lower() for title in titles})


@pytest.mark.parametrize("what", WHATS)
def test_a_schema_is_json_and_says_which_dialect(what: str) -> None:
    schema = json_schema(what, find_kinds())

    assert json.loads(json.dumps(schema)) == schema
    assert "2020-12" in schema["$schema"]
    assert "extends" in schema["properties"]


def test_an_unknown_schema_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="policy, runbook, settings"):
        json_schema("orders", find_kinds())


def test_the_runbooks_schema_prints_the_variables() -> None:
    assert set(json_schema("runbook", find_kinds())["x-variables"]) == {f"${{{name}}}" for name in VARIABLES}


@pytest.mark.parametrize(
    ("what", "files"),
    [("policy", "policies/*.yaml"), ("runbook", "runbooks/*.yaml"), ("settings", "tests/config/sound/drd.yaml")],
)
def test_an_editor_with_the_schema_accepts_the_examples(what: str, files: str) -> None:
    schema = json_schema(what, find_kinds())
    found = sorted(REPOSITORY.glob(files))

    assert found
    for file in found:
        assert misfits(parse(file.read_text(encoding="utf-8")), schema) == [], file


def test_an_editor_with_the_schema_marks_an_unknown_key_and_a_bare_number() -> None:
    schema = json_schema("policy", find_kinds())
    text = (REPOSITORY / "policies" / "recordings.yaml").read_text(encoding="utf-8")

    assert misfits(parse(text.replace("every: 5m", "every: 5")), schema)
    assert misfits(parse(text.replace("owner:", "ownr:")), schema)


def misfits(value: Value, schema: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]
