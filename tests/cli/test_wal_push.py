"""`drd wal-push`: what PostgreSQL hands over is taken once, whole, and never in another's place."""

import os
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drd.cli.wal_push as wal_push
from drd.core.postgres.pages import LONG_BYTES
from drd.core.postgres.pages import fault as fault_by_core
from drd.core.postgres.wal import Segment
from tests.fakes.postgres_tools import wal_of
from tests.system.disks import small_disk

SYSTEM = "7000000000000000001"
MEBIBYTE = 2**20
SEGMENT = Segment(1, 5, MEBIBYTE)
DRD = Path(sys.executable).parent / "drd"

Push = Callable[[Path], subprocess.CompletedProcess[str]]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / wal_push.CLUSTER).write_text(f"{SYSTEM}\n{MEBIBYTE}\n")
    return folder


@pytest.fixture
def push(archive: Path) -> Push:
    def pushed(path: Path) -> subprocess.CompletedProcess[str]:
        words = [str(DRD), "wal-push", path.name, str(archive)]
        return subprocess.run(words, cwd=path.parent, capture_output=True, text=True, timeout=30, check=False)

    return pushed


def written(folder: Path, segment: Segment = SEGMENT, system: str = SYSTEM, name: str = "") -> Path:
    path = folder / (name or segment.name)
    path.write_bytes(wal_of(segment, system))
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {wal_push.CLUSTER}


def test_a_segment_is_taken_whole_and_readable_by_the_group(tmp_path: Path, archive: Path, push: Push) -> None:
    path = written(tmp_path)
    done = push(path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    taken = archive / path.name
    assert taken.read_bytes() == path.read_bytes()
    assert stat.S_IMODE(taken.stat().st_mode) == 0o640
    assert names(archive) == {path.name}


def test_the_same_segment_again_is_no_mistake_and_another_one_never_takes_its_place(
    tmp_path: Path, archive: Path, push: Push
) -> None:
    path = written(tmp_path)
    assert push(path).returncode == 0
    assert push(path).returncode == 0
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\1")
    done = push(path)
    assert done.returncode == 1
    assert "never written over" in done.stderr
    assert (archive / path.name).read_bytes() == content
    assert names(archive) == {path.name}


def test_a_segment_of_another_cluster_is_refused_as_a_second_server_that_writes_there(
    tmp_path: Path, archive: Path, push: Push
) -> None:
    done = push(written(tmp_path, system="7000000000000000002"))
    assert done.returncode == 1
    assert "two servers, one archive" in done.stderr
    assert names(archive) == set()


def test_a_segment_that_is_not_what_its_name_says_is_refused(tmp_path: Path, archive: Path, push: Push) -> None:
    short = written(tmp_path)
    short.write_bytes(short.read_bytes()[:-8192])
    other = written(tmp_path, Segment(1, 6, MEBIBYTE), name=Segment(1, 7, MEBIBYTE).name)
    older = written(tmp_path, Segment(3, 8, MEBIBYTE), name=Segment(2, 8, MEBIBYTE).name)
    rubbish = tmp_path / "postgresql.conf"
    rubbish.write_text("port = 1\n")
    for path in (short, other, older, rubbish):
        done = push(path)
        assert done.returncode == 1, path
        assert path.name in done.stderr
    assert names(archive) == set()


def test_the_first_segment_of_a_timeline_may_begin_with_a_page_of_the_one_before(tmp_path: Path, push: Push) -> None:
    assert push(written(tmp_path, name=Segment(2, 5, MEBIBYTE).name)).returncode == 0


def test_histories_labels_and_partial_segments_are_taken_too(tmp_path: Path, archive: Path, push: Push) -> None:
    history = tmp_path / "00000002.history"
    history.write_text("1\t0/500000\tno recovery target specified\n")
    label = tmp_path / f"{SEGMENT.name}.00000028.backup"
    label.write_text("START WAL LOCATION: 0/500028\n")
    partial = written(tmp_path, name=f"{SEGMENT.name}.partial")
    for path in (history, label, partial):
        assert push(path).returncode == 0, path
        assert push(path).returncode == 0, path
    assert names(archive) == {history.name, label.name, partial.name}
    history.write_text("1\t0/600000\tanother promotion\n")
    assert push(history).returncode == 1


def test_a_folder_that_drd_takes_nothing_from_is_refused(tmp_path: Path, push: Push, archive: Path) -> None:
    (archive / wal_push.CLUSTER).unlink()
    done = push(written(tmp_path))
    assert done.returncode == 1
    assert "drd has not reached the server yet" in done.stderr
    assert names(archive) == set()


def test_words_that_are_missing_are_told_with_what_to_write() -> None:
    done = subprocess.run([str(DRD), "wal-push"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "archive_command = 'drd wal-push %p" in done.stderr


def test_of_two_that_push_at_once_one_wins_and_nothing_torn_is_ever_seen(
    tmp_path: Path, archive: Path, push: Push
) -> None:
    path = written(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        assert [done.returncode for done in pool.map(push, [path] * 8)] == [0] * 8
    assert (archive / path.name).read_bytes() == path.read_bytes()
    assert names(archive) == {path.name}


def test_killed_in_the_middle_it_leaves_no_segment_that_is_not_whole(tmp_path: Path, archive: Path, push: Push) -> None:
    path = written(tmp_path)
    for delay in (0.0, 0.01, 0.02, 0.03, 0.04, 0.06):
        child = subprocess.Popen([str(DRD), "wal-push", str(path), str(archive)], stderr=subprocess.DEVNULL)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        taken = archive / path.name
        assert not taken.exists() or taken.read_bytes() == path.read_bytes()
    assert push(path).returncode == 0


def test_it_starts_with_nothing_but_the_interpreter() -> None:
    """By what it imports, which unlike its time is the same on every machine."""
    program = "import sys; before = set(sys.modules); import drd.cli.wal_push; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert set(done.stdout.split()) <= {"drd", "drd.cli", "drd.cli.wal_push", "__future__", "struct", "_struct"}


@given(
    timeline=st.integers(1, 4),
    number=st.integers(0, 9000),
    name_timeline=st.integers(1, 4),
    name_number=st.integers(0, 9000),
    system=st.sampled_from([7, 8]),
    size=st.sampled_from([MEBIBYTE, 16 * MEBIBYTE]),
    damage=st.sampled_from([b"", b"\0", b"\xff" * 4]),
)
def test_it_judges_headers_as_drd_does(
    timeline: int, number: int, name_timeline: int, name_number: int, system: int, size: int, damage: bytes
) -> None:
    start = number * size
    header = struct.pack("<HHIQI4xQII", 0xD110, 2, timeline, start, 0, system, size, 8192)
    header = damage + header[len(damage) :]
    named = Segment(name_timeline, name_number, MEBIBYTE)
    by_core = fault_by_core(named, "7", header[:LONG_BYTES])
    assert bool(wal_push.fault(named.name, header, 7, MEBIBYTE)) is bool(by_core)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, archive: Path, push: Push) -> None:
    with small_disk(tmp_path / "small", 1) as disk:
        (disk / wal_push.CLUSTER).write_text(f"{SYSTEM}\n{MEBIBYTE}\n")
        path = written(tmp_path)
        words = [str(DRD), "wal-push", str(path), str(disk)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert os.strerror(28) in done.stderr
        assert names(disk) == set()


def test_what_drd_took_in_at_that_moment_is_safe_and_a_folder_that_lacks_is_told(archive: Path) -> None:
    wal_push._flush(f"{archive}/{SEGMENT.name}", str(archive))
    with pytest.raises(FileNotFoundError):
        wal_push._flush(f"{archive}/nowhere/{SEGMENT.name}", f"{archive}/nowhere")
