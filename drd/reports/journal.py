"""The journal's events as lines for people and as documents for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from rich.text import Text

from drd.core.events import Event
from drd.core.units import format_size
from drd.ports.control import Anchors
from drd.ports.journal import Verdict
from drd.reports.moments import local, number

SHOWN_OF_A_RUN = 8
"""The last characters of a run's id: they differ where the first, which are the time, do not."""
LOUD = {
    "bug-found",
    "damage-found",
    "damage-given-up",
    "damage-left",
    "hold-placed",
    "suspicion-raised",
    "snapshot-missing",
    "configuration-refused",
    "job-failed",
    "store-went-away",
}
SAID_ALREADY = ("policy", "store", "message", "hint", "traceback", "figures", "document", "facts")
SHOWN_OF_AN_ID = 8
IDS = ("snapshot_id", "repository_id", "anchored_head", "previous_head", "digest")


def event_line(event: Event, zone: ZoneInfo) -> Text:
    """One event on one line: when, which, what, whose, and then its details."""
    said = _values(event)
    words = event.body.KIND.replace("-", " ")
    line = Text.assemble(
        (local(event.at, zone), "dim"), f" {event.sequence:>7}  ", (f"{words:<21}", _style(event, said))
    )
    for key in ("policy", "store"):
        if said.get(key):
            line.append(f" {said[key]}", style="bold" if key == "policy" else "")
    if details := [words for key, value in said.items() if (words := _detail(key, value, zone))]:
        line.append(f"  {', '.join(details)}")
    if said.get("message"):
        line.append(f"  {said['message']}", style="red" if said.get("outcome") == "failed" else "")
    if event.run:
        line.append(f"  run …{event.run[-SHOWN_OF_A_RUN:]}", style="dim")
    return line


def event_document(event: Event) -> dict[str, Any]:
    """The event as plain JSON."""
    return {
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "kind": event.body.KIND,
        "version": event.body.VERSION,
        "run": event.run,
        "daemon": event.daemon,
        "boot": event.boot,
        "monotonic_ns": event.monotonic_ns,
        "term": event.term,
        "body": {key: _plain(value) for key, value in _values(event).items()},
        "head": event.head,
    }


def verdict_words(verdict: Verdict) -> Text:
    """What verifying found, in one sentence."""
    if verdict.sound:
        return Text.assemble(("sound", "green"), f": {number(verdict.events)} events, each fits the one before it")
    place = f"event {verdict.sequence}" if verdict.sequence is not None else "the journal"
    return Text.assemble(
        ("damaged", "bold red"),
        f": {place} does not fit: {verdict.problem} ({number(verdict.events)} events before it do)",
    )


def anchors_words(anchors: Anchors) -> Text:
    """What one store had to say about it."""
    if anchors.problem:
        return Text.assemble(("not asked", "yellow"), f": store {anchors.store}: {anchors.problem}")
    if not anchors.heads:
        return Text(f"store {anchors.store} holds no head of it yet; the daemon writes one each week")
    return Text(
        f"store {anchors.store} holds {number(len(anchors.heads))} heads of it, up to event {max(anchors.heads)}"
    )


def _values(event: Event) -> Mapping[str, Any]:
    return {field.name: getattr(event.body, field.name) for field in fields(event.body)}


def _style(event: Event, said: Mapping[str, Any]) -> str:
    if event.body.KIND in LOUD or said.get("outcome") == "failed":
        return "red"
    return "green" if said.get("outcome") == "succeeded" else ""


def _detail(key: str, value: Any, zone: ZoneInfo) -> str:
    """One value with its name; empty for what is said elsewhere or says nothing."""
    if key in SAID_ALREADY or value in (None, "", ()):
        return ""
    name = key.replace("_", " ")
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return name if value else f"not {name}"
    if key.endswith("bytes"):
        return f"{name.removesuffix(' bytes')} {format_size(value)}" if value else ""
    if key == "seconds":
        return f"{value:.1f} s"
    if key in IDS:
        return f"{name.removesuffix(' id')} {str(value)[:SHOWN_OF_AN_ID]}"
    if isinstance(value, tuple):
        return f"{number(len(value))} {name.removesuffix(' ids').removesuffix('s')}s"
    return f"{name} {local(value, zone) if isinstance(value, datetime) else value}"


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return list(value) if isinstance(value, tuple) else value
