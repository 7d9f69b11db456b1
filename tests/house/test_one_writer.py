"""The fault tests' own judge, over the rows of all clients: who acknowledged, and when."""

import pytest

from tests.failover_site import assert_one_writer_at_a_time
from tests.writing_client import Noted


def a_row(number: int, server: str, timeline: int, began: float, moment: float) -> Noted:
    return Noted(moment, number, server, 700 + number, began, timeline)


def test_an_old_primary_that_serves_one_client_while_the_new_one_serves_another_is_found() -> None:
    one = [a_row(1, "old", 1, 1.0, 1.1), a_row(2, "new", 2, 2.0, 2.1)]
    other = [a_row(3, "old", 1, 2.0, 2.05), a_row(4, "old", 1, 2.2, 2.3)]
    with pytest.raises(AssertionError, match="old took row 4 and acknowledged it after new had taken over"):
        assert_one_writer_at_a_time(one, other)


def test_two_servers_that_were_promoted_to_the_same_timeline_are_found() -> None:
    with pytest.raises(AssertionError, match="old acknowledged row 2 on timeline 2 of new"):
        assert_one_writer_at_a_time([a_row(1, "new", 2, 1.0, 1.1)], [a_row(2, "old", 2, 0.9, 1.2)])


def test_an_answer_that_was_on_its_way_when_another_took_over_and_a_primary_that_leads_again_are_allowed() -> None:
    one = [a_row(1, "old", 1, 1.0, 1.1), a_row(2, "new", 2, 2.0, 2.1), a_row(5, "old", 3, 4.0, 4.1)]
    assert_one_writer_at_a_time(one, [a_row(3, "old", 1, 1.9, 3.0), a_row(4, "new", 2, 3.1, 3.2)])
