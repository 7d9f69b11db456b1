"""Rules about how a service is looked at as its users reach it."""

from __future__ import annotations

from collections.abc import Mapping

from drd.config.declared import typed_value
from drd.config.documents import Entry, Report
from drd.config.yaml import Spot
from drd.ports.probe import Probe, Target


def lint_service(entry: Entry, kinds: Mapping[str, type[Probe]], report: Report) -> None:
    """A service is no node: its probe has to say itself where it looks."""
    written = entry.at(("service",))
    if not isinstance(written, dict):
        return
    for verb in (each for each in kinds if each in written):
        probe: Probe | None = typed_value(written[verb], kinds[verb])
        if probe is not None and (why := probe.why_not(Target(policy="", node="", host=""))):
            report(entry.problem(("service", verb), f"`{verb}`: {why}", Spot.KEY))
