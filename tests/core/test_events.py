"""What is stored of an event, and that it can be read again for ever."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.encoding import decode, encode, read_fact
from drd.core.errors import JournalDamaged
from drd.core.events import Body, CopyCreated, DaemonStopped, Event, RunFinished, RunStarted, StoreCreated, kinds
from drd.core.figures import RunFigures
from drd.core.policy import Cause, Mode, Outcome

AT = datetime(2026, 10, 1, 2, 0, 0, 123456, tzinfo=UTC)


def event(body: Body, at: datetime = AT, run: str | None = "01K0") -> Event:
    return Event("01DAEMON", 7, at, "boot", 12345, run, 3, body)


@dataclasses.dataclass(frozen=True)
class MadeUp(Body):
    """An event whose fields have changed twice."""

    KIND = "made-up-for-tests"
    VERSION = 3
    who: str
    seconds: float


MADE_UP_UPCASTERS = {
    ("made-up-for-tests", 1): lambda fields: {"name": fields["name"], "minutes": fields["minutes"]},
    ("made-up-for-tests", 2): lambda fields: {"who": fields["name"], "seconds": fields["minutes"] * 60.0},
}


def values_for(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) in (Union, UnionType):
        return st.one_of([st.none() if choice is type(None) else values_for(choice) for choice in get_args(hint)])
    if get_origin(hint) is tuple:
        return st.lists(values_for(get_args(hint)[0]), max_size=4).map(tuple)
    if get_origin(hint) is dict:
        key, value = get_args(hint)
        return st.dictionaries(values_for(key), values_for(value), max_size=3)
    if hint is datetime:
        return st.datetimes(min_value=datetime.fromisoformat("1970-01-01"), timezones=st.just(UTC))
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if dataclasses.is_dataclass(hint):
        return st.builds(hint, **{name: values_for(each) for name, each in get_type_hints(hint).items()})
    if hint is int:
        return st.integers(-(2**63), 2**63 - 1)
    return {str: st.text(), bool: st.booleans()}[hint]


def bodies() -> st.SearchStrategy[Body]:
    def of(kind: type[Body]) -> st.SearchStrategy[Body]:
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: values_for(hints[field.name]) for field in dataclasses.fields(kind)})

    return st.sampled_from(sorted(kinds().values(), key=lambda kind: kind.KIND)).flatmap(of)


@given(bodies(), st.one_of(st.none(), st.text()))
def test_every_event_comes_back_as_it_was(body: Body, run: str | None) -> None:
    told = event(body, run=run)
    assert decode(encode(told)) == told


def test_what_an_event_holds_of_other_values_comes_back_as_these() -> None:
    seen = RunFigures(1000, 2**20, 990, 2, 20, 4096, None)
    told = event(RunFinished("web", Mode.FULL, Outcome.SUCCEEDED, "", "", 1.0, 100, 10, "local", seen))
    assert decode(encode(told)) == told


@given(bodies())
def test_the_stored_bytes_are_canonical_json(body: Body) -> None:
    data = encode(event(body))
    again = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert data == again.encode("ascii")


@given(bodies())
def test_the_plain_reading_says_what_the_full_one_says(body: Body) -> None:
    data = encode(event(body))
    fact = read_fact(data)
    assert (fact.sequence, fact.run, fact.kind) == (7, "01K0", body.KIND)
    assert fact.at == "2026-10-01T02:00:00.123456Z"
    assert fact.body == json.loads(data)["body"]


def test_the_stored_form_never_changes() -> None:
    """A change that turns this red makes every journal in the field unreadable: raise FORMAT and migrate."""
    data = encode(event(RunStarted("web", Mode.FULL, Cause.CATCH_UP, AT)))
    assert data == (
        b'{"at":"2026-10-01T02:00:00.123456Z","body":{"cause":"catch-up","mode":"full","policy":"web",'
        b'"slot":"2026-10-01T02:00:00.123456Z"},"boot":"boot","daemon":"01DAEMON","kind":"run-started",'
        b'"monotonic_ns":12345,"run":"01K0","sequence":7,"term":3,"version":1}'
    )
    assert hashlib.sha256(data).hexdigest() == "c8a75bd357a57faeb56d86e5dd00e1490557c669668d504a4f4c7f915542e00d"


def test_moments_are_stored_in_utc_whatever_zone_they_were_told_in() -> None:
    berlin = timezone(timedelta(hours=2))
    there = event(DaemonStopped("signal"), at=AT.astimezone(berlin))
    assert encode(there) == encode(event(DaemonStopped("signal")))


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        encode(event(DaemonStopped("signal"), at=AT.replace(tzinfo=None)))


@given(st.text(st.characters(categories=["Cs", "Ll"])))
def test_half_characters_become_readable_letters(text: str) -> None:
    body = decode(encode(event(DaemonStopped(text)))).body
    assert body == DaemonStopped("".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) < 0xE000 else c for c in text))


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), object(), b"bytes", {1, 2}, 2**63, -(2**63) - 1])
def test_what_cannot_be_stored_faithfully_is_refused(strange: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(event(StoreCreated("local", strange, None)))  # type: ignore[arg-type]


def test_an_older_version_is_read_as_the_current_one_without_being_rewritten() -> None:
    data = encode(event(MadeUp("ann", 120.0)))
    first = data.replace(b'{"seconds":120.0,"who":"ann"}', b'{"minutes":2,"name":"ann"}')
    first = first.replace(b'"version":3', b'"version":1')
    assert decode(first, upcasters=MADE_UP_UPCASTERS).body == MadeUp("ann", 120.0)
    assert read_fact(first, MADE_UP_UPCASTERS).body == {"who": "ann", "seconds": 120.0}


def test_a_version_that_no_reader_is_left_for_is_a_damaged_journal() -> None:
    first = encode(event(MadeUp("ann", 1.0))).replace(b'"version":3', b'"version":2')
    with pytest.raises(JournalDamaged, match="no reader is left for version 2"):
        decode(first)


def test_an_event_of_a_newer_drd_says_which_drd_to_install() -> None:
    newer = encode(event(DaemonStopped("signal"))).replace(b'"version":1', b'"version":2')
    with pytest.raises(JournalDamaged, match=r"version 2 .* up to 1 — install the newer drd"):
        decode(newer)


def test_an_unknown_kind_says_which_drd_to_install() -> None:
    unknown = encode(event(DaemonStopped("signal"))).replace(b"daemon-stopped", b"daemon-danced")
    with pytest.raises(JournalDamaged, match="daemon-danced, which this drd does not know — install the newer drd"):
        decode(unknown)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"{}", b'{"kind":"daemon-stopped"}'])
@pytest.mark.parametrize("read", [decode, read_fact])
def test_bytes_that_are_no_event_are_a_damaged_journal(data: bytes, read: Callable[[bytes], object]) -> None:
    with pytest.raises(JournalDamaged, match="are not an event"):
        read(data)


def test_a_field_that_was_added_with_a_default_may_be_missing_in_what_is_stored() -> None:
    told = event(CopyCreated("web", "files", "offsite", "abc", "local", AT))
    older = encode(told).replace(b'"point_run":"",', b"")
    assert older != encode(told)
    assert decode(older) == told


def test_every_kind_has_a_name_of_its_own() -> None:
    names = [body.KIND for body in Body.__subclasses__()]
    assert len(names) == len(set(names))


def test_a_kind_that_is_declared_after_others_were_read_is_known_too() -> None:
    decode(encode(event(DaemonStopped("signal"))))

    @dataclasses.dataclass(frozen=True)
    class Later(Body):
        """An event of a part that was loaded late."""

        KIND = "made-up-later-for-tests"
        what: str

    told = event(Later("late"))
    assert read_fact(encode(told)).body == {"what": "late"}
    assert decode(encode(told)) == told
