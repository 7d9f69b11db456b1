"""The text that Prometheus reads: text exposition format 0.0.4.

Written by hand because a scrape of 1,000 policies took prometheus_client seven times as long; its parser and promtool
check this in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its series. `explanation` is one line."""

    name: str
    kind: Literal["gauge", "counter"]
    explanation: str
    samples: tuple[Sample, ...]


def expose(families: Iterable[Family]) -> bytes:
    """All families as one document; a family without a series is left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines.append(f"# HELP {family.name} {_escape(family.explanation)}\n# TYPE {family.name} {family.kind}\n")
            lines.extend(_line(family.name, labels, value) for labels, value in family.samples)
    return "".join(lines).encode()


def seconds(moment: datetime | None) -> float:
    """A moment as Prometheus counts it; 0 for what has not happened."""
    return 0.0 if moment is None else moment.timestamp()


def _line(name: str, labels: Labels, value: float) -> str:
    inner = ",".join([f'{key}="{_quote(text)}"' for key, text in labels])
    return f"{name}{{{inner}}} {_number(value)}\n" if inner else f"{name} {_number(value)}\n"


def _number(value: float) -> str:
    # repr() of a float is the shortest text that reads back as the same number.
    return repr(int(value)) if value == int(value) else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', '\\"') if ("\\" in text or '"' in text or "\n" in text) else text
