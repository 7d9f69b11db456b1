"""What is found out about a source is told with the place where the source is written."""

from pathlib import Path

import pytest

from drd.app.reaching import reach
from drd.app.read import read_configuration
from drd.core.findings import Finding, Severity
from tests.config.arranging import write

POLICY = """\
policy: orders
backup:
  source:
    - files: {paths: [/nowhere/at/all]}
    - postgres: {dsn: {file: %s/dsn}}
  full: {every: 1d}
  to: [local]
  keep: {last: 3}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = f"""\
site: here
state: {tmp_path}/state
sites: {{here: {{latitude: 30.25, longitude: 120.17}}}}
stores: {{local: {{local: {tmp_path}/repository, site: here, password: {{file: {tmp_path}/password}}}}}}
"""
    write(tmp_path / "drd.yaml", settings)
    for name, content in (("dsn", "host=/nowhere user=drd"), ("password", "a password")):
        place = tmp_path / name
        place.touch(mode=0o600)
        place.write_text(content)
    return tmp_path


async def found(folder: Path, restic: Path) -> list[Finding]:
    configuration = read_configuration(folder / "drd.yaml", {"DRD_RESTIC": str(restic)})
    return [finding for finding in await reach(configuration) if finding.what.startswith("policy")]


async def test_each_finding_stands_where_its_source_does_and_is_told_once(folder: Path, newest_restic: Path) -> None:
    write(folder / "policies" / "orders.yaml", POLICY % folder)
    files, postgres = await found(folder, newest_restic)
    file = str(folder / "policies" / "orders.yaml")
    assert (files.file, files.line, files.column, files.severity) == (file, 4, 7, Severity.BROKEN)
    assert (postgres.file, postgres.line, postgres.column) == (file, 5, 7)
    assert str(postgres).startswith(f"{file}:5:7: policy orders, source postgres: /nowhere")


async def test_a_source_of_a_base_is_told_with_the_base(folder: Path, newest_restic: Path) -> None:
    write(folder / "policies" / "base.yaml", POLICY.removeprefix("policy: orders\n") % folder)
    write(folder / "policies" / "orders.yaml", "policy: orders\nextends: base.yaml\n")
    _, postgres = await found(folder, newest_restic)
    assert (postgres.file, postgres.line) == (str(folder / "policies" / "base.yaml"), 4)
