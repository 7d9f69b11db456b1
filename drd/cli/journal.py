"""`drd journal show` and `drd journal verify`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from drd.cli.command import Group, pass_session
from drd.cli.session import Session
from drd.core.errors import UsageError

if TYPE_CHECKING:
    from drd.core.events import Event
    from drd.ports.journal import JournalReader

RUN_ID_CHARACTERS = 26


@click.group(cls=Group)
def journal() -> None:
    """Read the record of everything that drd has done."""


@journal.command()
@click.option("--policy", help="Only events of this policy, and of its runs.")
@click.option("--run", "run_id", metavar="RUN", help="Only events of this run: its id, or the end of it.")
@click.option("--kind", help="Only events of this kind, as run-finished.")
@click.option(
    "--newest", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="The last N that fit."
)
@click.option("--all", "everything", is_flag=True, help="All that fit, from the first.")
@pass_session
def show(
    session: Session, policy: str | None, run_id: str | None, kind: str | None, newest: int, everything: bool
) -> None:
    """Show events, oldest first. With --json, one JSON document a line."""
    from drd.core.events import kinds
    from drd.reports.journal import event_document, event_line

    if kind is not None and kind not in kinds():
        near = get_close_matches(kind, kinds(), n=1)
        known = f"did you mean {near[0]}?" if near else f"one of: {', '.join(sorted(kinds()))}"
        raise UsageError(f"there is no kind of event {kind}", known)
    configuration = session.configuration()
    with session.application().journal_reader(configuration) as reader:
        is_empty = True
        for event in _fitting(reader, policy, run_id, kind, None if everything else newest):
            is_empty = False
            if session.as_json:
                session.emit(event_document(event), indent=None)
            else:
                session.show(event_line(event, configuration.zone), wrap=False)
    if is_empty:
        session.say("no event fits")


@journal.command()
@pass_session
def verify(session: Session) -> int:
    """Check the chain of hashes over all events, and name the first that does not fit."""
    from drd.reports.journal import verdict_words

    with session.application().journal_reader(session.configuration()) as reader:
        verdict = reader.verify()
    if session.as_json:
        session.emit(
            {
                "sound": verdict.sound,
                "events": verdict.events,
                "sequence": verdict.sequence,
                "problem": verdict.problem,
            }
        )
    else:
        session.show(verdict_words(verdict))
        if not verdict.sound:
            session.say("  keep a copy of the state folder before anything else; the stores still hold every snapshot")
    return 0 if verdict.sound else 1


def _fitting(
    reader: JournalReader, policy: str | None, run_id: str | None, kind: str | None, newest: int | None
) -> Iterator[Event]:
    """Events that fit. What the reader can choose by, it does; the rest is chosen here, and counted after that."""
    whole_id = run_id if run_id is not None and len(run_id) == RUN_ID_CHARACTERS else None
    if policy is None and whole_id == run_id:
        yield from reader.events(newest=newest, run=whole_id, kind=kind)
        return
    found = _of(reader.events(run=whole_id, kind=kind), policy, run_id or "")
    yield from found if newest is None else deque(found, maxlen=newest)


def _of(events: Iterator[Event], policy: str | None, end_of_run: str) -> Iterator[Event]:
    runs: set[str] = set()
    for event in events:
        named = getattr(event.body, "policy", None)
        if policy is not None and named == policy and event.run:
            runs.add(event.run)
        is_of_policy = policy is None or named == policy or (named is None and event.run in runs)
        if is_of_policy and (event.run or "").endswith(end_of_run):
            yield event


SECTION = "Records and procedures"
COMMANDS = (journal,)
