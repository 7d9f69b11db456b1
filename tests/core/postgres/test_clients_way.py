"""What clients would meet with a connection string when a host falls silent."""

from datetime import timedelta

import pytest

from drd.core.findings import Severity
from drd.core.postgres.clients_way import of_clients

BOTH = {"host": "a,b", "port": "5432,5432"}
QUICK = {"connect_timeout": "2"}
READ_WRITE = {"target_session_attrs": "read-write"}


@pytest.mark.parametrize(
    ("parameters", "seconds", "told"),
    [
        ({"host": "proxy", **QUICK}, 2, {}),
        ({"host": "proxy"}, 2, {"connect-timeout": Severity.NOTE}),
        ({"host": "proxy", "connect_timeout": "0"}, 2, {"connect-timeout": Severity.NOTE}),
        ({"host": "proxy", "connect_timeout": "soon"}, 2, {"connect-timeout": Severity.NOTE}),
        ({**BOTH, **QUICK, **READ_WRITE}, 3, {}),
        ({**BOTH, **READ_WRITE}, 3, {"connect-timeout": Severity.WARNING}),
        ({**BOTH, **QUICK}, 3, {"session-attributes": Severity.WARNING}),
        ({**BOTH, **QUICK, "target_session_attrs": "any"}, 3, {"session-attributes": Severity.WARNING}),
        ({**BOTH, **READ_WRITE, "connect_timeout": "1"}, 2, {"short-look": Severity.WARNING}),
        ({"hostaddr": "1,2,3", **READ_WRITE, **QUICK}, 4, {"short-look": Severity.WARNING}),
    ],
)
def test_a_string_that_would_hang_its_clients_or_leave_them_with_a_standby_is_told(
    parameters: dict[str, str], seconds: int, told: dict[str, Severity]
) -> None:
    found = list(of_clients(parameters, timedelta(seconds=seconds)))
    assert {each.about: each.severity for each in found} == told


def test_each_says_what_it_costs_and_what_to_write() -> None:
    first, second, third = of_clients(BOTH, timedelta(seconds=2))
    assert "measured was no end, and 2.1 s with connect_timeout=2" in first.message
    assert "connect_timeout=2" in first.hint
    assert "target_session_attrs=read-write" in second.hint
    assert third.message.startswith("a silent host is passed over after 2s, and drd's own looks end after 2s")
    assert "timeout: 3s" in third.hint
