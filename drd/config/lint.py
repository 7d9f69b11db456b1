"""Rules across keys and across files: a pass of its own over the values as they were written.

pydantic skips the checks of a whole model when one of its fields fails. Here every rule reads just the values that it
needs, so that no mistake hides behind another.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from drd.config.declared import Declared, Names, keys, lint_texts, lint_twice, typed
from drd.config.documents import Entry, Report
from drd.config.kinds import Kinds
from drd.config.lint_failover import lint_failovers
from drd.config.lint_policies import lint_disasters, lint_policy
from drd.config.lint_runbooks import lint_runbook
from drd.config.lint_servers import has_database, lint_servers
from drd.config.lint_service import lint_service
from drd.config.lint_settings import is_zone, lint_settings
from drd.config.settings import Site, StoreRules
from drd.core.geography import great_circle_metres

_UTC: Final = "UTC"
_NEEDED: Final = frozenset({"sites", "stores"})


@dataclass(frozen=True, slots=True)
class Files:
    """All that was read. A folder is complete if every file of it could be read."""

    settings: Entry | None
    policies: tuple[Entry, ...]
    runbooks: tuple[Entry, ...]
    has_all_policies: bool
    has_all_runbooks: bool


def lint(files: Files, kinds: Kinds, report: Report) -> None:
    """Report what does not fit together."""
    declared = _declared(files, kinds)
    if files.settings is not None:
        lint_settings(files.settings, kinds.stores, report)
        lint_texts(files.settings, has_variables=False, report=report)
    zone = _zone(files.settings)
    policies, runbooks = _by_name(files.policies, "policy"), _by_name(files.runbooks, "runbook")
    lint_twice(files.policies, "policy", report)
    lint_twice(files.runbooks, "runbook", report)
    for entry in files.policies:
        lint_policy(entry, declared, zone, report)
        lint_servers(entry, declared, kinds.sources, report)
        lint_service(entry, kinds.probes, report)
        lint_disasters(entry, runbooks, report)
        lint_texts(entry, has_variables=False, report=report)
    for entry in files.runbooks:
        lint_runbook(entry, declared, policies.get(str(entry.at(("policy",)))), kinds.actions, report)
        lint_texts(entry, has_variables=True, report=report)
    lint_failovers(files.policies, runbooks, frozenset(kinds.actions), report)


def _declared(files: Files, kinds: Kinds) -> Declared:
    entry = files.settings

    def section(name: str) -> Names:
        """None for a section that is no map, too: that is the mistake then, not the names."""
        if entry is None or not isinstance(entry.at((name,)) or {}, dict):
            return None
        return None if name in _NEEDED and not entry.has((name,)) else frozenset(keys(entry, (name,)))

    store_sites, distances, immutable = _stores(entry)
    policies = _by_name(files.policies, "policy")
    return Declared(
        sites=section("sites"),
        stores=section("stores"),
        people=section("people"),
        nodes=section("nodes"),
        policies=frozenset(policies) if files.has_all_policies else None,
        databases=frozenset(
            str(each.at(("policy",)))
            for each in files.policies
            if has_database(each, kinds.sources) or each.has(("service",))
        ),
        runbooks=frozenset(_by_name(files.runbooks, "runbook")) if files.has_all_runbooks else None,
        here=None if entry is None else _text(entry.at(("site",))),
        distances=distances,
        store_sites=store_sites,
        immutable=immutable,
        media=_media(entry),
        served_by={} if entry is None else {name: keys(entry, ("nodes", name)) for name in keys(entry, ("nodes",))},
    )


def _stores(entry: Entry | None) -> tuple[dict[str, str], dict[str, float], Collection[str]]:
    """Each store's site, its distance in metres where both ends are known, and which stores are immutable."""
    if entry is None:
        return {}, {}, ()
    names = keys(entry, ("stores",))
    places: dict[str, Any] = {name: typed(entry, ("sites", name), Site) for name in keys(entry, ("sites",))}
    sites = {name: site for name in names if (site := _text(entry.at(("stores", name, "site")))) in places}
    here = places.get(str(entry.at(("site",))))
    distances = {
        name: great_circle_metres(here.latitude, here.longitude, there.latitude, there.longitude)
        for name, site in sites.items()
        if here is not None and (there := places[site]) is not None
    }
    return sites, distances, frozenset(name for name in names if entry.at(("stores", name, "immutable")) is not None)


def _media(entry: Entry | None) -> dict[str, str]:
    """Each store's kind: the one of its keys that is not said of every store."""
    if entry is None:
        return {}
    kinds = {
        name: set(keys(entry, ("stores", name))) - StoreRules.model_fields.keys() for name in keys(entry, ("stores",))
    }
    return {name: found.pop() for name, found in kinds.items() if len(found) == 1}


def _by_name(entries: tuple[Entry, ...], key: str) -> dict[str, Entry]:
    return {name: entry for entry in reversed(entries) if isinstance(name := entry.at((key,)), str)}


def _zone(entry: Entry | None) -> ZoneInfo:
    name = None if entry is None else _text(entry.at(("timezone",)))
    return ZoneInfo(name) if name is not None and is_zone(name) else ZoneInfo(_UTC)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
