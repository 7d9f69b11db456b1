"""Sentences about values of kinds that the configuration does not know beforehand."""

from pathlib import Path

import pytest

from drd.app.kinds import find_kinds
from drd.config.load import load
from drd.config.problems import ConfigurationErrors
from tests.config.arranging import SOUND

ENDPOINT = "endpoint: https://s3.example"
SFTP = "user: u, path: /b, key: {file: /k}, known_hosts: /h"
MEANS = "correct it, for it means this:"
STORES = {
    "s3: {endpoint: s3.example, bucket: drd, credentials: {env: A}}": f"`endpoint`: {MEANS} the server with its scheme",
    f"s3: {{{ENDPOINT}, bucket: a/b, credentials: {{env: A}}}}": f"`bucket`: {MEANS} it must exist",
    f"s3: {{{ENDPOINT}, bucket: drd, credentials: AKIA:hunter2}}": "`credentials`: a secret never stands in the file",
    f"sftp: {{host: a b, {SFTP}}}": f"`host`: {MEANS} a name or an address",
    f"sftp: {{host: a, {SFTP}, port: 70000}}": "`port`: write a number of at most 65535",
    "local: srv/drd": "`path`: write the whole path, as /srv/drd/srv/drd",
    "rest: {url: https://drd:hunter2@backup.example/}": "a password stands in this address",
}


@pytest.mark.parametrize("store", STORES)
def test_the_real_kinds_are_told_in_plain_sentences(store: str, tmp_path: Path) -> None:
    settings = (SOUND / "drd.yaml").read_text()
    bad = settings.replace("local: /srv/drd/repository", store, 1)
    (tmp_path / "drd.yaml").write_text(bad)

    with pytest.raises(ConfigurationErrors) as raised:
        load(tmp_path / "drd.yaml", {}, find_kinds())

    told = [problem.message for problem in raised.value.problems]
    assert any(STORES[store] in message for message in told), told
    for message in told:
        assert "pydantic" not in message
        assert "hunter2" not in message
        assert "^" not in message
