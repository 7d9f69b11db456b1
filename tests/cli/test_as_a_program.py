"""`drd` as a process of its own, typed into a shell."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.serving import serving
from tests.fakes.control import FakeControl
from tests.system.programs import wait_for

DRD = Path(sys.prefix) / "bin" / "drd"
DEADLINE_SECONDS = 30
pytestmark = pytest.mark.system
SETTINGS = """\
site: hangzhou
timezone: Asia/Shanghai
state: {folder}/state
policies: {folder}/policies
runbooks: {folder}/runbooks
sites:
  hangzhou: {{latitude: 30.25, longitude: 120.17}}
stores:
  local: {{local: {folder}/repository, site: hangzhou, password: {{file: {folder}/password}}}}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    for name in ("state", "policies", "runbooks"):
        (tmp_path / name).mkdir()
    file = tmp_path / "drd.yaml"
    file.write_text(SETTINGS.format(folder=tmp_path))
    return file


class Daemon:
    """A daemon in a thread: the real server over a control that a test prepares."""

    def __init__(self, fake: FakeControl, loop: asyncio.AbstractEventLoop) -> None:
        self.fake = fake
        self._loop = loop

    def open_gate(self) -> None:
        assert self.fake.gate is not None
        self._loop.call_soon_threadsafe(self.fake.gate.set)

    def wait_until(self, is_so: Callable[[FakeControl], bool]) -> None:
        wait_for(lambda: is_so(self.fake), "the daemon was told", DEADLINE_SECONDS)


@contextmanager
def a_daemon(settings: Path, *, gate: bool = False) -> Iterator[Daemon]:
    started: list[Daemon] = []
    ready, stop = threading.Event(), threading.Event()

    async def live() -> None:
        fake = FakeControl(gate=asyncio.Event() if gate else None)
        async with serving(fake, settings.parent / "state" / "control.sock", listen=None):
            started.append(Daemon(fake, asyncio.get_running_loop()))
            ready.set()
            await asyncio.to_thread(stop.wait, DEADLINE_SECONDS)

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    try:
        assert ready.wait(DEADLINE_SECONDS)
        yield started[0]
    finally:
        stop.set()
        thread.join(DEADLINE_SECONDS)


def environment(settings: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "DRD_CONFIG": str(settings), "LANG": "C.UTF-8"}


def drd(settings: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DRD, *words],
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )


def test_status_comes_from_the_daemon_over_its_socket(settings: Path) -> None:
    with a_daemon(settings):
        answered = drd(settings, "status")
    assert answered.returncode == 0, answered.stderr
    assert "site hangzhou" in answered.stdout
    assert "uploads failed: the source /srv/uploads is not mounted" in answered.stdout


def test_a_backup_is_followed_to_its_end(settings: Path) -> None:
    with a_daemon(settings):
        answered = drd(settings, "backup", "uploads", "--json")
    assert (answered.returncode, json.loads(answered.stdout)["outcome"]) == (0, "succeeded")


def test_errors_of_the_daemon_end_the_command_as_they_would_here(settings: Path) -> None:
    with a_daemon(settings):
        answered = drd(settings, "points", "nothing")
    assert (answered.returncode, answered.stdout) == (2, "")
    assert answered.stderr.startswith("error: there is no policy nothing\n  one of: recordings, uploads")


def test_without_a_daemon_a_reload_says_how_to_start_one(settings: Path) -> None:
    answered = drd(settings, "reload")
    assert answered.returncode == 2
    assert "drd run" in answered.stderr


def test_ctrl_c_leaves_the_work_to_the_daemon(settings: Path) -> None:
    with a_daemon(settings, gate=True) as daemon:
        typed = subprocess.Popen(
            [DRD, "backup", "uploads"],
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert typed.stderr is not None
        assert "full run of uploads" in typed.stderr.readline()
        typed.send_signal(signal.SIGINT)
        out, err = typed.communicate(timeout=DEADLINE_SECONDS)
        assert (typed.returncode, out) == (130, "")
        assert "with a daemon the run goes on: drd status" in err
        assert "Traceback" not in err
        daemon.open_gate()
        daemon.wait_until(lambda fake: fake.completed.is_set())


def test_a_reader_that_closes_the_pipe_is_no_error(settings: Path) -> None:
    with a_daemon(settings):
        piped = subprocess.run(
            ["sh", "-c", f"'{DRD}' points recordings --json | head -c 1"],
            env=environment(settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
    assert (piped.stdout, piped.stderr) == ("{", "")


def on_a_terminal(settings: Path, *words: str, **more: str) -> str:
    """What a person sees."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [DRD, *words],
        env={**environment(settings), "TERM": "xterm-256color", **more},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:
            break
        seen += data
    os.close(leader)
    assert process.wait(DEADLINE_SECONDS) == 0
    return seen.decode()


def test_a_terminal_gets_colour_and_no_color_is_honoured(settings: Path) -> None:
    with a_daemon(settings):
        coloured = on_a_terminal(settings, "status")
        plain = on_a_terminal(settings, "status", NO_COLOR="1")
    assert "\x1b[32mok" in coloured
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain)


def test_a_terminal_gets_a_progress_bar(settings: Path) -> None:
    with a_daemon(settings):
        seen = on_a_terminal(settings, "backup", "uploads")
    assert "succeeded" in seen
    assert "next: drd points uploads" in seen


def test_the_daemon_is_asked_although_a_policy_is_half_written(settings: Path) -> None:
    (settings.parent / "policies" / "half.yaml").write_text("policy: [")
    with a_daemon(settings):
        answered = drd(settings, "backup", "uploads")
    assert answered.returncode == 0, answered.stderr
    alone = drd(settings, "backup", "uploads")
    assert (alone.returncode, alone.stderr.count("half.yaml:1:")) == (2, 1)


def test_following_a_run_of_the_daemon_imports_nothing_that_takes_long(settings: Path) -> None:
    listing = (
        "import sys\n"
        "sys.argv = ['drd', 'backup', 'uploads']\n"
        "from drd.cli import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    print('left with', left.code)\n"
        "heavy = {'pydantic', 'pydantic_settings', 'rich', 'uvicorn', 'starlette', 'apscheduler', 'boto3', 'sqlite3',\n"
        "         'drd.core.policy', 'drd.core.events', 'drd.app.build', 'drd.config.load', 'drd.app.kinds'}\n"
        "print('loaded:', *sorted(heavy & set(sys.modules)))"
    )
    with a_daemon(settings):
        ended = subprocess.run(
            [sys.executable, "-c", listing],
            env=environment(settings),
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_SECONDS,
        )
    assert ended.stdout.splitlines()[-2:] == ["left with 0", "loaded:"]


def test_help_imports_nothing_that_takes_long() -> None:
    listing = (
        "import sys\n"
        "sys.argv = ['drd', '--help']\n"
        "from drd.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'asyncio', 'pydantic', 'rich', 'yaml', 'uvicorn', 'drd.app'}\n"
        "print('loaded:', *sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "loaded:"
