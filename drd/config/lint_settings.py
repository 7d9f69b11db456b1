"""Rules across the keys of drd.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from drd.config.declared import keys, refer, typed, typed_value
from drd.config.documents import Entry, Report
from drd.config.settings import Listen, is_loopback
from drd.config.suggest import nearest
from drd.config.yaml import Spot
from drd.core.units import Days
from drd.ports.store import Store

_DAY: Final = timedelta(days=1)
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")


def lint_settings(entry: Entry, kinds: Mapping[str, type[Store]], report: Report) -> None:
    """Sites, people, addresses and stores of drd.yaml fit together."""
    _lint_place(entry, report)
    _lint_people(entry, report)
    _lint_http(entry, report)
    sites = keys(entry, ("sites",))
    for section in ("stores", "nodes"):
        for name in keys(entry, (section,)):
            refer(entry, (section, name, "site"), "site", sites, " under `sites:`", report)
    _lint_stores(entry, kinds, report)


def _lint_place(entry: Entry, report: Report) -> None:
    zone = entry.at(("timezone",))
    if isinstance(zone, str) and not is_zone(zone):
        report(entry.problem(("timezone",), f"there is no time zone `{zone}`: {_zone_instead(zone)}"))
    state = entry.at(("state",))
    if isinstance(state, str) and not state.startswith("/"):
        report(entry.problem(("state",), "`state`: write the whole path, as /var/lib/drd"))
    refer(entry, ("site",), "site", keys(entry, ("sites",)), " under `sites:`", report)


def is_zone(name: str) -> bool:
    """Whether the time zone database knows the name."""
    if not _ZONE.fullmatch(name):
        return False
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return False
    return True


def _zone_instead(name: str) -> str:
    zones = available_timezones()
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(zones)}
    meant = cities.get(name) or nearest(name, zones)
    return f"did you mean `{meant}`?" if meant else "write one of the time zone database, as `Asia/Shanghai`"


def _lint_people(entry: Entry, report: Report) -> None:
    people = keys(entry, ("people",))
    for name in people:
        path = ("people", name, "deputy")
        refer(entry, path, "person", people, " under `people:`", report)
        if entry.at(path) == name:
            report(entry.problem(path, f"`{name}` cannot be the deputy of `{name}`: name another person"))


def _lint_http(entry: Entry, report: Report) -> None:
    listen = typed(entry, ("http", "listen"), Listen)
    if listen is not None and not is_loopback(listen[0]) and entry.at(("http", "tokens")) is None:
        sentence = (
            "other machines can reach this address: name `tokens:` that they have to show, or listen on 127.0.0.1"
        )
        report(entry.problem(("http", "listen"), sentence))


def _lint_stores(entry: Entry, kinds: Mapping[str, type[Store]], report: Report) -> None:
    first: dict[tuple[str, str], str] = {}
    for name in keys(entry, ("stores",)):
        immutable = typed(entry, ("stores", name, "immutable"), Days)
        if immutable is not None and (immutable % _DAY or not immutable):
            report(entry.problem(("stores", name, "immutable"), "`immutable`: write whole days, as 30d"))
        for verb in keys(entry, ("stores", name)):
            place = typed_value(entry.at(("stores", name, verb)), kinds[verb]) if verb in kinds else None
            if place is None:
                continue
            other = first.setdefault((verb, place.summary()), name)
            if other != name:
                sentence = f"`{other}` is the same repository: give each store a place of its own"
                report(entry.problem(("stores", name, verb), sentence, Spot.VALUE))
