"""A daemon tries by itself what is declared immutable, and tells of a key that somebody added to a store."""

from typing import Any

import pytest

from tests.servers import MotoS3
from tests.system.machine import BUCKET, Machine
from tests.system.programs import wait_for
from tests.system.trees import grow

pytestmark = [pytest.mark.system, pytest.mark.faults, pytest.mark.timeout(400)]


def test_a_daemon_tries_what_is_declared_immutable_and_finds_a_planted_key(
    machine: Machine, bucket: Any, moto_s3: MotoS3
) -> None:
    machine.set_secret("s3", f"{moto_s3.access_key}:{moto_s3.secret_key}")
    machine.set_secret("vault", "the-vault-password-6610")
    secrets = machine.folder / "secrets"
    machine.settings["stores"]["vault"] = {
        "s3": {"endpoint": moto_s3.url, "bucket": BUCKET, "credentials": {"file": str(secrets / "s3")}},
        "site": "xian",
        "password": {"file": str(secrets / "vault")},
        "immutable": "30d",
    }
    machine.protect("shop", require={"copies": 2, "media": 2, "immutable": 1})
    grow(machine.data / "shop")
    machine.start()
    machine.drd("backup", "shop").done()
    wait_for(lambda: machine.events("protection-probed"), "the store was tried", 90)
    wait_for(lambda: len(machine.events("keys-listed")) == len(machine.settings["stores"]), "keys were listed", 90)
    [probed] = machine.events("protection-probed")
    assert (probed["is_held"], probed["mode"], probed["days"]) == (True, "COMPLIANCE", 30)
    assert 'drd_store_immutable{store="vault"} 1' in machine.metrics()
    explained = machine.drd("explain", "shop").done().stdout
    assert "required immutable: met: 1, 1 required: vault" in explained
    assert "required media: met: 2, 2 required: local, s3" in explained
    assert machine.status()["warnings"] == []

    (machine.folder / "planted").write_text("the-attackers-password")
    machine.restic_in("local", "key", "add", "--new-password-file", str(machine.folder / "planted")).done()
    machine.restart()
    wait_for(lambda: machine.status()["warnings"], "the key is found", 90)
    [warning] = machine.status()["warnings"]
    assert "store local has the key" in warning
    assert "which drd did not add" in warning
    assert 'drd_store_foreign_keys{store="local"} 1' in machine.metrics()
    assert machine.drd("accept", "local", "--confirm", "local").done()
    machine.restart()
    wait_for(lambda: 'drd_store_foreign_keys{store="local"} 0' in machine.metrics(), "it is known now", 90)
