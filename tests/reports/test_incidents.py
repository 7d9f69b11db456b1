"""What an incident's page says was lost."""

from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from drd.reports.incidents import incident_page
from tests.fakes.control import an_incident


def page(**times: object) -> str:
    found = an_incident()
    changed = found.times.model_copy(update={"promoted": found.times.up, **times})
    with (console := Console(width=200)).capture() as captured:
        console.print(incident_page(found.model_copy(update={"times": changed}), ZoneInfo("UTC")))
    return captured.get()


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({}, "at most that: the old primary was not brought back"),
        ({"lost_transactions": 0}, "no transaction: the old primary had none that is not here"),
        ({"lost_transactions": 1, "stranded": "/kept"}, "exactly 1 transaction that the old primary alone had"),
        ({"lost_transactions": 2, "stranded": "/kept"}, "listed in /kept"),
        ({"lost_bound": "what lies between 0/3 and 0/4", "stranded": "/kept"}, "at most that: what lies between"),
        ({"lost_bound": "what lies between 0/3 and 0/4", "stranded": "/kept"}, "the rest of it lies in /kept"),
    ],
)
def test_what_was_lost_is_exact_bounded_or_said_not_to_be_known(times: dict[str, object], words: str) -> None:
    assert words in page(**times)
