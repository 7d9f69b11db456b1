"""The least that drd needs, as it is typed on a server."""

import pytest

from drd.core.postgres.grants import Use, grants
from drd.core.postgres.heartbeat import CREATE


def test_a_role_that_recovers_may_promote_and_rewind_and_set_two_parameters() -> None:
    sql = grants(Use("drd", "shop", recovers=True)).sql
    assert sql[1] == "GRANT pg_checkpoint TO drd;"
    assert "pg_promote(boolean, integer)" in sql[2]
    assert sql[3] == "GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names, primary_slot_name TO drd;"


def test_a_base_backup_needs_a_role_that_may_replicate_and_nothing_else() -> None:
    least = grants(Use("drd", "shop", "10.0.0.7"))
    assert least.sql == ("CREATE ROLE drd LOGIN REPLICATION PASSWORD '…';",)
    assert least.hba == (
        "hostssl replication drd 10.0.0.7/32 scram-sha-256",
        "hostssl shop drd 10.0.0.7/32 scram-sha-256",
    )


def test_a_heartbeat_and_standbys_need_more() -> None:
    more = grants(Use("drd", "shop", beats=True, has_standbys=True))
    assert more.sql == (
        "CREATE ROLE drd LOGIN REPLICATION PASSWORD '…';",
        "GRANT pg_read_all_stats TO drd;",
        *CREATE,
        "GRANT USAGE ON SCHEMA drd TO drd;",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON drd.heartbeat TO drd;",
    )
    assert more.archiving == ()


def test_a_second_path_for_wal_needs_archiving() -> None:
    assert grants(Use("drd", "shop", incoming="/srv/drd-wal/orders")).archiving == (
        "ALTER SYSTEM SET archive_mode = 'on';",
        "ALTER SYSTEM SET archive_command = 'drd wal-push %p /srv/drd-wal/orders';",
    )


def test_names_are_quoted_where_they_have_to_be() -> None:
    odd = grants(Use('My "role"', "replication", "local", beats=True))
    assert odd.sql[0].startswith('CREATE ROLE "My ""role""" LOGIN')
    assert odd.sql[-1] == 'GRANT SELECT, INSERT, UPDATE, DELETE ON drd.heartbeat TO "My ""role""";'
    assert odd.hba == (
        'local replication "My ""role""" scram-sha-256',
        'local "replication" "My ""role""" scram-sha-256',
    )


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("10.0.0.7", "10.0.0.7/32"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("fd00::7", "fd00::7/128"),
        ("backup.example.org", "backup.example.org"),
        (".example.org", ".example.org"),
        ("ADDRESS", "ADDRESS"),
    ],
)
def test_an_address_gets_its_mask(address: str, written: str) -> None:
    assert grants(Use("drd", "shop", address)).hba[0].split()[3] == written


def test_everything_is_shown_as_statements_with_comments() -> None:
    plain, archived = (str(grants(Use("drd", "shop", incoming=path))).splitlines() for path in (None, "/srv/wal"))
    assert archived[: len(plain)] == plain
    assert archived[len(plain)].startswith("-- on each server, and restart it")
    shown = archived
    assert all(line.startswith("--") or line.endswith(";") for line in shown)


def test_reading_the_files_takes_the_functions_that_begin_and_end_a_base_backup() -> None:
    sql = grants(Use("drd", "shop", reads_files=True)).sql
    assert "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO drd;" in sql
    assert "GRANT pg_read_all_settings TO drd;" in sql
