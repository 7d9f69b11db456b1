import hashlib
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.clients.carrier.content import BLOCK_BYTES, FIRST_BLOCK_BYTES, QUICK_SECONDS, NamedContent, Refused
from drd.clients.carrier.pace import Pace


def named(content: bytes, name: str | None, size: int) -> NamedContent:
    return NamedContent(io.BytesIO(content), name, size, Pace(None), lambda count: None)


def drained(content: NamedContent) -> bytes:
    received = b""
    while block := content.read():
        received += block
    return received


@given(st.binary(min_size=1, max_size=2_000))
def test_content_that_is_what_it_is_called_passes_whole(content: bytes) -> None:
    assert drained(named(content, hashlib.sha256(content).hexdigest(), len(content))) == content


@given(st.binary(min_size=1, max_size=2_000), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_wrong_byte_never_passes_whole(content: bytes, where: int, flip: int) -> None:
    name = hashlib.sha256(content).hexdigest()
    damaged = bytearray(content)
    damaged[where % len(damaged)] ^= flip
    checked = named(bytes(damaged), name, len(damaged))
    with pytest.raises(Refused, match="does not hash to its name"):
        drained(checked)
    assert isinstance(checked.failure, Refused)


def test_of_a_long_damaged_file_the_last_block_is_held_back() -> None:
    content = bytes(3 * BLOCK_BYTES)
    checked = named(content, "0" * 64, len(content))
    received: list[int] = []

    def receive() -> None:
        while block := checked.read():
            received.append(len(block))

    with pytest.raises(Refused):
        receive()
    assert 0 < sum(received) < len(content)


def test_blocks_grow_while_they_are_taken_quickly_and_only_then() -> None:
    content = bytes(6 * BLOCK_BYTES)
    checked = named(content, hashlib.sha256(content).hexdigest(), len(content))
    sizes = [len(checked.read()) for _ in range(4)]
    assert sizes[0] <= FIRST_BLOCK_BYTES
    assert FIRST_BLOCK_BYTES < max(sizes) <= BLOCK_BYTES
    time.sleep(2 * QUICK_SECONDS)  # the pace of a slow line, not a wait
    assert len(checked.read()) == FIRST_BLOCK_BYTES


@pytest.mark.parametrize(("rate", "most"), [(None, BLOCK_BYTES), (2**40, BLOCK_BYTES), (2**20, 2**18), (1, 2**14)])
def test_the_slower_the_line_the_smaller_the_blocks(rate: int | None, most: int) -> None:
    assert Pace(rate).at_once(BLOCK_BYTES) == most


def test_a_file_that_is_shorter_than_listed_is_refused() -> None:
    with pytest.raises(Refused, match="ends after 3 of 5 bytes"):
        drained(named(b"abc", hashlib.sha256(b"abc").hexdigest(), 5))


def test_a_file_that_is_empty_is_refused_unless_it_has_no_name() -> None:
    with pytest.raises(Refused, match="ends after 0 of 0 bytes"):
        drained(named(b"", hashlib.sha256(b"abc").hexdigest(), 0))
    assert drained(named(b"", None, 0)) == b""


def test_what_lies_beyond_the_listed_size_is_not_sent() -> None:
    with pytest.raises(Refused):
        drained(named(b"abcdef", hashlib.sha256(b"abcdef").hexdigest(), 3))


def test_a_source_that_fails_is_remembered_as_the_reason() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("no such device")

    checked = NamedContent(Broken(), None, 5, Pace(None), lambda count: None)
    with pytest.raises(OSError, match="no such device"):
        checked.read()
    assert isinstance(checked.failure, OSError)


def test_a_pace_lets_no_more_through_than_its_rate() -> None:
    pace = Pace(1_000_000)
    started = time.monotonic()
    for _ in range(10):
        pace.take(50_000)
    assert time.monotonic() - started >= 0.2


def test_without_a_rate_nothing_waits() -> None:
    started = time.monotonic()
    for _ in range(1000):
        Pace(None).take(10**9)
    assert time.monotonic() - started < 1
