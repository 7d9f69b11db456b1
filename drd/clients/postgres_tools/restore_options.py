"""What a person says about a restored cluster beside its moment and its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from drd.clients.postgres_tools import restored
from drd.core.errors import UsageError
from drd.core.postgres.base import BaseRecord
from drd.core.secrets import SecretReference
from drd.ports.source import Wanted

AS_ORIGINAL: Final = "as-original"
PORT: Final = "port"
PROGRAMS: Final = "programs"
DATABASE: Final = "database"
FORMAT: Final = "format"
INTO: Final = "into"
TABLESPACE: Final = "tablespace."
VERIFY: Final = "verify."
HOW: Final = "type: drd restore --help"
_REFERENCE = re.compile(r"(credential|file|env):(.+)", re.DOTALL)
_IN_A_DATABASE = re.compile(r"([^:'\"()\[\];,=<>*]{1,63}):\s+(.+)", re.DOTALL)
"""No statement has a colon and a blank before any of these."""


class DumpFormat(StrEnum):
    """How a database is written that is brought out of a cluster; the words are pg_dump's own."""

    DIRECTORY = "directory"
    CUSTOM = "custom"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that a restored cluster has to answer with something true."""

    sql: str
    database: str = ""
    """Empty: the database that is brought out, or else `postgres`."""

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read `SELECT …`, or `DATABASE: SELECT …`."""
        match = _IN_A_DATABASE.fullmatch(text.strip())
        return cls(text.strip()) if match is None else cls(match[2].strip(), match[1])


@dataclass(frozen=True, slots=True)
class Options:
    """What a person says about a restored cluster beside."""

    is_original: bool = False
    """Whether it takes the place of the server that is lost: it archives, listens and is named as that did."""
    port: int | None = None
    places: Mapping[int, Path] = field(default_factory=dict)
    """OID of a tablespace → where it is to lie; the others lie in a folder beside the data directory."""
    programs: Path | None = None
    """The folder with PostgreSQL's programs; None: they are looked for."""
    usual_programs: Path | None = None
    """The folder that the policy names for those of its servers, which may be of another major version by now."""
    queries: tuple[Query, ...] = ()
    """What it has to answer before it takes its place."""
    database: str = ""
    """The only database that is wanted, as a dump; empty: the cluster."""
    dump_format: DumpFormat = DumpFormat.DIRECTORY
    into: SecretReference | None = None
    """Where the connection string of an empty database is read, which that dump is loaded into."""

    @classmethod
    def read(cls, wanted: Wanted) -> Options:
        """Understand them. Raises `UsageError` for what is none, and for places that do not fit."""
        record = BaseRecord.of_tags(wanted.facts)
        known = None if record is None else record.tablespaces
        said = dict(wanted.options)
        places = {
            _oid(name.removeprefix(TABLESPACE), known): _place(Path(said.pop(name)), wanted.place)
            for name in tuple(said)
            if name.startswith(TABLESPACE)
        }
        options = cls(
            is_original=said.pop(AS_ORIGINAL, None) is not None,
            port=_port(said.pop(PORT, None)),
            places=places,
            programs=_folder(said.pop(PROGRAMS, None)),
            usual_programs=_folder(wanted.hints.get(PROGRAMS)),
            queries=tuple(Query.parse(said.pop(name)) for name in sorted(said) if name.startswith(VERIFY)),
            database=said.pop(DATABASE, ""),
            dump_format=_format(said.pop(FORMAT, DumpFormat.DIRECTORY.value)),
            into=_reference(said.pop(INTO, None)),
        )
        for name, value in said.items():
            raise UsageError(f"{name} {value} is nothing that a PostgreSQL cluster is restored with", HOW)
        options.demand_sense()
        if not options.database:
            for oid in known or ():
                restored.demand_free(options.place_of(oid, wanted.place), f"tablespace {oid}")
        return options

    def demand_sense(self) -> None:
        """See that they fit one another. Raises `UsageError`."""
        if len({*self.places.values()}) < len(self.places):
            raise UsageError("two tablespaces are to lie in one folder", HOW)
        if self.database and (self.is_original or self.port is not None or self.places):
            raise UsageError(
                "of a single database there is no server to be set up", "leave out --port, --as-original, --tablespace"
            )
        if self.into is not None and not self.database:
            raise UsageError("nothing says which database is to be loaded", "write --database NAME")
        if self.into is not None and self.dump_format is DumpFormat.PLAIN:
            raise UsageError("a plain dump is loaded by psql, not by drd", "write --format directory with --into")

    def place_of(self, oid: int, place: Path) -> Path:
        """Where a tablespace will lie, of the cluster at `place`."""
        return self.places.get(oid, beside(place) / str(oid))


def beside(place: Path) -> Path:
    """The folder for the tablespaces that nobody chose a place for."""
    return place.with_name(f"{place.name}.tablespaces")


def configuration_beside(place: Path) -> Path:
    """The folder for the configuration that lay outside of the server's data directory."""
    return place.with_name(f"{place.name}.configuration")


def _port(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise UsageError(f"{value} is no port", "write --port 5440")
    return int(value)


def _folder(value: str | None) -> Path | None:
    if value is None:
        return None
    if not Path(value).is_absolute():
        raise UsageError(f"{value} is not an absolute path", f"write --programs {Path('/') / value}")
    return Path(value)


def _format(value: str) -> DumpFormat:
    try:
        return DumpFormat(value)
    except ValueError as error:
        raise UsageError(f"{value} is no format", f"write --format {' or '.join(DumpFormat)}") from error


def _reference(value: str | None) -> SecretReference | None:
    if value is None:
        return None
    # What was typed is not repeated: it may be a password.
    match = _REFERENCE.fullmatch(value)
    try:
        if match is not None:
            return SecretReference.model_validate({match[1]: match[2]})
    except ValidationError:
        match = None
    raise UsageError("a connection string is never typed, only where it stands", "write --into file:/etc/drd/other-dsn")


def _oid(text: str, known: tuple[int, ...] | None) -> int:
    if not text.isdigit() or (known is not None and int(text) not in known):
        there = ", ".join(map(str, known or ())) or "none"
        raise UsageError(f"the cluster has no tablespace {text}; those that it has: {there}", HOW)
    return int(text)


def _place(place: Path, cluster: Path) -> Path:
    if not place.is_absolute():
        raise UsageError(f"{place} is not an absolute path", f"write --tablespace OID={Path('/') / place}")
    if place.is_relative_to(cluster) or cluster.is_relative_to(place):
        raise UsageError(f"{place} lies inside of the cluster, or around it", "name another folder")
    restored.demand_free(place, "a tablespace")
    return place
