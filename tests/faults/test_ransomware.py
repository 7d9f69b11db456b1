"""Files that are encrypted in place, and thirty further backups: what was good before is there and comes back."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.trees import portrait

pytestmark = [pytest.mark.system, pytest.mark.faults]

FILES = 40
FILE_BYTES = 8192
DAYS_BEFORE = 7
BACKUPS_AFTER = 30


class Documents:
    """Texts of which two change between backups, until somebody encrypts them all under the names that they have."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._draw = random.Random(folder.name)
        self._edition = 0
        folder.mkdir()
        for number in range(FILES):
            self._write(number)

    def edit(self) -> None:
        for number in self._draw.sample(range(FILES), 2):
            self._write(number)

    def encrypt(self) -> None:
        for path in self._folder.iterdir():
            path.write_bytes(self._draw.randbytes(FILE_BYTES))

    def _write(self, number: int) -> None:
        self._edition += 1
        words = f"order {number}, edition {self._edition}, paid and sent\n" * FILE_BYTES
        (self._folder / f"{number}.txt").write_text(words[:FILE_BYTES])


@pytest.mark.timeout(400)
def test_thirty_backups_of_encrypted_files_push_no_good_point_out(
    another_machine: Callable[..., Machine], restic_binary: Path
) -> None:
    machine = another_machine("shop", restic_binary).protect("shop", keep={"last": 3})
    documents = Documents(machine.data / "shop")
    machine.start()
    for _ in range(DAYS_BEFORE):
        documents.edit()
        machine.drd("backup", "shop").done()
    good = machine.points("shop")[0]
    second = datetime.fromisoformat(good["moment"]) + timedelta(seconds=1)
    wait_for(lambda: datetime.now(UTC) >= second, "a moment in seconds means this point alone")
    before = portrait(machine.data / "shop")
    assert machine.status_of("shop")["state"] == "ok"

    documents.encrypt()
    suspected = machine.drd("backup", "shop").done()
    assert "this run is suspected" in suspected.stdout + suspected.stderr
    assert machine.status_of("shop")["state"] == "suspect"
    for _ in range(BACKUPS_AFTER):
        documents.edit()
        machine.drd("backup", "shop").done()
    [raised] = machine.events("suspicion-raised", "shop")
    assert "100 % of the files look random inside, usual is 0 %" in raised["message"]
    refused = machine.drd("forget", "shop", "--confirm", "shop")
    assert refused.code == 5
    assert "is suspected" in refused.stderr
    assert machine.events("snapshots-forgotten", "shop") == []
    kept = {point["run"]: set(point["stores"]) for point in machine.points("shop")}
    assert kept[good["run"]] == {"local"}
    target = machine.folder / "target"
    machine.drd("restore", "shop", "--at", good["moment"], "--to", str(target)).done()
    assert portrait(target) == before
