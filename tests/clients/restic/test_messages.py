"""restic's lines as values: what is unknown is passed over, and nothing that restic may print breaks the reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.clients.restic.messages import (
    BackupStatus,
    BackupSummary,
    CheckSummary,
    ExitError,
    ItemFailed,
    RestoreStatus,
    parse,
)

KINDS = (BackupStatus, BackupSummary, CheckSummary, ExitError, ItemFailed, RestoreStatus)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["message_type", "bytes_done", "total_bytes", "snapshot_id", "broken_packs", "error", "item", "message", "code"]
)


def test_a_status_leaves_out_what_is_zero() -> None:
    line = b'{"message_type":"status","percent_done":0.5,"total_files":3,"bytes_done":10,"current_files":["/a"]}'

    assert parse(line, BackupStatus) == BackupStatus(bytes_done=10, total_files=3)


def test_a_summary_of_a_check_may_have_null_for_no_broken_packs() -> None:
    line = b'{"message_type":"summary","num_errors":1,"broken_packs":null,"suggest_prune":false}'

    assert parse(line, CheckSummary) == CheckSummary(num_errors=1)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            b'{"message_type":"error","error":{"Op":"open","Path":"/a","Err":13},"during":"scan","item":"/a"}',
            "/a: open",
        ),
        (b'{"message_type":"error","error":{"message":"open /a: denied"},"item":"/a"}', "/a: open /a: denied"),
        (b'{"message_type":"error","message":"pack abc: does not exist\\n"}', "pack abc: does not exist\n"),
    ],
)
def test_the_error_of_an_item_has_words_in_every_version(line: bytes, text: str) -> None:
    message = parse(line, ItemFailed)

    assert message is not None
    assert message.text == text


@pytest.mark.parametrize(
    "line", [b"", b"plain words", b"{not json", b"[1]", b'{"message_type":"brand_new"}', b"\xff{}"]
)
def test_what_is_no_known_message_is_passed_over(line: bytes) -> None:
    assert parse(line, *KINDS) is None


@given(document=st.dictionaries(FIELDS | st.text(), VALUES), kind=st.sampled_from(KINDS))
def test_values_of_other_types_never_break_the_reader(document: dict[str, object], kind: type[BackupStatus]) -> None:
    line = json.dumps({**document, "message_type": kind.TYPE}).encode()

    message = parse(line, kind)

    assert isinstance(message, kind)
    for name in ("bytes_done", "num_errors", "code", "total_files"):
        assert isinstance(getattr(message, name, 0), int)


@given(line=st.binary())
def test_any_bytes_are_read_without_an_error(line: bytes) -> None:
    parse(line, *KINDS)
