"""The kinds that files may name, by their YAML keys: the composition root finds them and hands them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drd.ports.action import Action
from drd.ports.probe import Probe
from drd.ports.source import Source
from drd.ports.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """YAML key → the class that is the schema of what stands under it.

    Compared by identity, for the models are made once for each.
    """

    sources: Mapping[str, type[Source]] = field(default_factory=dict)
    stores: Mapping[str, type[Store]] = field(default_factory=dict)
    actions: Mapping[str, type[Action]] = field(default_factory=dict)
    probes: Mapping[str, type[Probe]] = field(default_factory=dict)
