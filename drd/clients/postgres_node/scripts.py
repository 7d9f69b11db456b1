"""What a node's shell is told, as POSIX scripts: each is sent on standard input, so that no secret stands in argv.

They run as the owner of the data directory. `DATA` is that directory; `WORK` lies beside it and holds what has to
outlive a rewind, which removes from `DATA` all that the other server does not have.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

LOCAL_FILES: Final = "postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf conf.d"
"""What is a node's own: pg_rewind and pg_basebackup bring the other server's."""
BUSY: Final = 75
"""Somebody else works on the node's data now."""

_LOOK: Final = """
set -eu
export LC_ALL=C TZ=UTC
[ -d "$DATA" ] && [ -f "$DATA/PG_VERSION" ] || { echo "$DATA is no data directory" >&2; exit 1; }
is_running() {
  [ -f "$DATA/postmaster.pid" ] || return 1
  pid=$(head -n 1 "$DATA/postmaster.pid")
  # One that has ended and that nobody has waited for yet is there, and does nothing.
  kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null
}
"""
_BEGIN: Final = f"""{_LOOK}
umask 077
MAJOR=$(cat "$DATA/PG_VERSION")
BIN=
for folder in "/usr/lib/postgresql/$MAJOR/bin" "/usr/pgsql-$MAJOR/bin" /usr/lib64/pgsql/bin /usr/local/pgsql/bin \\
    "$(dirname "$(readlink -f "$(command -v pg_rewind || echo /nowhere)")")"; do
  if [ -x "$folder/pg_rewind" ]; then
    case $("$folder/pg_rewind" --version) in *") $MAJOR"*) BIN=$folder; break;; esac
  fi
done
[ -n "$BIN" ] || {{ echo "the programs of PostgreSQL $MAJOR are not there" >&2; exit 127; }}
WORK="$(dirname "$DATA")/.drd-$(basename "$DATA")"
mkdir -p "$WORK"
exec 9>"$WORK/lock"
flock -n 9 || {{ echo "somebody else works on $DATA" >&2; exit {BUSY}; }}
demand_stopped() {{ if is_running; then echo "the server in $DATA still runs" >&2; exit 1; fi; }}
keep_local() {{
  if [ ! -d "$WORK/local" ]; then
    rm -rf "$WORK/local.new"; mkdir "$WORK/local.new"
    for file in {LOCAL_FILES}; do [ ! -e "$DATA/$file" ] || cp -a "$DATA/$file" "$WORK/local.new/"; done
    mv "$WORK/local.new" "$WORK/local"
  fi
}}
bring_local() {{ cp -a "$WORK/local/." "$DATA/"; sync; rm -rf "$WORK/local" "$WORK/broken"; }}
# Whoever runs this may have no right to touch one that root has left there.
be_standby() {{ [ -e "$DATA/standby.signal" ] || touch "$DATA/standby.signal"; sync "$DATA"; }}
config_file() {{
  [ -f "$DATA/postgresql.conf" ] || echo "/etc/postgresql/$MAJOR/$(basename "$DATA")/postgresql.conf"
}}
"""
_SERVICE: Final = """
SERVICE_FILE=$(mktemp)
trap 'rm -f "$SERVICE_FILE"' EXIT
printf '%s' "$SERVICE" > "$SERVICE_FILE"
export PGSERVICEFILE="$SERVICE_FILE"
"""

STATE: Final = """
is_running && echo "running=yes" || echo "running=no"
[ -e "$WORK/broken" ] && echo "broken=yes" || echo "broken=no"
[ "$(cat "$DATA/drd-boot" 2>/dev/null)" = "$(cat /proc/sys/kernel/random/boot_id)" ] \
  && echo "guarded=yes" || echo "guarded=no"
[ -n "$(ls -A "$DATA/pg_tblspc")" ] && echo "tablespaces=yes" || echo "tablespaces=no"
newest=$(ls "$DATA/pg_wal" | grep -E '^[0-9A-F]{24}$' | cut -c 1-8 | sort | tail -n 1)
echo "newest=$newest"
echo "last=$(ls "$DATA/pg_wal" | grep -E "^${newest}[0-9A-F]{16}$" | sort | tail -n 1)"
"$BIN/pg_controldata" "$DATA" | sed -E 's/: +/=/'
[ ! -f "$DATA/pg_wal/$newest.history" ] || sed 's/^/history=/' "$DATA/pg_wal/$newest.history"
"""
"""What is there, a line `name=value` each. The newest timeline is told by the log, as a crash comes before it stands in
the control file. That its unit has the drop-in is told by the boot in which that has started it: the file travels
with a copy of the data to other nodes, whose boot is another one."""

ROOM: Final = """
echo "size=$(du -skx "$DATA" | cut -f 1)"
echo "room=$(df -kP "$(dirname "$DATA")" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)"
"""
"""Apart from what is there: to walk through a large data directory takes long, and writes may wait meanwhile."""

COMMITS: Final = """
"$BIN/pg_waldump" -p "$DATA/pg_wal" -t "$TIMELINE" -s "$START" ${END:+-e "$END"} -r Transaction > "$WORK/dump" \\
  2> "$WORK/said" || true
if grep -q 'could not find file' "$WORK/said"; then echo "gone"; fi
grep 'desc: COMMIT' "$WORK/dump" || true
rm -f "$WORK/dump" "$WORK/said"
"""
"""pg_waldump ends with a failure wherever the log ends, and says so in the same way as where it is damaged. A line
`gone` says that a file of it is not there."""

WAL: Final = """
cd "$DATA/pg_wal"
is_written() {
  page=$(od -An -tx8 -j8 -N8 "$1" | tr a-f A-F)
  name=${1#????????}
  [ "${page##* }" = "${name%????????}$(printf %08X $((0x${name#????????} * $(stat -c %s "$1"))))" ]
}
{
  for timeline in $TIMELINES; do
    for file in $(ls | grep -E "^$timeline[0-9A-F]{16}$" | awk -v from="$FROM" 'substr($0, 9) >= from'); do
      if is_written "$file"; then echo "$file"; fi
    done
  done
  ls | grep '\\.history$'
} | tar -cf - -T -
"""
"""The log beyond the fork, of each timeline that holds any, as far as it is there.

Files of earlier timelines can reach beyond the fork as well: each timeline begins with a copy of the segment in which
the one before ended, and keeps its own until a checkpoint removes it. What they hold is no part of what parted.

PostgreSQL keeps files ready under the names of segments to come, `min_wal_size` and more. A segment that was begun
has a first page whose header tells its own position (`xlp_pageaddr`, 8 bytes behind the first 8).
"""

REWIND: Final = """
demand_stopped
keep_local
CONFIG=$(config_file)
trap 'be_standby; rm -f "$SERVICE_FILE"' EXIT
trap 'exit 1' HUP INT TERM
case $("$BIN/pg_controldata" "$DATA" | sed -n 's/^Database cluster state: *//p') in
  "shut down" | "shut down in recovery") ;;
  *)
    # A server of one user refuses to start as a standby, and the fence has left word that it has to be one.
    rm -f "$DATA/standby.signal"
    "$BIN/postgres" --single -D "$DATA" ${CONFIG:+-c config_file="$CONFIG"} template1 >&2
    be_standby;;
esac
: > "$WORK/broken"
"$BIN/pg_rewind" --target-pgdata="$DATA" --source-server="service=drd" ${CONFIG:+--config-file="$CONFIG"} >&2
be_standby
bring_local
"""
"""From `broken` on the data are nothing that a server may start from until it is over.

A server that was killed has its crash recovery before that, as pg_rewind would give it: broken off there, the data are
an old primary's still, and a later try does the same again. Meanwhile only the mask of the fence keeps the unit from
being started; but `standby.signal` is there again at whatever end, which a rewind itself takes away with all that the
other server does not have.
"""

COPY: Final = """
demand_stopped
keep_local
rm -rf "$DATA.drd-new"
"$BIN/pg_basebackup" -D "$DATA.drd-new" -d service=drd -w -X stream -c fast >&2
mv "$DATA" "$DATA.before-$RUN"
mv "$DATA.drd-new" "$DATA"
bring_local
"""

FOLLOW: Final = """
demand_stopped
AUTO="$DATA/postgresql.auto.conf"
touch "$AUTO"
OWN='^[[:space:]]*(primary_conninfo|primary_slot_name|recovery_target[a-z_]*)[[:space:]=]'
grep -vE "$OWN" "$AUTO" > "$AUTO.drd" || true
printf '%s\\n' "$SETTINGS" >> "$AUTO.drd"
chmod --reference="$AUTO" "$AUTO.drd"
sync "$AUTO.drd"
mv "$AUTO.drd" "$AUTO"
rm -f "$DATA/recovery.signal" "$DATA/drd-may-lead"
be_standby
"""
RUNS: Final = """
is_running && echo "running=yes" || echo "running=no"
"""
LEAVE_STANDBY_SIGNAL: Final = f"""{RUNS}
rm -f "$DATA/drd-may-lead"
be_standby
"""
"""A word by which a person has let it lead is one of before, and counts no longer."""


def script(body: str, variables: Mapping[str, str], *, has_service: bool = False) -> bytes:
    """A whole script. The shell has read all of it before the first program runs that might read from it too."""
    given = "\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return f"{{\n{given}\n{_BEGIN}{_SERVICE if has_service else ''}{body}\nexit 0\n}} </dev/null\n".encode()


def only_looking(data: str) -> bytes:
    """The script `RUNS` that writes nothing and waits for nobody: for a full disk, and data that others work on."""
    return f"{{\nDATA={shlex.quote(data)}\n{_LOOK}{RUNS}\nexit 0\n}} </dev/null\n".encode()
