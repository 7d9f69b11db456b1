"""`drd backup`, `drd pause` and `drd resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drd.cli.command import Command, pass_session
from drd.cli.following import follow
from drd.cli.session import Session
from drd.core.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime


@click.command(cls=Command)
@click.argument("policy")
@click.option("--full", is_flag=True, help="Read everything again, not only what changed.")
@pass_session
def backup(session: Session, policy: str, full: bool) -> int:
    """Back POLICY up now, into all its stores.

    A run that is under way is joined, not doubled. With a daemon the run belongs to it and goes on when you leave.
    """
    session.on_interrupt = "you left; with a daemon the run goes on: drd status"
    code = session.ask(lambda control: follow(session, control.backup(policy, full, session.user)))
    session.next(f"drd points {policy}") if code in (0, 3) else session.next(f"drd explain {policy}")
    return code


@click.command(cls=Command)
@click.argument("policy", required=False)
@click.option("--all", "is_for_all", is_flag=True, help="For every policy, instead of one.")
@click.option(
    "--what",
    type=click.Choice(["backup", "failover", "runbooks", "all"]),
    default="backup",
    show_default=True,
    help="What is not started meanwhile; `failover`: no runbook, neither by itself nor by a person; `runbooks`: nor a "
    "further step of one that runs.",
)
@click.option("--for", "duration", required=True, metavar="DURATION", help="For how long, as 2h or 30m.")
@click.option("--reason", required=True, help="Why; the journal keeps it.")
@pass_session
def pause(session: Session, policy: str | None, is_for_all: bool, what: str, duration: str, reason: str) -> None:
    """Stop work for POLICY for a time. It starts again by itself.

    While runbooks are paused an approval that waits takes nobody's silence for a yes. With --what failover and no
    POLICY, the kill switch, no primary is replaced anywhere, and runbooks that run already begin no further step, until
    the time is over or `drd resume --all` is typed.
    """
    from drd.core.units import INTERVAL_UNITS, parse_duration
    from drd.reports.moments import local_with_offset

    try:
        length = parse_duration(duration, INTERVAL_UNITS)
    except ValueError as error:
        raise UsageError(f"--for: {error}", "as in: --for 2h") from error
    if length.total_seconds() <= 0:
        raise UsageError("a pause ends in the future", "type: --for 2h")
    until = session.now() + length
    # Backups of everything are stopped by no word that was forgotten.
    is_for_all = is_for_all or (policy is None and what in ("failover", "runbooks"))
    names = _named(session, policy, is_for_all)
    for name in names:
        for each in _everywhere(what) if is_for_all else (what,):
            _pause(session, name, each, until, reason)
    if session.as_json:
        document = {"what": what, "until": until.isoformat(), "reason": reason}
        session.emit({"policies": names, **document} if is_for_all else {"policy": policy, **document})
        return
    for name in names:
        session.show(f"{name}: {what} is paused until {local_with_offset(until, session.place.zone)}")
    session.next("drd resume --all" if is_for_all else f"drd resume {policy}")


def _pause(session: Session, name: str, what: str, until: datetime, reason: str) -> None:
    session.ask(lambda control: control.pause(name, what, until, reason, session.user))


def _everywhere(what: str) -> tuple[str, ...]:
    """What is paused where no policy is left out: whoever stops all failovers means those too that are under way."""
    return {"failover": ("runbooks",), "all": ("all", "runbooks")}.get(what, (what,))


def _named(session: Session, policy: str | None, is_for_all: bool) -> list[str]:
    """The policies that are meant: one, or all that the daemon knows."""
    if is_for_all == (policy is not None):
        raise UsageError("name one policy, or --all", "as in: --all")
    if policy is not None:
        return [policy]
    return [each.name for each in session.ask(lambda control: control.status()).policies]


@click.command(cls=Command)
@click.argument("policy", required=False)
@click.option("--all", "is_for_all", is_flag=True, help="Of every policy, instead of one.")
@pass_session
def resume(session: Session, policy: str | None, is_for_all: bool) -> None:
    """End the pauses of POLICY before their time."""
    names = _named(session, policy, is_for_all)
    ended = [name for name in names if _is_resumed(session, name, or_nothing=is_for_all)]
    if session.as_json:
        session.emit({"policies": ended, "paused": False} if is_for_all else {"policy": policy, "paused": False})
        return
    for name in ended:
        session.show(f"{name} is not paused any more")
    if not ended:
        session.show("nothing is paused")
    session.next("drd status")


def _is_resumed(session: Session, name: str, *, or_nothing: bool) -> bool:
    try:
        session.ask(lambda control: control.resume(name, session.user))
    except UsageError:
        if not or_nothing:
            raise
        return False
    return True


SECTION = "Every day"
COMMANDS = (backup, pause, resume)
