"""Finding the kinds: every module of a room holds exactly one concrete class, and its `kind` is the YAML key."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TypeVar

import drd.actions
import drd.probes
import drd.sources
import drd.stores
from drd.config.kinds import Kinds
from drd.core.kinds import Spec
from drd.ports.action import Action
from drd.ports.probe import Probe
from drd.ports.source import Source
from drd.ports.store import Store

Port = TypeVar("Port", bound=Spec)


def find_kinds() -> Kinds:
    """All kinds of this installation."""
    return Kinds(
        sources=kinds_in(drd.sources, Source),  # type: ignore[type-abstract]
        stores=kinds_in(drd.stores, Store),  # type: ignore[type-abstract]
        actions=kinds_in(drd.actions, Action),  # type: ignore[type-abstract]
        probes=kinds_in(drd.probes, Probe),  # type: ignore[type-abstract]
    )


def kinds_in(room: ModuleType, port: type[Port]) -> dict[str, type[Port]]:
    """YAML key → class, for every module of a room. Raises TypeError if a module does not hold exactly one kind."""
    found: dict[str, type[Port]] = {}
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        kind = _kind_of(importlib.import_module(module.name), port)
        if kind.kind in found:
            raise TypeError(f"{module.name} and {found[kind.kind].__module__} both call their kind {kind.kind}")
        found[kind.kind] = kind
    return found


def _kind_of(module: ModuleType, port: type[Port]) -> type[Port]:
    kinds = [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, port)
        and member.__module__ == module.__name__
        and not inspect.isabstract(member)
    ]
    if len(kinds) != 1:
        raise TypeError(f"{module.__name__} holds {len(kinds)} kinds of {port.__name__.lower()} instead of exactly one")
    return kinds[0]
