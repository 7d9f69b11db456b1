"""PgBouncer's lines of databases, as its manual's section [databases] says: `name = host=… port=… dbname=…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from drd.core.errors import PermanentError

USUAL_PORT: Final = 5432
_LINE: Final = re.compile(r'^(?P<head>\s*(?P<name>"(?:[^"]|"")*"|[^\s=;#"\[%][^\s=]*)\s*=)(?P<value>.*)$')
_PAIR: Final = re.compile(r"(?P<key>[A-Za-z_]+)\s*=\s*(?P<value>'(?:[^']|'')*'|[^\s']\S*)")
_PLAIN: Final = re.compile(r"[^\s';#]+")
_SECTION: Final = re.compile(r"^\s*\[(?P<name>[^\]]*)\]\s*$")
DATABASES: Final = "databases"


@dataclass(frozen=True, slots=True)
class Where:
    """A server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Where:
        """The server that `str` wrote. Raises ValueError for anything else."""
        host, _, port = text.rpartition(":")
        return cls(host, int(port))


def where_of(text: str, database: str) -> Where | None:
    """The server of a database, by the text of a file; None where no line there is the database's."""
    found = _line_of(text.split("\n"), database)
    if found is None:
        return None
    pairs = {match["key"]: _unquoted(match["value"]) for match in _PAIR.finditer(found[1]["value"])}
    port = pairs.get("port", "")
    return Where(pairs.get("host", ""), int(port) if port.isdecimal() else USUAL_PORT)


def pointed(text: str, database: str, where: Where) -> str:
    """The text of a file with another server for a database; all else of it stays as it is, the line's rest too.

    Raises `PermanentError` where no line there is the database's.
    """
    lines = text.split("\n")
    found = _line_of(lines, database)
    if found is None:
        raise PermanentError(
            f"no line of the file is for the database {database}", f"write `{database} = host={where.host}`"
        )
    number, line = found
    lines[number] = line["head"] + _with(line["value"], {"host": where.host, "port": str(where.port)})
    return "\n".join(lines)


def _line_of(lines: list[str], database: str) -> tuple[int, re.Match[str]] | None:
    """The last line counts, as in PgBouncer; an included file may begin within the section that includes it."""
    section, found = DATABASES, None
    for number, line in enumerate(lines):
        if heading := _SECTION.match(line):
            section = heading["name"].strip()
        elif section == DATABASES and (match := _LINE.match(line)) and _name(match["name"]) == database:
            found = number, match
    return found


def _name(written: str) -> str:
    return written[1:-1].replace('""', '"') if written.startswith('"') else written


def _with(value: str, wanted: dict[str, str]) -> str:
    """Pairs with some values put in their places; a pair that lacks is put to the end."""
    left = dict(wanted)

    def put(match: re.Match[str]) -> str:
        if match["key"] not in wanted:
            return match[0]
        left.pop(match["key"], None)
        return f"{match['key']}={_quoted(wanted[match['key']])}"

    changed = _PAIR.sub(put, value)
    more = "".join(f" {key}={_quoted(text)}" for key, text in left.items())
    return changed.rstrip("\r ") + more + ("\r" if value.endswith("\r") else "")


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else "'" + value.replace("'", "''") + "'"


def _unquoted(value: str) -> str:
    return value[1:-1].replace("''", "'") if value.startswith("'") else value
