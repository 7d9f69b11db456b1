"""The tags of a snapshot, from which the catalogue can be rebuilt when nothing but a store is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from drd.core.run import Mode, Outcome, worse

MINE = "drd"
"""Every snapshot that drd makes carries this tag."""
HOST = "drd"
"""The host that snapshots name: what they are of is in the tags, whichever machine made them."""
PART_OF = "part-of="
"""Begins the fact of a part that is nothing by itself: a restore puts it with the part that is named."""
BESIDE_WAL = "beside-wal="
"""Begins the fact of a part of a run beside which the part that is named is not: its write-ahead log leads there."""
OWN = frozenset({"policy", "run", "part", "parts", "kind", "at", "daemon", "outcome"})
"""The names of tags that say the same of every kind of source; what else is there, a source's kind has said."""


def policy_tags(policy: str) -> tuple[str, ...]:
    """The tags that all snapshots of a policy carry, and no other."""
    return (MINE, f"policy={policy}")


@dataclass(frozen=True, slots=True)
class Origin:
    """What the tags of a snapshot say about it."""

    policy: str
    run: str
    part: str
    mode: Mode
    outcome: Outcome
    moment: datetime
    daemon: str
    parts: int = 1
    """How many parts the run was to save: fewer in a store mean that it was never finished there."""
    facts: tuple[str, ...] = ()
    """What the source's kind says of what it gave, `name=value` each, sorted."""

    def tags(self) -> tuple[str, ...]:
        """The tags under which the snapshot is made. The outcome is not known then: only a bad one is added later."""
        moment = self.moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            *policy_tags(self.policy),
            f"run={self.run}",
            f"part={self.part}",
            f"parts={self.parts}",
            f"kind={self.mode}",
            f"at={moment}",
            f"daemon={self.daemon}",
            *self.facts,
        )


def completed_by(facts: Iterable[str]) -> str | None:
    """The part that a part belongs to, or None when it stands for itself."""
    return next((fact.removeprefix(PART_OF) for fact in facts if fact.startswith(PART_OF)), None)


def reached_by_wal(facts: Iterable[str]) -> tuple[str, ...]:
    """The parts that a part's run did not save, because their write-ahead log leads there."""
    return tuple(fact.removeprefix(BESIDE_WAL) for fact in facts if fact.startswith(BESIDE_WAL))


def outcome_tag(outcome: Outcome) -> str:
    """The tag that a snapshot gets when it is not good."""
    return f"outcome={outcome}"


def read_tags(tags: Sequence[str]) -> Origin | None:
    """What the tags say, or None when this is not a snapshot of a policy's run."""
    values = dict(tag.split("=", 1) for tag in tags if "=" in tag)
    if MINE not in tags:
        return None
    try:
        moment = datetime.fromisoformat(values["at"])
        if moment.tzinfo is None:
            return None
        return Origin(
            policy=values["policy"],
            run=values["run"],
            part=values["part"],
            mode=Mode(values["kind"]),
            outcome=_worst(tags),
            moment=moment,
            daemon=values.get("daemon", ""),
            parts=int(values.get("parts", 1)),
            facts=tuple(sorted(tag for tag in tags if "=" in tag and tag.partition("=")[0] not in OWN)),
        )
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class AnchorTags:
    """What the tags of an anchor say: the head that a journal had."""

    daemon: str
    sequence: int
    head: str


def anchor_tags(daemon: str, sequence: int, head: str) -> tuple[str, ...]:
    """The tags of a snapshot that anchors a journal's head."""
    return (MINE, "kind=anchor", f"daemon={daemon}", f"sequence={sequence}", f"head={head}")


def read_anchor(tags: Sequence[str]) -> AnchorTags | None:
    """The head that an anchor carries, or None when this is none."""
    values = dict(tag.split("=", 1) for tag in tags if "=" in tag)
    if MINE not in tags or values.get("kind") != "anchor" or not values.get("sequence", "").isdigit():
        return None
    return AnchorTags(values.get("daemon", ""), int(values["sequence"]), values.get("head", ""))


def _worst(tags: Sequence[str]) -> Outcome:
    """What the outcome tags say; a snapshot that was marked twice is as bad as its worst mark."""
    worst = Outcome.SUCCEEDED
    for tag in tags:
        if tag.startswith("outcome="):
            worst = worse(worst, Outcome(tag.removeprefix("outcome=")))
    return worst
