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
    from drd.ports.control import Anchors
    from drd.ports.journal import JournalReader, Verdict

RUN_ID_CHARACTERS = 26


@click.group(cls=Group)
def journal() -> None:
    """Read the record of everything that drd has done."""


@journal.command()
@click.option("--policy", metavar="POLICY", help="Only events of this policy, and of its runs.")
@click.option("--run", "run_id", metavar="RUN", help="Only events of this run: its id, or the end of it.")
@click.option("--kind", metavar="KIND", help="Only events of this kind, as run-finished.")
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
    with session.application().journal_reader(session.place) as reader:
        is_empty = True
        for event in _fitting(reader, policy, run_id, kind, None if everything else newest):
            is_empty = False
            if session.as_json:
                session.emit(event_document(event), indent=None)
            else:
                session.show(event_line(event, session.place.zone), wrap=False)
    if is_empty:
        session.say("no event fits")


@journal.command(short_help="Check that nobody changed the record.")
@click.option("--anchors", is_flag=True, help="Also hold it against the heads that were written into the stores.")
@pass_session
def verify(session: Session, anchors: bool) -> int:
    """Check the chain of hashes over all events, and name the first that does not fit.

    Whoever rewrites the whole chain makes it fit again, but not the heads of it that lie in the stores: --anchors.
    """
    from drd.reports.journal import anchors_words, verdict_words

    found = _anchors(session) if anchors else ()
    with session.application().journal_reader(session.place) as reader:
        verdict = _verdict(reader, found)
    if session.as_json:
        session.emit(
            {
                "sound": verdict.sound,
                "events": verdict.events,
                "sequence": verdict.sequence,
                "problem": verdict.problem,
                "anchors": [each.model_dump(mode="json") for each in found],
            }
        )
    else:
        session.show(verdict_words(verdict))
        for each in found:
            session.show(anchors_words(each))
        if not verdict.sound:
            session.say("  keep a copy of the state folder before anything else; the stores still hold every snapshot")
    unasked = any(each.problem for each in found)
    return 1 if not verdict.sound else 3 if unasked else 0


def _anchors(session: Session) -> tuple[Anchors, ...]:
    import asyncio

    return asyncio.run(session.application().anchors(session.configuration()))


def _verdict(reader: JournalReader, found: tuple[Anchors, ...]) -> Verdict:
    """Of one walk through the chain, or of one more for each store that contradicts those before it."""
    heads: list[dict[int, str]] = [{}]
    for each in found:
        if all(heads[-1].get(sequence, head) == head for sequence, head in each.heads.items()):
            heads[-1] |= each.heads
        else:
            heads.append(each.heads)
    verdicts = [reader.verify(each) for each in heads]
    return next((verdict for verdict in verdicts if not verdict.sound), verdicts[0])


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
