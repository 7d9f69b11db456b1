"""What a server is told so that it replays WAL up to a target and never ends early by itself.

PostgreSQL asks for each file of WAL by `restore_command`, and its exit code decides everything: 0 is "here it is", 1 to
125 "there is none", whereupon recovery **ends** and the server becomes a primary, and anything above stops the server.
So "there is none" is only answered for what is proved absent: it is not in the list of all files of the archive. A file
that is in the list and cannot be read stops the server, and recovery goes on at the next start. (PostgreSQL manual,
"Archive Recovery Settings"; `RestoreArchivedFile` in `xlogarchive.c`.)
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import Enum, auto
from pathlib import Path
from typing import Final

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Choice
from drd.core.postgres.target import AtLsn, AtName, AtTime, Target
from drd.core.postgres.wal import FileKind, Gap, Segment, gaps, history_name, kind_of

SIGNAL: Final = "recovery.signal"
PARTIAL: Final = ".partial"
READS_SECONDS: Final = 60
"""How long the file of one segment may take to be copied."""
TRIES: Final = 3
NO_REASON: Final = "it gave no reason"
_SEVERE = re.compile(r"(?:FATAL|PANIC|ERROR|LOG|WARNING):\s+(.*)")
LONGEST_PAGE_HEADER: Final = 40
"""A position may be told as behind the header of a page, or before it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A file of WAL that is there."""

    wanted: str
    """What PostgreSQL asks for."""
    file: str
    """What it is called where it lies."""
    bytes: int


class LastWords(Enum):
    """Why a server that recovered has ended."""

    TARGET_BEHIND_THE_END = auto()
    """All WAL was replayed and the target did not come."""
    WAL_AWAY = auto()
    """A file that is known could not be read."""
    OTHER = auto()


def offers(files: Mapping[str, int], choice: Choice) -> tuple[Offer, ...]:
    """What of a folder's files (name → bytes) is offered to recovery, by name.

    The segment in writing is offered as if it were whole, but only at the very end of the timeline that is followed:
    anywhere else PostgreSQL would take its empty rest for the end of all WAL.
    """
    found = {
        name: Offer(name, name, size)
        for name, size in files.items()
        if kind_of(name) in (FileKind.SEGMENT, FileKind.HISTORY) and _is_whole(name, size, choice.segment_bytes)
    }
    last = _last_segment(found, choice)
    for name, size in files.items():
        segment = Segment.parse(name, choice.segment_bytes)
        if kind_of(name) is FileKind.PARTIAL and segment is not None and size == choice.segment_bytes:
            is_last = segment.timeline == choice.history.timeline and segment.number > last
            if is_last and segment.name not in found:
                found[segment.name] = Offer(segment.name, name, size)
    return tuple(sorted(found.values(), key=lambda offer: offer.wanted))


def missing(offered: Iterable[Offer], choice: Choice) -> tuple[Gap, ...]:
    """The segments that recovery will ask for on its way to the target and that are not offered."""
    names = {offer.wanted for offer in offered}
    present = frozenset(segment for segment in choice.segments if segment.name in names)
    return gaps(choice.segments, present)


def lacks_history(offered: Iterable[Offer], choice: Choice) -> bool:
    """Whether the file is not offered that says what the target's timeline continues."""
    name = history_name(choice.history.timeline)
    return choice.history.timeline != choice.base.timeline and all(offer.wanted != name for offer in offered)


def settings(choice: Choice, target: Target, command: str, *, to_the_end: bool = False) -> dict[str, str]:
    """The settings by which a server recovers; they override all that the cluster had set itself.

    `to_the_end` leaves the target out: for one behind which the archive holds no record that would show that it is
    reached.
    """
    recovery: dict[str, str] = {}
    if not to_the_end and isinstance(target, AtTime):
        recovery["time"] = target.moment.astimezone(UTC).isoformat(sep=" ", timespec="microseconds")
    elif not to_the_end and isinstance(target, AtLsn):
        recovery["lsn"] = str(target.lsn)
    elif not to_the_end and isinstance(target, AtName):
        # By its position: by its name recovery would end at the first one of that name.
        recovery["lsn"] = str(choice.until)
    is_own = choice.history.timeline == choice.base.timeline
    return {
        "restore_command": command,
        "recovery_target": "",
        **{f"recovery_target_{what}": "" for what in ("time", "lsn", "name", "xid") if what not in recovery},
        # The record that begins at a position is no part of the WAL up to it.
        "recovery_target_inclusive": "off" if "lsn" in recovery else "on",
        "recovery_target_timeline": "current" if is_own else str(choice.history.timeline),
        "recovery_target_action": "promote",
        "archive_cleanup_command": "",
        "recovery_end_command": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "hot_standby": "on",
        # Behind the empty ones, since an empty one that follows it is a second target to PostgreSQL.
        **{f"recovery_target_{what}": value for what, value in recovery.items()},
    }


def in_list(offered: Iterable[Offer]) -> str:
    """The list that the script reads: a line a file, sought by what it begins with."""
    return "".join(f"{offer.wanted} {offer.file} {offer.bytes}\n" for offer in offered)


def command(script: Path) -> str:
    """The `restore_command` that runs the script."""
    return f"/bin/sh {shlex.quote(str(script)).replace('%', '%%')} %f %p"


def script(listed: Path, wal: Path) -> str:
    """The script: answers 0 for what it delivered, 1 for what the list lacks, and 255 when it cannot tell or read."""
    return f"""#!/bin/sh
# PostgreSQL asks for a file of WAL ($1), to be put at $2. Exit code 1 ends recovery for good, so it is only for what is
# not in the list of all files; 255 stops the server, and recovery goes on when it is started again.
list={shlex.quote(str(listed))}
wal={shlex.quote(str(wal))}
line=$(grep -m 1 "^$1 " "$list" 2>/dev/null)
case $? in
0) ;;
1) exit 1 ;;
*) exit 255 ;;
esac
set -- "$1" "$2" $line
tried=0
while [ "$tried" -lt {TRIES} ]; do
    if timeout {READS_SECONDS} cp -- "$wal/$4" "$2" && [ "$(wc -c <"$2")" -eq "$5" ]; then
        exit 0
    fi
    tried=$((tried + 1))
    sleep 1
done
rm -f -- "$2"
exit 255
"""


def last_words(said: Iterable[str]) -> tuple[LastWords, str]:
    """What the lines of a server that has ended say of it, and the sentence that says it."""
    found = (LastWords.OTHER, NO_REASON)
    line = ""
    for line in said:
        if "recovery ended before configured recovery target was reached" in line:
            return LastWords.TARGET_BEHIND_THE_END, _sentence(line)
        if "could not restore file" in line:
            return LastWords.WAL_AWAY, _sentence(line)
        if found[1] == NO_REASON and ("FATAL:" in line or "PANIC:" in line):
            found = (LastWords.OTHER, _sentence(line))
    # A server that does not even begin says why in a line of no severity.
    is_told = found[1] != NO_REASON or not line.strip() or "LOG:" in line
    return found if is_told else (LastWords.OTHER, _sentence(line))


def has_reached(replayed: Lsn, until: Lsn) -> bool:
    """Whether all records up to a position were replayed: between the last one and it there may be a page's header."""
    return replayed + LONGEST_PAGE_HEADER >= until


def _is_whole(name: str, size: int, segment_bytes: int) -> bool:
    return size == segment_bytes if kind_of(name) is FileKind.SEGMENT else size > 0


def _last_segment(found: Mapping[str, Offer], choice: Choice) -> int:
    segments = (Segment.parse(name, choice.segment_bytes) for name in found)
    own = [each.number for each in segments if each is not None and each.timeline == choice.history.timeline]
    return max(own, default=-1)


def _sentence(line: str) -> str:
    match = _SEVERE.search(line)
    return match[1].strip() if match is not None else line.strip()
