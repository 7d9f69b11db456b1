"""A line of PgBouncer's databases gets another server, and nothing else of the file is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.errors import PermanentError
from drd.core.pgbouncer import Where, pointed, where_of

FILE = """; host=1.1.1.1
[databases]
;orders = host=1.2.3.4
orders = host=10.0.1.11 port=5432 dbname=orders password='it''s host=x' pool_size=5
"web-shop"=dbname=web
orders2 = port=6000
* = host=10.0.1.9
[pgbouncer]
orders = host=10.9.9.9
"""
NEW = Where("10.0.1.12", 5433)


def test_only_host_and_port_of_its_own_line_change() -> None:
    assert pointed(FILE, "orders", NEW) == FILE.replace("10.0.1.11 port=5432", "10.0.1.12 port=5433")
    assert pointed(FILE, "web-shop", NEW) == FILE.replace("dbname=web\n", "dbname=web host=10.0.1.12 port=5433\n")
    assert pointed(FILE, "orders2", NEW) == FILE.replace("port=6000", "port=5433 host=10.0.1.12")
    assert where_of(FILE, "orders") == Where("10.0.1.11", 5432)
    assert where_of(FILE, "orders2") == Where("", 6000)
    assert where_of(FILE, "others") is None
    with pytest.raises(PermanentError, match="no line of the file is for the database others") as raised:
        pointed(FILE, "others", NEW)
    assert raised.value.hint == "write `others = host=10.0.1.12`"


def test_a_file_may_begin_within_the_section_that_includes_it_and_its_last_line_counts() -> None:
    text = "orders = host=a\norders = host=b"
    assert where_of(text, "orders") == Where("b", 5432)
    assert pointed(text, "orders", NEW) == "orders = host=a\norders = host=10.0.1.12 port=5433"


@given(
    st.text(alphabet="ab =;'\"#%[]\n", max_size=60),
    st.from_regex(r"[a-z0-9.:' -]{1,20}", fullmatch=True),
    st.integers(1, 65535),
)
def test_what_was_written_is_read_again_and_writing_it_twice_changes_nothing(text: str, host: str, port: int) -> None:
    file = f"{text}\n[databases]\norders = dbname=orders host='old one' \n"
    once = pointed(file, "orders", Where(host, port))
    assert where_of(once, "orders") == Where(host, port)
    assert pointed(once, "orders", Where(host, port)) == once
    assert once.startswith(text)
    assert Where.parse(str(Where(host, port))) == Where(host, port)
