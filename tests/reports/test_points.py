"""Recovery points as a terminal shows them."""

import io
from datetime import timedelta
from zoneinfo import ZoneInfo

from rich.console import Console

from drd.core.policy import Mode, Outcome
from drd.ports.control import PointStatus
from drd.reports.points import points_table
from tests.fakes.control import NOW

NOTE = "base backup of PostgreSQL 15, as of its end at 0/900100 on timeline 1"


def test_eighty_columns_hold_a_point_and_below_it_its_notes_unbroken() -> None:
    points = [
        PointStatus(
            run=str(hours),
            mode=Mode.FULL,
            moment=NOW - timedelta(hours=hours),
            outcome=Outcome.SUCCEEDED,
            total_bytes=2**25 * hours,
            total_files=971 * hours,
            stores=("local", "offsite"),
            notes=(NOTE,),
            why_kept={"local": ("last snapshot",), "offsite": ("last snapshot",)},
        )
        for hours in (1, 30)
    ]
    out = io.StringIO()
    Console(file=out, width=80).print(points_table(points, NOW, ZoneInfo("Asia/Shanghai"), why=True))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert len(lines) == 7
    assert lines[2] == lines[5] == f"    {NOTE}"
    assert lines[3] == "    local, offsite: last"
    assert {line.index("local") for line in (lines[1], lines[4])} == {lines[0].index("where")}
