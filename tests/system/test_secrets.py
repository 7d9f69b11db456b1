"""No secret stands where somebody else could read it."""

from pathlib import Path

import pytest

from tests.system.machine import LOCAL_PASSWORD, OFFSITE_PASSWORD, Machine
from tests.system.programs import Running, wait_for
from tests.system.trees import grow

pytestmark = pytest.mark.system

WRONG = "a-wrong-password-5512"


class Watch:
    """Looks at the command lines of every process below the daemon, again and again."""

    def __init__(self, daemon: Running) -> None:
        self._daemon = daemon
        self.lines: set[str] = set()

    def look(self) -> None:
        self.lines |= {" ".join(line) for line in self._daemon.children().values()}


def test_secrets_appear_in_no_argument_log_journal_metric_or_error(two_stores_each_restic: Machine) -> None:
    machine = two_stores_each_restic
    assert machine.s3 is not None
    secrets = (LOCAL_PASSWORD, OFFSITE_PASSWORD, machine.s3.secret_key, machine.s3.access_key, WRONG)
    machine.settings["stores"]["local"]["limits"] = {"upload": "2 MiB/s"}
    machine.protect("shop")
    grow(machine.data / "shop", files=4, size_bytes=1024 * 1024)
    watch = Watch(machine.start())
    answers = [_watched(machine, watch, "backup", "shop", "--json")]
    answers.append(
        _watched(machine, watch, "restore", "shop", "--to", str(machine.folder / "back"), "--from", "offsite")
    )
    answers.append(_watched(machine, watch, "check", "local"))
    metrics = machine.metrics()

    machine.set_secret("local", WRONG)
    answers.append(_watched(machine, watch, "backup", "shop"))
    assert "password" in answers[-1]
    machine.set_secret("s3", f"{machine.s3.access_key}:{WRONG}")
    answers.append(_watched(machine, watch, "check", "offsite"))
    assert any("restic" in line and " backup " in line for line in watch.lines)
    assert any("drd.clients.carrier" in line for line in watch.lines)

    answers.append(machine.drd("status", "--json").stdout)
    answers.append(machine.drd("validate", "--reach").stderr)
    daemon = machine.daemon
    assert daemon is not None
    machine.stop()
    places = {
        "arguments": "\n".join(watch.lines),
        "answers": "\n".join(answers),
        "metrics": metrics,
        "the log": daemon.said(),
        **{str(path): path.read_bytes().decode("latin-1") for path in _files_below(machine.state)},
    }
    for secret in secrets:
        for name, content in places.items():
            assert secret not in content, f"a secret stands in {name}"


def _watched(machine: Machine, watch: Watch, *words: str) -> str:
    """Run a command while somebody looks; all that it said."""
    command = machine.command(*words)
    wait_for(lambda: watch.look() or not command.is_alive, "the command ends")
    return command.said()


def _files_below(folder: Path) -> list[Path]:
    # The ballast is empty by design, and large.
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 32 * 2**20]
