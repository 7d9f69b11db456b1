"""What PostgreSQL's sentences amount to, with what to type; the sentences are those of versions 15 to 17."""

import pytest

from drd.clients.postgres import meaning
from drd.clients.postgres.outcomes import first_sentence
from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.postgres.errors import LoginRefused, RightMissing, ServerAway, ServerReadOnly

SOCKET = 'connection to server on socket "/s/.s.PGSQL.5432" failed: '
HOST = 'connection to server at "db1" (10.0.0.1), port 5432 failed: '


@pytest.mark.parametrize(
    ("said", "code", "kind", "hint"),
    [
        (f'{HOST}FATAL:  password authentication failed for user "drd"', None, LoginRefused, "ALTER ROLE drd PASSWORD"),
        (f"{HOST}fe_sendauth: no password supplied", None, LoginRefused, "password"),
        (
            f'{HOST}FATAL:  no pg_hba.conf entry for replication connection from host "10.0.0.5", user "drd"',
            None,
            LoginRefused,
            "hostssl replication drd 10.0.0.5/32 scram-sha-256",
        ),
        (
            f'{HOST}FATAL:  no pg_hba.conf entry for host "fd00::5", user "drd", database "shop", SSL encryption',
            None,
            LoginRefused,
            "hostssl all drd fd00::5/128 scram-sha-256",
        ),
        (
            f'{SOCKET}FATAL:  no pg_hba.conf entry for replication connection from host "[local]", user "drd"',
            None,
            LoginRefused,
            "local replication drd scram-sha-256",
        ),
        (f'{SOCKET}FATAL:  role "drd" does not exist', None, LoginRefused, "CREATE ROLE drd LOGIN REPLICATION"),
        (f'{SOCKET}FATAL:  database "shop" does not exist', None, LoginRefused, "dsn"),
        (f'{SOCKET}FATAL:  Peer authentication failed for user "drd"', None, LoginRefused, "pg_hba.conf"),
        (f"{HOST}server does not support SSL, but SSL was required", None, LoginRefused, "sslmode"),
        (f"{HOST}SSL error: certificate verify failed", None, LoginRefused, "sslrootcert"),
        (
            "FATAL:  must be superuser or replication role to start walsender",
            None,
            RightMissing,
            "ALTER ROLE drd REPLICATION",
        ),
        ("FATAL:  permission denied to start WAL sender", None, RightMissing, "replication drd ADDRESS scram-sha-256"),
        ("permission denied to use replication slots", "42501", RightMissing, "ALTER ROLE drd REPLICATION"),
        (
            "permission denied for function pg_switch_wal",
            "42501",
            RightMissing,
            "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO drd;",
        ),
        ("permission denied for database shop", "42501", RightMissing, "GRANT CREATE ON DATABASE shop TO drd;"),
        ("permission denied for schema drd", "42501", RightMissing, "GRANT USAGE, CREATE ON SCHEMA drd TO drd;"),
        ("permission denied for something new", "42501", RightMissing, "drd"),
        ("recovery is in progress", "55000", ServerReadOnly, "primary"),
        ("cannot execute INSERT in a read-only transaction", "25006", ServerReadOnly, "primary"),
        (f"{SOCKET}No such file or directory", None, ServerAway, "again"),
        (f"{HOST}Connection refused", None, ServerAway, "again"),
        (f"{HOST}FATAL:  the database system is starting up", None, ServerAway, "again"),
        ("server closed the connection unexpectedly", None, ServerAway, "again"),
        ("terminating connection due to administrator command", "57P01", ServerAway, "again"),
        ("sorry, too many clients already", "53300", ServerAway, "max_connections"),
        ("all replication slots are in use", "53400", PermanentError, "max_replication_slots"),
        ("ERROR:  the standby was promoted during online backup", None, TransientError, "next run"),
        ('replication slot "x" is active for PID 7', "55006", TransientError, "wait"),
    ],
)
def test_a_failure_is_told_with_what_to_type(said: str, code: str | None, kind: type[DrdError], hint: str) -> None:
    error = meaning(said, "db1", "drd", code)
    assert type(error) is kind
    assert hint in error.hint


def test_a_folder_that_is_missing_is_no_server_that_is_away() -> None:
    assert meaning('could not open directory "/spool": No such file or directory', "db1", "drd") is None


def test_the_reason_is_the_line_that_names_it() -> None:
    said = "pg_basebackup: initiating\npg_basebackup: error: could not create directory: Permission denied\nmore"
    assert first_sentence(said) == "could not create directory: Permission denied"
