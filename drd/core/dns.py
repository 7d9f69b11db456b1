"""Records of the domain name system that say where a node is."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from drd.core.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Record:
    """All values of one type that a name has, and for how many seconds whoever has asked may go on using them."""

    values: tuple[str, ...]
    ttl: int

    def __str__(self) -> str:
        return f"{self.ttl} {','.join(sorted(self.values))}"

    @classmethod
    def parse(cls, text: str) -> Record:
        """What `str` wrote."""
        ttl, _, values = text.partition(" ")
        return cls(tuple(values.split(",")), int(ttl))


@dataclass(frozen=True, slots=True)
class Change:
    """What takes the place of a name's record of one type; None is no record."""

    kind: str
    old: Record | None
    new: Record | None

    @property
    def is_one(self) -> bool:
        """Whether the two do not say the same."""
        return _canonical(self.old) != _canonical(self.new)


def _canonical(record: Record | None) -> tuple[int, tuple[str, ...]] | None:
    return None if record is None else (record.ttl, tuple(sorted(map(_one_way, record.values))))


def _one_way(value: str) -> str:
    """The one way to write what can be written in many."""
    try:
        return str(ip_address(value))
    except ValueError:
        return f"{value.rstrip('.').lower()}."


def type_of(host: str) -> str:
    """The type of the record that leads to a host: A, AAAA, or for a name CNAME."""
    try:
        return "A" if ip_address(host).version == 4 else "AAAA"
    except ValueError:
        return "CNAME"


def value_of(host: str) -> str:
    """The value of that record: an address, or a name with its final dot."""
    return _one_way(host)


def others_of(kind: str) -> tuple[str, ...]:
    """The types of records that lead elsewhere beside one of that type."""
    return tuple({"A", "AAAA"} - {kind}) if kind != "CNAME" else ()


def demand_within(name: str, zone: str) -> None:
    """Raises `PermanentError` for a name that the zone does not hold."""
    inner, outer = name.rstrip(".").lower(), zone.rstrip(".").lower()
    if inner != outer and not inner.endswith(f".{outer}"):
        raise PermanentError(f"{name} is no name of the zone {zone}", "correct `name:` or `zone:`")
