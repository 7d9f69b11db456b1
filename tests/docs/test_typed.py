"""Every command on the pages is typed: those of drd against the demonstration, the others at least read by a shell."""

import re
import subprocess
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.docs.conftest import Demonstration
from tests.docs.pages import REPOSITORY, Block, Typed, all_blocks, blocks, typed_lines
from tests.system.programs import Finished, wait_for

FOLDERS = (
    "/srv/drd/restored",
    "/tmp/recordings",
    "/var/tmp/drd-restore",
    "/srv/drd/orders",
    "/srv/drd/shop",
    "/var/lib/postgresql/15/main",
)
"""What a page restores to, or keeps for a moment: each command gets a fresh folder in its place."""

CODES = {
    "drd release local --confirm local": (2, "nothing is held in a demonstration that is well"),
    "drd release --policy recordings --confirm recordings": (2, "nothing is suspected there"),
    "drd restore orders --to /srv/drd/orders --tablespace 16390=/fast/orders --port 5440": (2, "it has no tablespace"),
    "drd restore orders --to /srv/drd/orders --at 2026-11-22 10:15:00+08:00": (
        1,
        "its WAL begins later",
    ),
    "drd restore orders --to /srv/drd/orders --at name:before-migration": (2, "nobody has named a restore point"),
    "drd restore orders --to /srv/drd/orders --at 16/B374D848": (1, "its WAL does not go that far"),
}
"""Commands that end otherwise than with 0 here, and why."""

NOT_TYPED = {
    "apt-get": "installs programs for the whole machine",
    "python3": "makes /opt/drd",
    "/opt/drd/bin/pip": "installs into /opt/drd; the tests run in an environment that was installed alike",
    "ln": "makes /usr/bin/drd",
    "useradd": "makes a user",
    "install": "makes folders and files below /etc and /srv",
    "head": "writes passwords to /etc/drd/secrets",
    "systemctl": "needs systemd",
    "make": "starts the demonstration, which these tests have started, or every measurement",
    ".venv/bin/python": "measures for many minutes",
    "export": "only sets what the lines below it need; the tests set it for each command",
}
"""Programs that are not started here, and why; their lines are still read by a shell."""

ELSEWHERE = {
    ("drd", "demo", "disaster"): "kills the shop's primary server: tests/demo types it",
    ("drd", "incident", "show", "orders-failover"): "there is one only after that",
}
"""Commands of drd's that are not typed here, and why."""

MOMENT = "1 minute ago"
"""What the README goes back by."""
COPY = "/tmp/orders"
"""Where the README restores the database to; its lines follow from one another."""

LINES = list(typed_lines())
OURS = [line for line in LINES if line.words[0] == "drd"]
OF_A_COPY = [line for line in OURS if COPY in line.words]
ALONE = [line for line in OURS if line not in OF_A_COPY and line.words not in ELSEWHERE]


@pytest.mark.system
@pytest.mark.parametrize("line", ALONE, ids=lambda line: f"{line.place} {' '.join(line.words)}")
def test_a_command_of_the_pages_does_its_work(line: Typed, demonstration: Demonstration, restored: Path) -> None:
    def here(word: str) -> str:
        for folder in FOLDERS:
            word = word.replace(folder, str(restored / Path(folder).name))
        return word.replace("/etc/drd/secrets", str(demonstration.folder / "secrets"))

    if line.words == ("drd", "demo", "orders"):
        demonstration.shell(line.text).done()
        return
    answered = demonstration.drd(
        *(here(word) for word in line.words[1:]), **{name: here(value) for name, value in line.settings.items()}
    )
    expected, _ = CODES.get(" ".join(line.words), (0, ""))
    answered.done(expected)
    assert "Traceback" not in answered.stderr


@pytest.mark.system
def test_the_database_of_the_readme_comes_back_to_a_minute_ago(demonstration: Demonstration, restored: Path) -> None:
    assert [line.words[:3] for line in OF_A_COPY] == [("drd", "restore", "orders"), ("drd", "demo", "orders")]
    assert MOMENT in OF_A_COPY[0].text
    wait_for(lambda: age_of_the_base(demonstration) > timedelta(seconds=62), "the base backup is a minute old", 90)
    before = datetime.now(UTC) - timedelta(minutes=1)
    place = str(restored / "orders")
    restoring, showing = (demonstration.shell(line.text.replace(COPY, place)).done() for line in OF_A_COPY)
    assert "pg_verifybackup found it whole" in restoring.stdout
    assert "none is missing" in showing.stdout
    there = demonstration.shell(f"drd demo orders {place} --json").done().json
    assert there["orders"] > 0
    newest = datetime.fromisoformat(there["newest"][0]["placed_at"])
    assert before - timedelta(seconds=10) < newest < before + timedelta(seconds=5)


def age_of_the_base(demonstration: Demonstration) -> timedelta:
    oldest = demonstration.drd("points", "orders", "--json").done().json["points"][-1]
    return datetime.now(UTC) - datetime.fromisoformat(oldest["moment"])


@pytest.mark.system
def test_the_metrics_are_where_the_readme_says(demonstration: Demonstration) -> None:
    [line] = [line for line in LINES if line.words[0] == "curl"]
    assert line.words == ("curl", "http://127.0.0.1:9476/metrics")
    with urllib.request.urlopen(f"http://127.0.0.1:{demonstration.port}/metrics", timeout=30) as answer:
        assert b"drd_recovery_point_timestamp_seconds{" in answer.read()


def test_what_is_not_typed_is_known_with_its_reason() -> None:
    others = {line.words[0] for line in LINES} - {"drd", "curl"}
    assert others == set(NOT_TYPED)
    assert set(CODES) <= {" ".join(line.words) for line in OURS}
    assert set(ELSEWHERE) <= {line.words for line in OURS}


@pytest.mark.parametrize("block", all_blocks("sh"), ids=lambda block: block.place)
def test_a_shell_can_read_every_block(block: Block) -> None:
    read = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False, timeout=30)
    assert read.returncode == 0, read.stderr


SHAPES = (
    (r"since \d{4}-\d{2}-\d{2} ", "since "),
    (r"(\d+ \w+ )+ago(, proven)?", "AGO"),
    (r"in (\d+ \w+ ?)+", "IN"),
    (r"[\d.]+ [KMGT]?i?B\b", "SIZE"),
    (r"\b[0-9A-Z]{26}\b", "RUN"),
    (r" on \S+", " on HOST"),
    (r"\(\d+ \w+( \d+ \w+)?\)", "(SPAN)"),
    (r"\d+", "0"),
)
"""What differs from one machine and minute to the next."""


def shape(line: str) -> tuple[str, ...]:
    """The columns of a line, with figures that change taken out."""
    for pattern, word in SHAPES:
        line = re.sub(pattern, word, line)
    return tuple(re.split(r" {2,}", line.strip()))


@pytest.mark.system
@pytest.mark.parametrize("command", ["drd status", "drd restore recordings --to /tmp/recordings"])
def test_what_the_readme_shows_looks_like_what_a_person_sees(
    command: str, demonstration: Demonstration, tmp_path: Path
) -> None:
    shown = {shape(line) for line in _output(command).splitlines()}

    def is_seen() -> bool:
        # On a busy machine a store may be at work just now, or a server slow: what is looked at is looked at again.
        place = str(tmp_path / f"recordings-{time.monotonic_ns()}")
        answered = demonstration.drd(*command.replace("/tmp/recordings", place).split()[1:]).done()
        text = (answered.stdout + answered.stderr).replace(place, "/tmp/recordings")
        return shown <= {shape(line) for line in text.splitlines()}

    wait_for(is_seen, f"the lines that the README shows of {command}", 90)


@pytest.mark.system
def test_the_mistakes_of_the_readme_are_told_in_these_very_words(demonstration: Demonstration, tmp_path: Path) -> None:
    answered = _with_mistakes(demonstration, tmp_path).done(2)
    assert answered.stderr.replace(f"{tmp_path}/", "") == _output("drd validate")


def _with_mistakes(demonstration: Demonstration, folder: Path) -> Finished:
    """The policy of the README with a unit forgotten and a store misspelt, beside the demonstration's drd.yaml."""
    [sound] = [block.text for block in blocks(REPOSITORY / "README.md", "yaml")]
    wrong = sound.replace("every: 5m}", "every: 5}").replace("[local, offsite]", "[local, offsit]")
    settings = (demonstration.folder / "drd.yaml").read_text()
    (folder / "policies").mkdir()
    (folder / "policies" / "recordings.yaml").write_text(wrong)
    (folder / "drd.yaml").write_text(re.sub(r"^(policies|runbooks): .*\n", "", settings, flags=re.MULTILINE))
    (folder / "runbooks").mkdir()
    return demonstration.drd("--config", str(folder / "drd.yaml"), "validate")


def _output(command: str) -> str:
    """What the README shows after a command."""
    for block in blocks(REPOSITORY / "README.md", "console"):
        typed, _, output = block.text.partition("\n")
        if typed == f"$ {command}":
            return output
    raise AssertionError(f"the README does not show {command}")
