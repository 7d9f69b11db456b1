"""What is known of a store while it is healed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drd.core.catalogue import Damage
from drd.engines.from_mirrors import Brought
from drd.ports.repository import Repository


@dataclass(slots=True)
class Case:
    """One try at healing a store."""

    store: str
    damage: Damage
    repository: Repository
    aside: Path
    bad: dict[str, str] = field(default_factory=dict)
    """Path → why it is bad, of what is still so."""
    files: set[str] = field(default_factory=set)
    """All that was found bad."""
    snapshots: tuple[str, ...] = ()
    """Those that were found to have gone, which no list shows."""
    known: set[str] = field(default_factory=set)
    """All that was named before it was looked for."""
    unasked: set[str] = field(default_factory=set)
    """Stores that hold the same files and were not to be had."""
    means: list[str] = field(default_factory=list)
    covered: Mapping[str, str] = field(default_factory=dict)
    """What somebody deleted or overwrote in a bucket and drd may not bring back, with what a person types."""
    refusals: list[str] = field(default_factory=list)
    """Why the store's own versions could not be asked."""
    is_open: bool = False
    """Whether config and keys are good."""
    is_salvaged: bool = False
    """Whether packs were given up: from then on only restic can tell what is missing."""

    @property
    def lacks_snapshots_only(self) -> bool:
        """Whether all that is bad are snapshots that have gone: no source can give them back."""
        return bool(self.bad) and self.bad.keys() <= set(self.snapshots)

    def take(self, brought: Brought) -> None:
        """Note what mirrors have given."""
        self.means += brought.means
        self.unasked |= brought.unasked
        if brought.refusal and brought.refusal not in self.refusals:
            self.refusals.append(brought.refusal)
