"""Real children: what they get, what comes back, and that nothing of them is left."""

import asyncio
import errno
import getpass
import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.process import ChildRunner
from drd.clients.process.shortage import in_our_words
from drd.core.errors import PermanentError, ProgramMissing, TransientError
from drd.ports.runner import Command, Ending, Stream
from tests.waiting import until

PATH = {"PATH": "/usr/bin:/bin"}
SECOND = timedelta(seconds=1)


# A shell that gets SIGINT just before it starts a program waits for that program, so it is given little time.
SOON = ((signal.SIGINT, SECOND / 2), (signal.SIGTERM, SECOND))


def shell(script: str, **options: object) -> Command:
    options = {"environment": PATH, "stop_signals": SOON, **options}
    return Command(("/bin/sh", "-c", script), **options)  # type: ignore[arg-type]


def python(script: str, **options: object) -> Command:
    return Command((sys.executable, "-c", script), **{"environment": PATH, **options})  # type: ignore[arg-type]


class Lines:
    """What a child wrote."""

    def __init__(self) -> None:
        self.stdout: list[bytes] = []
        self.stderr: list[bytes] = []

    def __call__(self, stream: Stream, line: bytes) -> None:
        (self.stdout if stream == "stdout" else self.stderr).append(line)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_the_environment_is_exactly_what_was_given() -> None:
    lines = Lines()

    await ChildRunner().run(Command(("/usr/bin/env",), {"DRD_ONLY": "this"}), lines)

    assert lines.stdout == [b"DRD_ONLY=this"]


async def test_a_secret_is_read_by_descriptor_as_often_as_wanted_and_stands_in_no_argument() -> None:
    lines = Lines()
    command = shell(
        "cat {word}; echo; cat $PLACE; echo; tr '\\0' ' ' < /proc/$$/cmdline; tr '\\0' ' ' < /proc/$$/environ",
        environment={**PATH, "PLACE": "{word}"},
        secrets={"word": b"sesame-open"},
    )

    await ChildRunner().run(command, lines)

    assert lines.stdout[:2] == [b"sesame-open", b"sesame-open"]
    assert not any(b"sesame" in line for line in lines.stdout[2:])


async def test_a_secret_reaches_a_child_that_runs_as_another_user() -> None:
    lines = Lines()
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()

    await ChildRunner().run(shell("id -un; cat {word}", secrets={"word": b"sesame"}, user=user), lines)

    assert lines.stdout == [user.encode(), b"sesame"]


async def test_an_unknown_user_is_an_error_that_names_it() -> None:
    with pytest.raises(PermanentError, match="no-such-user-here"):
        await ChildRunner().run(shell("true", user="no-such-user-here"))


async def test_the_kept_end_of_standard_error_holds_no_secret_nor_a_line_of_one() -> None:
    key = b"-----BEGIN KEY-----\nAAAABBBBCCCCDDDD\nEEEEFFFFGGGGHHHH\n-----END KEY-----\n"
    command = shell("cat {key} >&2; echo password=pa55word >&2", secrets={"key": key, "password": b"pa55word"})

    ended = await ChildRunner().run(command)

    assert "AAAABBBB" not in ended.stderr_tail
    assert "EEEEFFFF" not in ended.stderr_tail
    assert ended.stderr_tail.endswith("password=[secret]")


async def test_a_line_of_20_megabytes_comes_whole() -> None:
    lengths: list[int] = []

    ended = await ChildRunner().run(python("print('x' * 20_000_000)"), lambda _, line: lengths.append(len(line)))

    assert (ended.code, lengths) == (0, [20_000_000])


async def test_a_last_line_without_its_end_is_a_line() -> None:
    lines = Lines()

    await ChildRunner().run(shell("printf 'one\\n\\ntwo'"), lines)

    assert lines.stdout == [b"one", b"", b"two"]


async def test_both_streams_are_drained_at_once() -> None:
    lines = Lines()
    script = (
        "import sys\nfor n in range(3000): sys.stderr.write('e' * 999 + '\\n'); sys.stdout.write('o' * 999 + '\\n')"
    )

    ended = await ChildRunner().run(python(script), lines)

    assert (ended.code, len(lines.stdout), len(lines.stderr)) == (0, 3000, 3000)
    assert len(ended.stderr_tail) <= 8192


async def test_standard_input_is_what_was_given_and_else_empty() -> None:
    lines = Lines()

    await ChildRunner().run(shell("cat; echo end", standard_input=b"given\n"), lines)
    await ChildRunner().run(shell("cat; echo end"), lines)

    assert lines.stdout == [b"given", b"end", b"end"]


async def test_output_that_is_data_goes_into_a_file_for_its_owner_only(tmp_path: Path) -> None:
    lines = Lines()

    await ChildRunner().run(shell("echo data; echo words >&2", output=tmp_path / "data"), lines)

    assert (tmp_path / "data").read_bytes() == b"data\n"
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o600
    assert (lines.stdout, lines.stderr) == ([], [b"words"])


async def test_a_missing_program_says_what_to_type() -> None:
    with pytest.raises(ProgramMissing) as caught:
        await ChildRunner().run(Command(("no-such-program",), PATH))

    assert "apt-get install" in caught.value.hint


async def test_a_missing_folder_to_work_in_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PermanentError):
        await ChildRunner().run(shell("true", working_directory=tmp_path / "gone"))


async def test_arguments_that_are_too_long_for_the_system_are_told_as_such() -> None:
    with pytest.raises(PermanentError, match="too long for this system") as caught:
        await ChildRunner().run(Command(("/bin/echo", "x" * 200_000), PATH))
    assert "getconf ARG_MAX" in caught.value.hint


AT_THE_LIMIT = """
import asyncio, os, resource
from drd.clients.process import ChildRunner
from drd.core.errors import TransientError
from drd.ports.runner import Command

async def outcome(spare, start):
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + spare, 4096))
    try:
        await start()
        return "done"
    except TransientError as error:
        return f"{error.message} | {error.hint}"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))

async def main():
    runner = ChildRunner()
    echo = Command(("/bin/echo", "{secret}"), secrets={"secret": b"s"}, standard_input=b"in")
    cat = Command(("/bin/cat",))
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    for start in (lambda: runner.run(echo), lambda: runner.pipe(echo, cat)):
        before = sorted(os.listdir("/proc/self/fd"))
        for spare in range(24):
            print(await outcome(spare, start))
            assert sorted(os.listdir("/proc/self/fd")) == before, spare
    try:
        os.waitpid(-1, os.WNOHANG)
        print("a child is left")
    except ChildProcessError:
        pass

asyncio.run(main())
"""


def test_however_few_descriptors_are_left_a_child_is_started_whole_or_refused_in_words() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", AT_THE_LIMIT], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    outcomes = ended.stdout.splitlines()
    assert outcomes.count("done") >= 10, outcomes
    refusals = [line for line in outcomes if line != "done"]
    assert len(refusals) >= 10
    for refusal in refusals:
        assert re.fullmatch(
            r"/bin/(echo|cat) cannot be started: drd has as many files open as it may \| .*LimitNOFILE=.*", refusal
        ), refusal


@pytest.mark.parametrize(("number", "words"), [(errno.ENOMEM, "no memory left"), (errno.EAGAIN, "as many processes")])
def test_what_the_system_lacks_just_now_is_transient(number: int, words: str) -> None:
    told = in_our_words(OSError(number, os.strerror(number)), "/usr/bin/restic", None)
    assert isinstance(told, TransientError)
    assert words in told.message
    assert told.hint


async def test_the_exit_code_and_what_the_child_used_come_back() -> None:
    ended = await ChildRunner().run(python("b = bytearray(200 << 20); sum(range(2_000_000)); raise SystemExit(7)"))

    assert (ended.code, ended.ending) == (7, Ending.EXITED)
    assert ended.processor_seconds > 0.01
    assert ended.peak_memory_bytes > 200 << 20


async def test_a_child_that_dies_of_a_signal_gives_minus_its_number() -> None:
    assert (await ChildRunner().run(shell("kill -KILL $$"))).code == -signal.SIGKILL


async def test_idle_work_lets_everybody_else_go_first() -> None:
    lines = Lines()

    await ChildRunner().run(shell("ionice; nice", io_idle=True), lines)

    assert lines.stdout == [b"idle", b"19"]


async def test_work_that_gives_way_goes_behind_the_loop_that_watches() -> None:
    lines, plain = Lines(), Lines()

    await ChildRunner().run(shell("nice", gives_way=True), lines)
    await ChildRunner().run(shell("nice"), plain)

    assert int(lines.stdout[0]) == int(plain.stdout[0]) + 10


async def test_a_child_is_stopped_at_its_deadline() -> None:
    ended = await ChildRunner().run(shell("sleep 60", deadline=SECOND / 4))

    assert ended.ending is Ending.DEADLINE
    assert ended.seconds < 10


async def test_a_child_that_writes_nothing_is_stopped_as_stalled() -> None:
    ended = await ChildRunner().run(shell("echo start; sleep 60", stall=SECOND / 4))

    assert ended.ending is Ending.STALLED


async def test_lines_that_tell_of_no_movement_do_not_put_off_the_stall() -> None:
    command = shell("while :; do echo the same; sleep 0.05; done", stall=SECOND / 2)

    ended = await ChildRunner().run(command, lambda _, line: line != b"the same")

    assert ended.ending is Ending.STALLED


async def test_lines_that_tell_of_movement_put_off_the_stall() -> None:
    command = shell("for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.2; done", stall=SECOND)

    assert (await ChildRunner().run(command)).ending is Ending.EXITED


async def test_a_silent_child_that_reads_is_not_stalled_where_work_counts() -> None:
    reading = "exec dd if=/dev/zero of=/dev/null bs=64k status=none"
    command = shell(reading, stall=SECOND / 4, counts_work=True, deadline=SECOND)

    assert (await ChildRunner().run(command)).ending is Ending.DEADLINE


async def test_a_silent_child_that_only_waits_is_stalled_although_it_worked_before() -> None:
    script = "head -c 4000000 /dev/zero; exec sleep 60"
    command = shell(script, stall=SECOND / 4, counts_work=True)

    assert (await ChildRunner().run(command)).ending is Ending.STALLED


async def test_stop_signals_are_sent_in_order_and_a_deaf_child_is_killed(tmp_path: Path) -> None:
    script = f"""
import signal, time, pathlib
heard = pathlib.Path({str(tmp_path / "heard")!r})
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: heard.open("a").write(f"{{number}} "))
print("ready", flush=True)
while True: time.sleep(0.05)
"""
    signals = ((signal.SIGINT, SECOND / 2), (signal.SIGTERM, SECOND / 2))

    ended = await ChildRunner().run(python(script, stall=SECOND / 2, stop_signals=signals))

    assert (tmp_path / "heard").read_text() == "2 15 "
    assert (ended.code, ended.ending) == (-signal.SIGKILL, Ending.STALLED)


async def test_cancelling_ends_the_whole_group_before_it_returns() -> None:
    lines = Lines()
    run = asyncio.create_task(ChildRunner().run(shell("sleep 97 & echo $!; echo $$; wait"), lines))
    await until(lambda: len(lines.stdout) == 2, "the child's numbers")

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert not any(alive(int(pid)) for pid in lines.stdout)


async def test_cancelling_at_any_step_of_the_start_leaves_no_descriptor_open() -> None:
    before = open_descriptors()
    for steps in range(12):
        run = asyncio.create_task(ChildRunner().run(shell("sleep 97", stop_signals=((signal.SIGKILL, SECOND),))))
        for _ in range(steps):
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert open_descriptors() == before, steps


async def test_cancelling_twice_still_waits_for_the_end() -> None:
    lines = Lines()
    command = shell("trap 'sleep 0.5; exit' INT; echo $$; while :; do sleep 0.05; done")
    run = asyncio.create_task(ChildRunner().run(command, lines))
    await until(lambda: bool(lines.stdout), "the child's number")

    run.cancel()
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert not alive(int(lines.stdout[0]))


async def test_a_grandchild_that_holds_the_output_holds_nobody_up() -> None:
    lines = Lines()

    ended = await ChildRunner().run(shell("sleep 98 & echo $!; exit 0"), lines)

    assert ended.code == 0
    assert ended.seconds < 10
    assert not alive(int(lines.stdout[0]))


async def test_a_grandchild_that_left_the_output_is_ended_with_its_group() -> None:
    lines = Lines()

    await ChildRunner().run(shell("sleep 99 > /dev/null 2>&1 & echo $!"), lines)

    assert not alive(int(lines.stdout[0]))


async def test_what_the_line_callback_raises_ends_the_child_and_is_raised() -> None:
    started = time.monotonic()

    def fail(stream: Stream, line: bytes) -> None:
        raise ValueError(f"no such line: {line.decode()}")

    with pytest.raises(ValueError, match="no such line: first"):
        await ChildRunner().run(shell("echo first; echo second; sleep 60"), fail)

    assert time.monotonic() - started < 20


async def test_no_descriptor_stays_open() -> None:
    await ChildRunner().run(shell("true"))
    before = open_descriptors()

    for _ in range(5):
        await ChildRunner().run(shell("cat {s}", secrets={"s": b"x"}, standard_input=b"y"))
        await ChildRunner().pipe(shell("echo x"), shell("cat"))
        await ChildRunner().pipe(shell("exit 1"), shell("cat"))

    assert open_descriptors() == before


async def test_a_hundred_children_at_once_all_come_back() -> None:
    ended = await asyncio.gather(*(ChildRunner().run(shell(f"exit {number % 7}")) for number in range(100)))

    assert [each.code for each in ended] == [number % 7 for number in range(100)]


class TestPipe:
    """Two programs of which the second may not take a torn stream for a whole one."""

    async def test_the_consumer_reads_what_the_producer_wrote(self) -> None:
        lines = Lines()

        produced, consumed = await ChildRunner().pipe(shell("echo data"), shell("cat; echo end"), lines)

        assert (produced.code, consumed.code) == (0, 0)
        assert lines.stdout == [b"data", b"end"]

    @pytest.mark.parametrize("ending", ["exit 7", "kill -KILL $$", "kill -TERM $$"])
    async def test_a_consumer_never_sees_the_end_of_a_producer_that_died(self, ending: str) -> None:
        lines = Lines()

        produced, consumed = await ChildRunner().pipe(shell(f"echo data; {ending}"), shell("cat; echo end"), lines)

        assert produced.code != 0
        assert consumed.ending is Ending.CANCELLED
        assert b"end" not in lines.stdout

    async def test_a_producer_that_takes_too_long_counts_as_dead(self) -> None:
        lines = Lines()
        producer = shell("echo data; sleep 60", deadline=SECOND / 4)

        produced, consumed = await ChildRunner().pipe(producer, shell("cat; echo end"), lines)

        assert (produced.ending, consumed.ending) == (Ending.DEADLINE, Ending.CANCELLED)
        assert b"end" not in lines.stdout

    async def test_a_producer_that_closed_its_output_is_waited_for(self) -> None:
        lines = Lines()

        produced, _ = await ChildRunner().pipe(
            shell("echo data; exec >&-; sleep 0.3; exit 9"), shell("cat; echo end"), lines
        )

        assert produced.code == 9
        assert lines.stdout == [b"data"]

    async def test_a_consumer_that_ends_first_stops_the_producer(self) -> None:
        produced, consumed = await ChildRunner().pipe(shell("while :; do sleep 0.05; done"), shell("exit 4"))

        assert (consumed.code, consumed.ending) == (4, Ending.EXITED)
        assert produced.ending is Ending.CANCELLED

    async def test_a_producer_that_fails_of_its_consumer_leaves_the_consumers_own_ending(self) -> None:
        _, consumed = await ChildRunner().pipe(shell("yes"), shell("head -c 100000 > /dev/null; exit 5"))

        assert (consumed.code, consumed.ending) == (5, Ending.EXITED)

    async def test_cancelling_ends_both(self) -> None:
        lines = Lines()
        run = asyncio.create_task(
            ChildRunner().pipe(shell("echo $$; exec sleep 60"), shell("echo $$; exec cat"), lines)
        )
        await until(lambda: len(lines.stdout) == 2, "both children's numbers")

        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert not any(alive(int(pid)) for pid in lines.stdout)

    async def test_a_missing_producer_leaves_no_consumer(self) -> None:
        before = open_descriptors()

        with pytest.raises(ProgramMissing):
            await ChildRunner().pipe(Command(("no-such-program",), PATH), shell("cat"))

        assert open_descriptors() == before


DAEMON = """
import asyncio, sys
from drd.clients.process import ChildRunner
from drd.ports.runner import Command
def shell(script): return Command(("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"})
asyncio.run(ChildRunner().pipe(shell(sys.argv[1]), shell(sys.argv[2])))
"""


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(5))
async def test_children_die_with_a_daemon_that_is_killed_and_none_takes_its_input_for_whole(
    tmp_path: Path, seed: int
) -> None:
    producer = f"echo $$ > {tmp_path}/producer; while :; do echo data; done"
    consumer = f"echo $$ > {tmp_path}/consumer; cat > /dev/null; echo whole > {tmp_path}/whole"
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, producer, consumer])
    numbers = [tmp_path / "producer", tmp_path / "consumer"]
    await until(lambda: all(file.exists() and file.read_text().strip() for file in numbers), "both children")

    daemon.kill()
    await asyncio.to_thread(daemon.wait, 20)

    await until(lambda: not any(alive(int(file.read_text())) for file in numbers), "the children's end")
    assert not (tmp_path / "whole").exists()
