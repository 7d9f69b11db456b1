"""The schema of a policy file: the core's values, and `source`, whose kinds are found at start."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field, create_model

from drd.config.kinds import Kinds
from drd.config.verbs import OneVerb, with_verbs
from drd.core.lists import OneOrMany
from drd.core.policy import BackupPlan, Health, Name, Policy, Service

ONLY_PART = "main"
"""What the part of a single source is called."""


DEFAULT_PROBES = ("postgres",)
"""What nodes are asked unless it is written."""


class PartRules(OneVerb):
    """One source of a policy; several make one recovery point of several parts."""

    part: Name | None = None
    """What it is called among several; the kind's name unless written."""


class ProbeRules(OneVerb):
    """One question that is put to each node."""


class ServiceRules(OneVerb, Service):
    """How its users reach the service."""


class PolicyRules(Policy):
    """A policy file."""

    LATER: ClassVar[frozenset[str]] = frozenset({"prove", "drills"})


@lru_cache(maxsize=2)
def policy_model(kinds: Kinds) -> type[Policy]:
    """The schema of a policy file with the kinds of source that were found."""
    part = with_verbs(PartRules, "kind of source", kinds.sources, "Source")
    source = (
        OneOrMany[part],  # type: ignore[valid-type]
        Field(min_length=1, description="What is protected: one source, or a list of them."),
    )
    plan = create_model("BackupPlan", __base__=BackupPlan, __doc__=BackupPlan.__doc__, source=source)
    probe = with_verbs(ProbeRules, "kind of probe", kinds.probes, "Probe")
    probes: Any = (
        OneOrMany[probe],  # type: ignore[valid-type]
        Field(
            default=tuple({kind: {}} for kind in DEFAULT_PROBES if kind in kinds.probes),
            description="What each node is asked; a probe that does not fit a node passes it over.",
        ),
    )
    health = create_model("Health", __base__=Health, __doc__=Health.__doc__, probes=probes)
    how = (health, Field(default={}, validate_default=True, description=Policy.model_fields["health"].description))
    service: Any = with_verbs(ServiceRules, "kind of probe", kinds.probes, "Service")
    looked = (service | None, Field(default=None, description=Service.__doc__))
    return create_model(
        "Policy", __base__=PolicyRules, __doc__=Policy.__doc__, health=how, backup=(plan, Field()), service=looked
    )


def part_names(parts: tuple[PartRules, ...]) -> tuple[str, ...]:
    """What the parts of a recovery point are called, in the order of the file."""
    if len(parts) == 1:
        return (parts[0].part or ONLY_PART,)
    return tuple(part.part or part.verb for part in parts)
