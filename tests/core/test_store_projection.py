"""What follows for a store from damage that is found in it, from what a person says, and from who holds its keys."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drd.core.encoding import Fact, moment_text, plain
from drd.core.events import (
    Body,
    CopyCreated,
    DamageFound,
    DamageGivenUp,
    DamageHealed,
    DamageLeft,
    ForgetStarted,
    HoldPlaced,
    HoldReleased,
    KeysListed,
    ProtectionProbed,
    SnapshotFound,
    SnapshotMissing,
    SnapshotsForgotten,
    StoreChecked,
    StoreCreated,
    StoreReconciled,
)
from drd.core.events.healing import BY_LISTING, BY_OPENING, BY_RESTORE
from drd.core.policy import Mode, Outcome
from drd.core.projections import fold
from drd.core.projections.points import withheld
from tests.fakes.journal import MemoryTables

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
FOUND = DamageFound("local", "1/4", ("data/aa", "index/bb"), "a pack is damaged")


class Told(MemoryTables):
    """Rows in memory, and a history that is told event by event, one a minute."""

    minutes = 0

    def tell(self, *bodies: Body, run: str | None = None) -> str:
        at = ""
        for body in bodies:
            self.minutes += 1
            at = moment_text(NOON + timedelta(minutes=self.minutes))
            fold(self, Fact(self.minutes, at, run, body.KIND, plain(body)))
        return at

    def store(self, name: str = "local") -> Any:
        return self.stores.get((name,))


def a_told() -> Told:
    told = Told()
    told.tell(StoreCreated("local", "id", None))
    return told


def a_snapshot(name: str, store: str = "local", part: str = "files", run: str = "r1") -> SnapshotFound:
    return SnapshotFound("web", run, part, store, name, NOON, Mode.FULL, Outcome.SUCCEEDED, "d")


def checked(subset: str, sound: bool) -> StoreChecked:
    return StoreChecked("local", subset, sound, 0 if sound else 1, "", 1.0)


def test_all_that_is_found_of_one_damage_adds_up_from_its_first_day() -> None:
    told = a_told()
    first = told.tell(FOUND)
    told.tell(DamageLeft("local", ("data/cc",), "no mirror has it", "buy a disk", ("web: a",), 7))
    told.tell(DamageFound("local", BY_RESTORE, ("data/dd",), "a restore could not read it"))
    assert told.store()["damage"] == {
        "since": first,
        "subsets": ["1/4", BY_RESTORE],
        "files": ["data/aa", "data/cc", "data/dd", "index/bb"],
        "message": "a restore could not read it",
        "left": "no mirror has it",
        "hint": "buy a disk",
        "lost": ["web: a"],
        "lost_count": 7,
    }


def test_what_could_not_be_healed_is_of_no_interest_once_a_check_has_found_all_sound() -> None:
    told = a_told()
    told.tell(FOUND, checked("1/4", sound=True), DamageLeft("local", ("data/cc",), "no mirror has it", ""))
    assert told.store()["damage"] is None


def test_healing_ends_the_damage_and_the_hold_that_it_caused_and_is_counted() -> None:
    told = a_told()
    told.tell(FOUND, HoldPlaced("local", "damaged", is_damage=True))
    assert (told.store()["hold"], told.store()["is_damage_held"]) == ("damaged", True)
    told.tell(DamageHealed("local", ("1/4",), ("data/aa",), "mirror", 1.0))
    assert (told.store()["hold"], told.store()["is_damage_held"]) == (None, False)
    assert (told.store()["damage"], told.store()["unsound"], told.store()["healed"]) == (None, [], 1)


def test_a_hold_for_damage_takes_the_place_of_no_other_hold() -> None:
    told = a_told()
    told.tell(HoldPlaced("local", "another daemon"), FOUND, HoldPlaced("local", "damaged", is_damage=True))
    assert (told.store()["hold"], told.store()["is_damage_held"]) == ("another daemon", False)
    told.tell(checked("1/4", sound=True))
    assert told.store()["hold"] == "another daemon"


@pytest.mark.parametrize(("mended", "hold"), [(("config",), None), (("data/aa",), "another repository")])
def test_a_store_that_lacked_only_its_config_was_no_other_repository(mended: tuple[str, ...], hold: str | None) -> None:
    told = a_told()
    told.tell(HoldPlaced("local", "another repository", is_identity=True), FOUND)
    told.tell(DamageHealed("local", ("1/4",), mended, "mirror", 1.0))
    assert (told.store()["hold"], told.store()["is_identity_held"]) == (hold, hold is not None)


def test_any_check_has_opened_the_repository_and_none_sees_that_a_snapshot_is_not_listed() -> None:
    told = a_told()
    told.tell(*(replace(FOUND, subset=subset) for subset in (BY_OPENING, BY_LISTING, "2/4")))
    told.tell(checked("", sound=True))
    assert told.store()["unsound"] == ["2/4", BY_LISTING]


def test_a_persons_word_takes_back_what_was_met_and_never_what_a_check_found() -> None:
    told = a_told()
    told.tell(replace(FOUND, subset=BY_OPENING), FOUND, HoldPlaced("local", "damaged", is_damage=True))
    told.tell(HoldReleased("local", "ann"))
    assert (told.store()["hold"], told.store()["unsound"]) == (None, ["1/4"])
    assert told.store()["damage"] is not None


def test_snapshots_that_a_person_gives_up_are_known_to_leave_and_come_back_from_no_other_store() -> None:
    told = a_told()
    told.tell(a_snapshot("aa"), a_snapshot("bb", "offsite"))
    told.tell(DamageFound("local", BY_LISTING, ("snapshots/aa", "snapshots/never-known", "data/cc"), "not listed"))
    told.tell(HoldReleased("local", "ann"), HoldReleased("local", "ann"))
    assert told.store()["leaving"] == ["aa", "never-known"]
    assert told.points.get(("web", "r1"))["forgotten_in"] == ["local"]
    told.tell(SnapshotMissing("web", "local", "aa"))
    assert told.store()["leaving"] == ["never-known"]
    told.tell(StoreReconciled("local", 1, 0, 1))
    assert told.store()["leaving"] == []


def test_what_a_forget_is_about_to_remove_is_known_before_it_goes() -> None:
    told = a_told()
    told.tell(a_snapshot("aa"), a_snapshot("bb", run="r2"), ForgetStarted("web", "local", ("aa", "bb")))
    assert told.store()["leaving"] == ["aa", "bb"]
    told.tell(SnapshotsForgotten("web", "local", ("aa",), "retention"))
    assert told.store()["leaving"] == ["bb"]


def test_damaged_files_that_were_given_up_tell_when() -> None:
    told = a_told()
    at = told.tell(DamageGivenUp("local", ("data/aa",), "/aside"))
    assert told.store()["last_given_up"] == at


def test_what_a_store_refused_when_its_protection_was_tried_is_on_record() -> None:
    told = a_told()
    at = told.tell(ProtectionProbed("local", True, "the bucket refuses it", ("root of the account",), "lock", 30, 3, 1))
    store = told.store()
    assert (store["probed"], store["is_protected"], store["protection"], store["risks"]) == (
        *(at, True),
        "the bucket refuses it",
        ["root of the account"],
    )


def test_a_key_that_somebody_else_added_is_foreign_until_a_person_accepts_the_store() -> None:
    told = a_told()
    told.tell(KeysListed("local", ("mine", "theirs"), ("theirs",)))
    assert (told.store()["keys"], told.store()["foreign_keys"]) == (["mine"], ["theirs"])
    told.tell(StoreCreated("local", "id", None))
    assert (told.store()["keys"], told.store()["foreign_keys"]) == ([], [])


def test_a_point_whose_row_is_gone_loses_no_copy_twice() -> None:
    told = a_told()
    told.tell(a_snapshot("aa"))
    told.points.drop(("web", "r1"))
    told.tell(SnapshotMissing("web", "local", "aa"))
    assert told.points.rows == {}
    assert told.places.rows == {}


def test_into_a_store_is_not_carried_what_it_has_forgotten_or_holds_of_a_bad_point_already() -> None:
    told = a_told()
    told.tell(replace(a_snapshot("aa"), outcome=Outcome.INCOMPLETE), a_snapshot("bb", part="dump"))
    told.tell(CopyCreated("web", "files", "offsite", "xx", "local", NOON, "r1"))
    point = told.points.get(("web", "r1"))
    assert withheld(point, "offsite") == {"aa"}, "that part is there under an id of its own"
    assert withheld(point, "nas") == frozenset()
    assert withheld({**point, "forgotten_in": ["offsite"]}, "offsite") == {"aa", "bb"}
    assert withheld({**point, "outcome": "succeeded"}, "offsite") == frozenset()


def test_a_point_keeps_what_its_snapshots_tell_of_each_part() -> None:
    told = a_told()
    told.tell(replace(a_snapshot("aa"), facts=("pg-system=7",)), a_snapshot("bb", part="dump"))
    assert told.points.get(("web", "r1"))["facts"] == {"files": ["pg-system=7"]}
