"""Records that say where a node is, as they are kept and as they are asked for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.dns import Change, Record, demand_within, others_of, type_of, value_of
from drd.core.errors import PermanentError

ADDRESSES = st.ip_addresses().map(str)


@given(st.sets(ADDRESSES, min_size=1, max_size=4), st.integers(1, 86_400))
def test_a_record_is_read_as_it_was_written_whatever_the_order_of_its_values(values: set[str], ttl: int) -> None:
    found = Record.parse(str(Record(tuple(values), ttl)))
    assert (set(found.values), found.ttl) == (values, ttl)
    assert str(found) == str(Record(tuple(sorted(values, reverse=True)), ttl))


@pytest.mark.parametrize(
    ("host", "kind", "value"),
    [
        ("10.0.0.7", "A", "10.0.0.7"),
        ("fd00::7", "AAAA", "fd00::7"),
        ("db-2.example.org", "CNAME", "db-2.example.org."),
        ("DB-2.example.org.", "CNAME", "db-2.example.org."),
        ("FD00:0::0007", "AAAA", "fd00::7"),
    ],
)
def test_an_address_leads_to_a_host_by_itself_and_a_name_by_another_name(host: str, kind: str, value: str) -> None:
    assert (type_of(host), value_of(host)) == (kind, value)


def test_beside_an_address_one_of_the_other_type_would_lead_elsewhere() -> None:
    assert {kind: others_of(kind) for kind in ("A", "AAAA", "CNAME")} == {"A": ("AAAA",), "AAAA": ("A",), "CNAME": ()}


def test_what_says_the_same_in_other_words_is_no_change() -> None:
    said = Record(("fd00::7", "fd00::8"), 5)
    assert not Change("AAAA", said, Record(("FD00::8", "fd00:0::7"), 5)).is_one
    assert not Change("CNAME", Record(("DB.Example.org.",), 5), Record(("db.example.org",), 5)).is_one
    assert not Change("A", None, None).is_one
    for other in (None, Record(("fd00::7",), 5), replace(said, ttl=6)):
        assert Change("AAAA", said, other).is_one


@pytest.mark.parametrize("name", ["example.org", "DB.Example.org.", "a.b.example.org"])
def test_a_zone_holds_itself_and_all_names_below_it(name: str) -> None:
    demand_within(name, "example.ORG.")


@pytest.mark.parametrize("name", ["org", "notexample.org", "example.org.uk"])
def test_a_name_of_another_zone_is_refused(name: str) -> None:
    with pytest.raises(PermanentError, match=r"is no name of the zone example\.org"):
        demand_within(name, "example.org")
