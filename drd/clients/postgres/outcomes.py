"""What PostgreSQL's failures mean, by their codes where there is one and else by their sentences.

libpq gives no code for a connection that was not made, and its programs none at all, so those are told by what they
say; the programs speak English, since drd sets their language, a server may not, and then the error shows its words.
"""

from __future__ import annotations

import re

from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.postgres.errors import (
    LoginRefused,
    NoIncrement,
    RightMissing,
    ServerAway,
    ServerReadOnly,
    SlotMissing,
    WalGone,
)

SLOT_HINT = "drd makes it anew with the next base backup: drd backup POLICY --full"
BASE_HINT = "a new base backup is needed: drd backup POLICY --full"
INCREMENT_HINT = "drd makes a full one; ALTER SYSTEM SET summarize_wal = on; and SELECT pg_reload_conf();"
_PASSWORD = re.compile(r"password authentication failed|no password supplied|empty password returned")
_NO_LINE = re.compile(
    r"no pg_hba\.conf entry for (?P<replication>replication connection from )?host \"(?P<host>[^\"]*)\""
)
_REJECTED = re.compile(r"pg_hba\.conf rejects")
_NO_ROLE = re.compile(r"role \"[^\"]*\" does not exist|is not permitted to log in")
_NO_DATABASE = re.compile(r"database \"([^\"]*)\" does not exist")
_OTHER_METHOD = re.compile(r"(?:Peer|Ident|GSSAPI|LDAP|PAM|certificate|RADIUS) authentication failed", re.IGNORECASE)
_REPLICATION = re.compile(
    r"must be superuser or replication role|permission denied to (?:start WAL sender|use replication slots)"
)
_TLS = re.compile(
    r"server does not support SSL|SSL error|certificate verify failed|root certificate file .* does not exist|"
    r"server certificate for|sslmode|could not load private key file|certificate file .* does not exist|"
    r"does not match host name",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"too many (?:connections|clients)|remaining connection slots|number of requested standby connections exceeds"
)
_NO_SLOT = re.compile(r"replication slot \"([^\"]*)\" does not exist")
_WAL_REMOVED = re.compile(
    r"requested WAL segment \w+ has already been removed|"
    r"(?:can no longer access|can no longer get changes from) (?:physical )?replication slot \"[^\"]*\"|"
    r"requested starting point .* (?:is ahead of the WAL flush position|is not in this server's history).*"
)
_AWAY = re.compile(
    r"Connection refused|failed: No such file or directory|could not translate host name|Name or service not known|"
    r"No route to host|Network is unreachable|timeout expired|timed out|Connection reset|"
    r"the database system is (?:starting up|shutting down|in recovery mode|not yet accepting connections)|"
    r"server closed the connection unexpectedly|terminating connection|connection is lost|SSL SYSCALL error|"
    r"could not receive data|could not send|replication stream was terminated|failed to resolve host|"
    r"session is not read-write|could not read from stream|lost connection|unexpected termination of replication",
    re.IGNORECASE,
)
_NO_INCREMENT = re.compile(
    r"incremental backups cannot be taken|found in manifest, but not in this server's history|"
    r"manifest requires WAL from|WAL summaries are required|WAL summarization is not progressing|"
    r"system identifier in backup manifest|(?:could not parse|invalid) (?:backup )?manifest|manifest checksum"
)
"""What `basebackup_incremental.c` and `walsummarizer.c` say, and what the manifest's parser says."""
_PROMOTED = re.compile(r"the standby was promoted during online backup")
_FUNCTION = re.compile(r"permission denied for function (\w+)")
_SIGNATURES = {
    "pg_switch_wal": "pg_switch_wal()",
    "pg_create_restore_point": "pg_create_restore_point(text)",
    "pg_control_system": "pg_control_system()",
    "pg_control_checkpoint": "pg_control_checkpoint()",
    "pg_control_recovery": "pg_control_recovery()",
}
_DENIED = re.compile(r"permission denied for (database|schema|table|relation) \"?(\w+)")
_GRANTS = {
    "database": "GRANT CREATE ON DATABASE {name} TO {role};",
    "schema": "GRANT USAGE, CREATE ON SCHEMA {name} TO {role};",
    "table": "GRANT SELECT, INSERT, UPDATE ON {name} TO {role};",
    "relation": "GRANT SELECT, INSERT, UPDATE ON {name} TO {role};",
}


def meaning(said: str, place: str, user: str, code: str | None = None) -> DrdError | None:
    """The error that a sentence of PostgreSQL's amounts to; None when it is none that is known.

    `place` is the server in words, `user` the role, and `code` the five characters of an SQLSTATE. `said` is shown, so
    it may hold no secret.
    """
    return (
        _of_login(said, place, user)
        or _of_rights(said, place, user, code)
        or _of_backup(said, place)
        or _of_state(said, place, code)
    )


def first_sentence(said: str) -> str:
    """The line that names the reason, without what every program puts before it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"\b(FATAL|ERROR|PANIC|error|fatal):", line)]
    return re.sub(r"^.*\b(?:FATAL|ERROR|PANIC|error|fatal):\s*", "", (telling or lines or [""])[0])[:300]


def _of_login(said: str, place: str, user: str) -> DrdError | None:
    role = user or "drd"
    if _PASSWORD.search(said):
        return LoginRefused(
            f"{place} refuses the password", f"correct the dsn's password, or set it: ALTER ROLE {role} PASSWORD '…'"
        )
    if match := _NO_LINE.search(said):
        return LoginRefused(f"{place} lets nobody in from here", _hba_hint(role, match["host"], bool(match[1])))
    if _REJECTED.search(said) or _OTHER_METHOD.search(said):
        return LoginRefused(f"{place} does not let {role} in: {first_sentence(said)}", "look at its pg_hba.conf")
    if _NO_ROLE.search(said):
        return LoginRefused(
            f"{place} knows no role {role} that may log in", f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '…';"
        )
    if match := _NO_DATABASE.search(said):
        return LoginRefused(f"{place}: there is no database {match[1]}", "correct the dsn; psql -l lists databases")
    if _TLS.search(said) and not re.search(r"SSL SYSCALL error", said):
        return LoginRefused(
            f"{place}: no encrypted connection: {first_sentence(said)}", "correct sslmode and sslrootcert in the dsn"
        )
    return None


def _of_rights(said: str, place: str, user: str, code: str | None) -> DrdError | None:
    role = user or "drd"
    if _REPLICATION.search(said):
        return RightMissing(
            f"{place} does not let {role} replicate",
            f"ALTER ROLE {role} REPLICATION; and in pg_hba.conf: {_hba_line(role, 'ADDRESS', is_replication=True)}",
        )
    if match := _FUNCTION.search(said):
        signature = _SIGNATURES.get(match[1], f"{match[1]}")
        return RightMissing(
            f"{place} does not let {role} call {match[1]}", f"GRANT EXECUTE ON FUNCTION {signature} TO {role};"
        )
    if match := _DENIED.search(said):
        return RightMissing(
            f"{place} does not let {role} use the {match[1]} {match[2]}",
            _GRANTS[match[1]].format(name=match[2], role=role),
        )
    if code == "42501":
        return RightMissing(f"{place} does not let {role} do that: {first_sentence(said)}", f"\\du {role}")
    return None


def _of_backup(said: str, place: str) -> DrdError | None:
    if _NO_INCREMENT.search(said):
        return NoIncrement(f"{place} gives no incremental base backup: {first_sentence(said)}", INCREMENT_HINT)
    if _PROMOTED.search(said):
        return TransientError(f"{place} was promoted during the base backup", "the next run makes another one")
    return None


def _of_state(said: str, place: str, code: str | None) -> DrdError | None:
    if code in {"25006", "55000"} and re.search(r"recovery is in progress|read-only transaction", said):
        return ServerReadOnly(f"{place} is a standby, or recovers", "ask the primary")
    if code == "55006":
        return TransientError(f"{place}: {first_sentence(said)}", "wait until it is used no more")
    if code == "57014":
        return ServerAway(f"{place} did not answer in time", "drd tries again by itself")
    if match := _NO_SLOT.search(said):
        return SlotMissing(f"{place} has no replication slot {match[1]}", SLOT_HINT)
    if match := _WAL_REMOVED.search(said):
        return WalGone(f"{place}: {match[0]}", BASE_HINT)
    if code == "53400" or re.search(r"all replication slots are in use", said):
        return PermanentError(f"{place} has no free replication slot", "raise max_replication_slots there")
    if _FULL.search(said):
        return ServerAway(f"{place} has no connection left", "raise max_connections or max_wal_senders there")
    if _AWAY.search(said) or (code or "")[:2] in {"08", "57"}:
        return ServerAway(f"{place} does not answer: {first_sentence(said)}", "drd tries again by itself")
    return None


def _hba_hint(role: str, host: str, is_replication: bool) -> str:
    line = _hba_line(role, host, is_replication)
    return f"in pg_hba.conf there: {line}, then SELECT pg_reload_conf();"


def _hba_line(role: str, host: str, is_replication: bool) -> str:
    database = "replication" if is_replication else "all"
    if host == "[local]":
        return f"local {database} {role} scram-sha-256"
    mask = "" if host == "ADDRESS" else "/128" if ":" in host else "/32"
    return f"hostssl {database} {role} {host}{mask} scram-sha-256"
