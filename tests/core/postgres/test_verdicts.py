"""What is said about servers, slots and roles, always with what to type."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drd.core.findings import Severity
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Positions, Role, ServerFacts, ServerSettings, Slot, WalStatus
from drd.core.postgres.verdicts import Verdict, of_role, of_server, of_settings, of_slot, wal_rate

MIB = 2**20
GIB = 2**30
SOUND = ServerFacts(
    system_identifier="7000000000000000001",
    version=150018,
    timeline=1,
    is_in_recovery=False,
    has_checksums=True,
    segment_bytes=16 * MIB,
    wal_level="replica",
    archive_mode="off",
    max_slot_wal_keep_bytes=64 * GIB,
    data_directory=None,
)
LEAST = Role("drd", False, True, False, False, False)
SETTINGS = ServerSettings(10, 1, 10, 1, True, True, "scram-sha-256")
SLOT = Slot("drd_orders", True, Lsn(GIB), WalStatus.RESERVED, 10 * GIB)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def only(verdicts: tuple[Verdict, ...], about: str, severity: Severity) -> Verdict:
    [verdict] = verdicts
    assert (verdict.about, verdict.severity) == (about, severity)
    assert verdict.hint
    return verdict


def test_nothing_is_said_about_what_is_well() -> None:
    assert of_server(SOUND, receives_wal=True, bytes_a_second=MIB) == ()
    assert of_slot("drd_orders", SLOT) == ()
    assert of_role(LEAST) == ()
    assert of_settings(SOUND, SETTINGS, SLOT, receives_wal=True) == ()


def test_missing_checksums_and_a_minimal_wal_level_are_told() -> None:
    only(of_server(replace(SOUND, has_checksums=False), receives_wal=False), "checksums", Severity.WARNING)
    only(of_server(replace(SOUND, wal_level="minimal"), receives_wal=False), "wal-level", Severity.BROKEN)


def test_a_standby_that_archives_beside_its_primary_is_told() -> None:
    always = replace(SOUND, archive_mode="always")
    only(of_server(replace(always, is_in_recovery=True), receives_wal=False), "archive-mode", Severity.WARNING)
    only(of_server(always, receives_wal=False), "archive-mode", Severity.NOTE)


def test_a_slot_without_a_limit_is_told_only_to_who_receives_wal() -> None:
    unlimited = replace(SOUND, max_slot_wal_keep_bytes=None)
    assert of_server(unlimited, receives_wal=False) == ()
    verdict = only(of_server(unlimited, receives_wal=True, bytes_a_second=MIB), "slot-limit", Severity.WARNING)
    assert f"max_slot_wal_keep_size = '{4 * 3600}MB'" in verdict.hint


def test_a_limit_that_is_too_small_tells_how_long_it_lasts() -> None:
    small = replace(SOUND, max_slot_wal_keep_bytes=GIB)
    hour = timedelta(hours=1)
    verdict = only(
        of_server(small, receives_wal=True, bytes_a_second=MIB, tolerated=hour), "slot-limit", Severity.WARNING
    )
    assert "lasts 17m" in verdict.message
    assert "3600MB" in verdict.hint
    assert of_server(small, receives_wal=True, bytes_a_second=MIB / 8, tolerated=hour) == ()


def test_a_limit_of_a_few_segments_is_too_small_even_for_a_server_that_writes_nothing() -> None:
    tiny = replace(SOUND, max_slot_wal_keep_bytes=32 * MIB)
    assert "128MB" in only(of_server(tiny, receives_wal=True), "slot-limit", Severity.WARNING).hint


@pytest.mark.parametrize(
    ("slot", "about", "severity"),
    [
        (None, "slot", Severity.BROKEN),
        (replace(SLOT, wal_status=WalStatus.LOST), "slot", Severity.BROKEN),
        (replace(SLOT, restart=None, wal_status=None), "slot", Severity.BROKEN),
        (replace(SLOT, wal_status=WalStatus.UNRESERVED, safe_bytes=-1), "slot-wal", Severity.BROKEN),
        (replace(SLOT, wal_status=WalStatus.EXTENDED), "slot-wal", Severity.WARNING),
        (replace(SLOT, is_active=False), "slot-idle", Severity.WARNING),
    ],
)
def test_what_becomes_of_a_slot_is_told(slot: Slot | None, about: str, severity: Severity) -> None:
    positions = Positions(NOW, False, written=Lsn(3 * GIB), flushed=Lsn(3 * GIB))
    verdict = only(of_slot("drd_orders", slot, positions), about, severity)
    if about != "slot":
        assert "2 GiB behind" in verdict.message


def settings(facts: ServerFacts = SOUND, slot: Slot | None = SLOT, **changed: object) -> tuple[Verdict, ...]:
    return of_settings(facts, replace(SETTINGS, **changed), slot, receives_wal=True)  # type: ignore[arg-type]


def test_slots_that_are_all_taken_are_told_unless_one_is_ours() -> None:
    assert settings(used_slots=10) == ()
    verdict = only(settings(slot=None, used_slots=10), "slots", Severity.BROKEN)
    assert "max_replication_slots = 12" in verdict.hint


def test_senders_that_are_all_taken_are_told() -> None:
    assert settings(used_senders=8) == ()
    assert "1 of 10" in only(settings(used_senders=9), "senders", Severity.BROKEN).message
    idle = replace(SLOT, is_active=False)
    assert "drd needs 3" in only(settings(slot=idle, used_senders=8), "senders", Severity.BROKEN).message


@pytest.mark.parametrize(
    ("changed", "about"),
    [
        ({"is_synced": False}, "fsync"),
        ({"writes_full_pages": False}, "full_page_writes"),
        ({"password_encryption": "md5"}, "passwords"),
    ],
)
def test_what_a_crash_or_a_thief_profits_from_is_told(changed: dict[str, object], about: str) -> None:
    only(settings(**changed), about, Severity.WARNING)


def test_a_restore_command_without_a_time_limit_is_told_on_a_standby_alone() -> None:
    standby = replace(SOUND, is_in_recovery=True)
    assert settings(restore_command="cp /archive/%f %p") == ()
    only(settings(standby, restore_command="cp /archive/%f %p"), "restore-command", Severity.WARNING)
    assert settings(standby, restore_command="/usr/bin/timeout 3 cp /archive/%f %p") == ()


def test_summaries_are_a_matter_of_later_servers() -> None:
    assert settings(summarizes_wal=None) == ()
    only(settings(replace(SOUND, version=170002), summarizes_wal=False), "summaries", Severity.NOTE)


@pytest.mark.parametrize(
    ("role", "about", "hint"),
    [
        (replace(LEAST, is_superuser=True), "role", "ALTER ROLE drd NOSUPERUSER REPLICATION;"),
        (replace(LEAST, may_replicate=False), "role", "ALTER ROLE drd REPLICATION;"),
        (replace(LEAST, may_create_roles=True), "role-attributes", "ALTER ROLE drd NOCREATEROLE;"),
        (
            replace(LEAST, name="DRD", may_create_databases=True, bypasses_row_security=True),
            "role-attributes",
            'ALTER ROLE "DRD" NOCREATEDB NOBYPASSRLS;',
        ),
        (
            replace(LEAST, memberships=("pg_monitor", "pg_write_server_files", "pg_execute_server_program")),
            "role-memberships",
            "REVOKE pg_execute_server_program, pg_write_server_files FROM drd;",
        ),
    ],
)
def test_a_role_that_may_too_much_or_too_little_is_told_with_the_statement(role: Role, about: str, hint: str) -> None:
    [verdict] = of_role(role)
    assert (verdict.about, verdict.hint) == (about, hint)


def test_the_rate_of_wal_is_what_lies_between_two_looks() -> None:
    before = Positions(NOW, False, flushed=Lsn(GIB))
    after = Positions(NOW + timedelta(seconds=4), False, flushed=Lsn(GIB + 8 * MIB))
    assert wal_rate(before, after) == 2 * MIB
    assert wal_rate(after, after) == 0.0
    assert wal_rate(replace(before, flushed=Lsn(2 * GIB)), after) == 0.0
