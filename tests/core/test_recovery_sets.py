"""What belongs together where a database goes on from its base backup and other parts cannot."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from drd.core.points import Copy, RecoveryPoint
from drd.core.policy import Mode, Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Choice, RecoveryPlan
from drd.core.postgres.target import AtLsn, AtTime, Latest, Target
from drd.core.postgres.timeline import History
from drd.core.recovery_sets import RecoverySet, set_for
from drd.core.tags import BESIDE_WAL

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
MIB = 2**20
RECORD = BaseRecord("7000", 150000, 1, Lsn(16 * MIB), Lsn(17 * MIB), START, MIB, holds_wal=True)


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def full(hour: int, *stores: str) -> RecoveryPoint:
    return a_point(hour, {"orders": RECORD.tags(), "files": ()}, stores)


def beside(hour: int, *stores: str) -> RecoveryPoint:
    return a_point(hour, {"files": (f"{BESIDE_WAL}orders",)}, stores)


def a_point(hour: int, parts: dict[str, tuple[str, ...]], stores: tuple[str, ...]) -> RecoveryPoint:
    copies = tuple(Copy(store, part, f"{hour}{store}{part}") for store in stores or ("local",) for part in parts)
    facts = {part: said for part, said in parts.items() if said}
    run = f"{hour:02}RUN"
    return RecoveryPoint("shop", run, Mode.FULL, at(hour), Outcome.SUCCEEDED, 1, 1, copies, facts=facts)


def to(target: Target) -> RecoveryPlan:
    base = Base.of("00RUN", RECORD)
    return RecoveryPlan("7000", Choice(base, History(1), Lsn(40 * MIB), Lsn(60 * MIB), MIB), target)


def taken(found: RecoverySet) -> dict[str, str]:
    """Part → the run that it is from."""
    others = {part: point.run for part, point in found.others.items()}
    return {part: others.get(part, found.point.run) for part in found.point.parts}


POINTS = (full(0), beside(1), beside(2), beside(3))


def test_the_others_are_of_the_newest_run_that_had_read_them_by_then() -> None:
    assert taken(set_for(POINTS[0], POINTS, to(AtTime(at(2.5))))) == {"orders": "00RUN", "files": "02RUN"}
    assert taken(set_for(POINTS[0], POINTS, to(Latest()))) == {"orders": "00RUN", "files": "03RUN"}
    assert taken(set_for(POINTS[0], POINTS, to(AtTime(at(0.5))))) == {"orders": "00RUN", "files": "00RUN"}


def test_when_a_position_was_reached_is_told_by_the_marks_before_it() -> None:
    marks = [Mark(at(1.2), 1, Lsn(30 * MIB)), Mark(at(2.9), 1, Lsn(50 * MIB))]
    assert taken(set_for(POINTS[0], POINTS, to(AtLsn(Lsn(40 * MIB))), marks))["files"] == "01RUN"
    assert taken(set_for(POINTS[0], POINTS, to(AtLsn(Lsn(40 * MIB)))))["files"] == "00RUN"


def test_all_parts_come_from_one_store() -> None:
    points = (full(0, "local", "offsite"), beside(1, "local", "offsite"), beside(2, "local"), beside(3, "nas"))
    newest = to(Latest())
    assert taken(set_for(points[0], points, newest))["files"] == "02RUN"
    assert taken(set_for(points[0], points, newest, store="offsite"))["files"] == "01RUN"
    found = set_for(points[0], points, newest)
    assert found.point.stores == ("local",)
    assert {copy.part for copy in found.point.copies_in("local")} == {"orders", "files"}


def test_a_point_beside_wal_names_what_it_leaves_to_it() -> None:
    assert beside(1).reached_by_wal == ("orders",)
    assert full(0).reached_by_wal == ()


def test_where_no_store_holds_all_of_it_the_parts_of_the_bases_own_run_are_taken() -> None:
    points = (replace(full(0, "local"), outcome=Outcome.INCOMPLETE), beside(1, "nas"))
    assert set_for(points[0], points, to(Latest())) == RecoverySet(points[0])
