"""What is wrong or risky about a server, a slot or a role, and what to type about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Final

from drd.core.findings import Severity
from drd.core.postgres.names import sql_name
from drd.core.postgres.server import Positions, Role, ServerFacts, ServerSettings, Slot, WalStatus
from drd.core.units import format_duration, format_size

LEAST_KEPT_SEGMENTS: Final = 8
"""A slot that may hold back less loses its WAL at the first restart of whoever receives by it."""
TOLERATED: Final = timedelta(hours=4)
"""For how long WAL should be held back while nobody receives it, unless said otherwise."""
SENDERS_OF_A_BASE: Final = 2
"""A base backup and the WAL that is received beside it."""
SUMMARIZES_FROM: Final = 17
_TOO_MUCH: Final = frozenset(
    {
        "pg_execute_server_program",
        "pg_write_server_files",
        "pg_read_server_files",
        "pg_write_all_data",
    }
)
"""Predefined roles whose rights go beyond reading the whole cluster, which REPLICATION allows already."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that a person should know."""

    about: str
    """What it is about, in a word that stays the same: two verdicts of the same word replace one another."""
    severity: Severity
    message: str
    hint: str
    """What to type."""


def wal_rate(before: Positions, after: Positions) -> float:
    """Bytes of WAL a second between two looks; 0.0 when no time has passed between them."""
    seconds = (after.taken - before.taken).total_seconds()
    return max(0, after.newest - before.newest) / seconds if seconds > 0 else 0.0


def of_server(
    facts: ServerFacts,
    *,
    receives_wal: bool,
    bytes_a_second: float = 0.0,
    tolerated: timedelta = TOLERATED,
) -> tuple[Verdict, ...]:
    """Verdicts about a server; `bytes_a_second` is its rate of WAL, as far as it is known."""
    found = [*_of_checksums(facts), *_of_wal_level(facts), *_of_archiving(facts)]
    if receives_wal:
        found += _of_slot_limit(facts, bytes_a_second, tolerated)
    return tuple(found)


def of_settings(
    facts: ServerFacts, settings: ServerSettings, slot: Slot | None, *, receives_wal: bool
) -> tuple[Verdict, ...]:
    """Verdicts about what a server allows and how it is set; `slot` is the one that WAL is received by."""
    found = [*_of_senders(settings, slot, receives_wal=receives_wal), *_of_durability(settings)]
    if settings.summarizes_wal is False and facts.major >= SUMMARIZES_FROM:
        found.append(
            Verdict(
                "summaries",
                Severity.NOTE,
                "summarize_wal is off, so that no base backup can be an incremental one",
                "ALTER SYSTEM SET summarize_wal = 'on'; SELECT pg_reload_conf();",
            )
        )
    if receives_wal and slot is None and settings.used_slots >= settings.max_replication_slots:
        found.append(
            Verdict(
                "slots",
                Severity.BROKEN,
                f"all {settings.max_replication_slots} replication slots are taken, so WAL cannot be received",
                f"ALTER SYSTEM SET max_replication_slots = {settings.used_slots + 2}; then restart the server",
            )
        )
    if facts.is_in_recovery and may_hang(settings.restore_command):
        found.append(
            Verdict(
                "restore-command",
                Severity.WARNING,
                "the standby's restore_command has no time limit: a promotion took 23 s with one that hung for 5 s, "
                "and waits for ever for one that never ends",
                "ALTER SYSTEM SET restore_command = 'timeout 3 …'; SELECT pg_reload_conf();",
            )
        )
    return tuple(found)


def of_slot(name: str, slot: Slot | None, positions: Positions | None = None) -> tuple[Verdict, ...]:
    """Verdicts about the slot that WAL is received by; `positions` are the same server's."""
    if slot is None:
        message = f"the replication slot {name} is not there: WAL that is written now may be lost"
        return (Verdict("slot", Severity.BROKEN, message, "drd backup POLICY --full"),)
    if slot.wal_status is WalStatus.LOST or slot.restart is None:
        message = f"WAL that the replication slot {name} was to hold back is gone"
        return (
            Verdict("slot", Severity.BROKEN, message, "raise max_slot_wal_keep_size, then: drd backup POLICY --full"),
        )
    return tuple(_of_living_slot(slot, positions))


def of_role(role: Role) -> tuple[Verdict, ...]:
    """Verdicts about the role that drd is on a server: whoever steals its password can do what it can."""
    name = sql_name(role.name)
    if role.is_superuser:
        message = f"the role {role.name} is a superuser, and drd needs only REPLICATION"
        hint = f"ALTER ROLE {name} NOSUPERUSER REPLICATION;"
        return (Verdict("role", Severity.WARNING, message, hint),)
    found = [] if role.may_replicate else [_without_replication(role)]
    attributes = {
        "CREATEROLE": role.may_create_roles,
        "CREATEDB": role.may_create_databases,
        "BYPASSRLS": role.bypasses_row_security,
    }
    given = [attribute for attribute, is_given in attributes.items() if is_given]
    if given:
        taken = " ".join(f"NO{attribute}" for attribute in given)
        message = f"the role {role.name} has {' and '.join(given)}, which drd does not need"
        found.append(Verdict("role-attributes", Severity.WARNING, message, f"ALTER ROLE {name} {taken};"))
    strong = sorted(_TOO_MUCH.intersection(role.memberships))
    if strong:
        message = f"the role {role.name} is a member of {', '.join(strong)}, which drd does not need"
        found.append(Verdict("role-memberships", Severity.WARNING, message, f"REVOKE {', '.join(strong)} FROM {name};"))
    return tuple(found)


def _of_senders(settings: ServerSettings, slot: Slot | None, *, receives_wal: bool) -> Iterator[Verdict]:
    is_received = slot is not None and slot.is_active
    needed = SENDERS_OF_A_BASE + (1 if receives_wal and not is_received else 0)
    free = settings.max_wal_senders - settings.used_senders
    if free < needed:
        yield Verdict(
            "senders",
            Severity.BROKEN,
            f"{free} of {settings.max_wal_senders} max_wal_senders are free, and drd needs {needed} at a time",
            f"ALTER SYSTEM SET max_wal_senders = {settings.used_senders + needed + 2}; then restart the server",
        )


def _of_durability(settings: ServerSettings) -> Iterator[Verdict]:
    for name, is_on, loses in (
        ("fsync", settings.is_synced, "a crash of the machine may leave a cluster that is damaged"),
        ("full_page_writes", settings.writes_full_pages, "a crash of the machine may leave half-written pages"),
    ):
        if not is_on:
            yield Verdict(
                name,
                Severity.WARNING,
                f"{name} is off: {loses}",
                f"ALTER SYSTEM SET {name} = 'on'; SELECT pg_reload_conf();",
            )
    if settings.password_encryption == "md5":  # noqa: S105 - the name of a method
        yield Verdict(
            "passwords",
            Severity.WARNING,
            "password_encryption is md5: a new password is kept in a form that is as good as the password itself",
            "ALTER SYSTEM SET password_encryption = 'scram-sha-256'; SELECT pg_reload_conf(); then: \\password",
        )


def may_hang(restore_command: str) -> bool:
    """Whether nothing ends a `restore_command` that hangs, and with it a promotion."""
    words = restore_command.split()
    return bool(words) and PurePosixPath(words[0]).name != "timeout"


def _without_replication(role: Role) -> Verdict:
    message = f"the role {role.name} may not replicate, so there can be no base backup"
    return Verdict("role", Severity.BROKEN, message, f"ALTER ROLE {sql_name(role.name)} REPLICATION;")


def _of_checksums(facts: ServerFacts) -> Iterator[Verdict]:
    if not facts.has_checksums:
        yield Verdict(
            "checksums",
            Severity.WARNING,
            "the cluster has no page checksums, so damage of its disk is saved unnoticed",
            "stop the server, then pg_checksums --enable --progress -D DATA_DIRECTORY",
        )


def _of_wal_level(facts: ServerFacts) -> Iterator[Verdict]:
    if facts.wal_level == "minimal":
        yield Verdict(
            "wal-level",
            Severity.BROKEN,
            "wal_level is minimal: neither a base backup nor WAL can be had from this server",
            "ALTER SYSTEM SET wal_level = 'replica'; then restart the server",
        )


def _of_archiving(facts: ServerFacts) -> Iterator[Verdict]:
    if facts.archive_mode == "always" and facts.is_in_recovery:
        yield Verdict(
            "archive-mode",
            Severity.WARNING,
            "this standby archives WAL by itself (archive_mode = always): it and its primary may write to one archive",
            "ALTER SYSTEM SET archive_mode = 'on'; then restart the standby, unless its archive is its own",
        )
    elif facts.archive_mode != "off":
        yield Verdict(
            "archive-mode",
            Severity.NOTE,
            f"archive_mode is {facts.archive_mode}: WAL that its archive_command fails for fills the server's disk",
            "SELECT failed_count, last_failed_wal, last_failed_time FROM pg_stat_archiver;",
        )


def _of_slot_limit(facts: ServerFacts, bytes_a_second: float, tolerated: timedelta) -> Iterator[Verdict]:
    wanted = max(round(bytes_a_second * tolerated.total_seconds()), LEAST_KEPT_SEGMENTS * facts.segment_bytes)
    kept = facts.max_slot_wal_keep_bytes
    if kept is None:
        yield Verdict(
            "slot-limit",
            Severity.WARNING,
            "max_slot_wal_keep_size is not set: while nobody receives WAL, the slot fills the server's disk",
            _limit(wanted),
        )
    elif kept < wanted:
        lasts = f" lasts {format_duration(_whole_seconds(kept / bytes_a_second))} and" if bytes_a_second > 0 else ""
        yield Verdict(
            "slot-limit",
            Severity.WARNING,
            f"max_slot_wal_keep_size{lasts} is {format_size(kept)}, "
            f"less than the {format_size(wanted)} that an interruption of {format_duration(tolerated)} may take",
            _limit(wanted),
        )


def _limit(byte_count: int) -> str:
    mebibytes = -(-byte_count // 2**20)
    return f"ALTER SYSTEM SET max_slot_wal_keep_size = '{mebibytes}MB'; SELECT pg_reload_conf();"


def _whole_seconds(seconds: float) -> timedelta:
    return timedelta(seconds=int(seconds))


def _of_living_slot(slot: Slot, positions: Positions | None) -> Iterator[Verdict]:
    behind = ""
    if positions is not None and slot.restart is not None:
        behind = f", {format_size(max(0, positions.newest - slot.restart))} behind"
    if slot.wal_status is WalStatus.UNRESERVED:
        yield Verdict(
            "slot-wal",
            Severity.BROKEN,
            f"the replication slot {slot.name} is over max_slot_wal_keep_size{behind}, its WAL may go any time",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '-1'; SELECT pg_reload_conf(); now, if that disk has room",
        )
    elif slot.wal_status is WalStatus.EXTENDED:
        left = "" if slot.safe_bytes is None else f"; it is lost after {format_size(slot.safe_bytes)} more"
        yield Verdict(
            "slot-wal",
            Severity.WARNING,
            f"the replication slot {slot.name} holds back more than max_wal_size{behind}{left}",
            "drd status tells why WAL is not received",
        )
    if not slot.is_active:
        yield Verdict(
            "slot-idle",
            Severity.WARNING,
            f"nobody receives by the replication slot {slot.name}{behind}",
            "drd status tells why WAL is not received",
        )
