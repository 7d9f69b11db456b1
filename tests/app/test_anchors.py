"""The journal is held against its heads in a real store."""

import asyncio
from pathlib import Path

import pytest

from drd import app
from drd.app.build import build
from drd.daemon.startup import start_up
from drd.ports.configuration import Configuration

pytestmark = pytest.mark.slow

SETTINGS = """\
site: here
state: {folder}/state
restic: {restic}
policies: {folder}/policies
runbooks: {folder}/runbooks
sites:
  here: {{latitude: 0, longitude: 0}}
stores:
  local: {{local: {folder}/repository, site: here, password: {{file: {folder}/password}}}}
  attic: {{local: {folder}/nowhere/repository, site: here, password: {{file: {folder}/password}}}}
"""
POLICY = """\
policy: shop
backup: {{source: {{files: [{folder}/shop]}}, full: {{every: 1d}}, to: [local], keep: {{last: 3}}}}
"""


@pytest.fixture
def configuration(tmp_path: Path, newest_restic: Path) -> Configuration:
    """One store that is used, and one that is not there."""
    for name in ("policies", "runbooks", "shop"):
        (tmp_path / name).mkdir()
    (tmp_path / "shop" / "orders.csv").write_text("1,2,3")
    (tmp_path / "password").write_text("correct horse")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "drd.yaml").write_text(SETTINGS.format(folder=tmp_path, restic=newest_restic))
    (tmp_path / "policies" / "shop.yaml").write_text(POLICY.format(folder=tmp_path))
    return app.read_configuration(tmp_path / "drd.yaml", {})


async def anchored(configuration: Configuration) -> None:
    """A backup, and the journal's head in its store."""
    async with build(configuration) as built:
        await start_up(built.house)
        await built.house.stores.open("local", may_make=True)
        await built.house.anchor.anchor("local")


def test_a_journal_fits_its_heads_in_the_stores_and_one_written_anew_does_not(configuration: Configuration) -> None:
    asyncio.run(anchored(configuration))
    before = sorted(path.name for path in configuration.state.iterdir())
    local, attic = asyncio.run(app.anchors(configuration))
    assert sorted(path.name for path in configuration.state.iterdir()) == before
    assert len(local.heads) == 1
    assert attic.problem
    with app.journal_reader(configuration) as reader:
        assert reader.verify(local.heads).sound

    (configuration.state / "journal.db").unlink()
    asyncio.run(anchored(configuration))
    with app.journal_reader(configuration) as reader:
        assert reader.verify().sound
        verdict = reader.verify(local.heads)
    assert (verdict.sound, verdict.sequence) == (False, max(local.heads))
