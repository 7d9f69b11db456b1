"""What Prometheus reads, in the text exposition format 0.0.4, written by prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its series. `explanation` is one line."""

    name: str
    kind: Literal["gauge", "counter"]
    explanation: str
    samples: tuple[Sample, ...]


def gauge(name: str, explanation: str, samples: Iterable[Sample]) -> Family:
    """A metric that goes up and down."""
    return Family(name, "gauge", explanation, tuple(samples))


def expose(families: Iterable[Family]) -> bytes:
    """All families as one document; a family without a series is left out."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(families))
    return generate_latest(registry)


def seconds(moment: datetime | None) -> float:
    """A moment as Prometheus counts it; 0 for what has not happened."""
    return 0.0 if moment is None else moment.timestamp()


class _Shown(Collector):
    """Hands the families of one moment to the library, which has no state of its own about them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def describe(self) -> Iterable[Metric]:
        """Nothing: whoever registers this must not ask for the samples yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family that has a series."""
        for family in self._families:
            if family.samples:
                metric = Metric(family.name.removesuffix("_total"), family.explanation, family.kind)
                for labels, value in family.samples:
                    metric.add_sample(family.name, dict(labels), value)
                yield metric
