"""`drd backup`, `drd pause` and `drd resume`."""

from __future__ import annotations

import click

from drd.cli.command import Command, pass_session
from drd.cli.following import follow
from drd.cli.session import Session
from drd.core.errors import UsageError


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
@click.argument("policy")
@click.option(
    "--what",
    type=click.Choice(["backup", "failover", "all"]),
    default="backup",
    show_default=True,
    help="What is not started meanwhile; `failover`: no runbook of the policy.",
)
@click.option("--for", "duration", required=True, metavar="DURATION", help="For how long, as 2h or 30m.")
@click.option("--reason", required=True, help="Why; the journal keeps it.")
@pass_session
def pause(session: Session, policy: str, what: str, duration: str, reason: str) -> None:
    """Stop work for POLICY for a time. It starts again by itself."""
    from drd.core.units import INTERVAL_UNITS, parse_duration
    from drd.reports.moments import local_with_offset

    try:
        length = parse_duration(duration, INTERVAL_UNITS)
    except ValueError as error:
        raise UsageError(f"--for: {error}", "as in: --for 2h") from error
    if length.total_seconds() <= 0:
        raise UsageError("a pause ends in the future", "type: --for 2h")
    until = session.now() + length
    session.ask(lambda control: control.pause(policy, what, until, reason, session.user))
    if session.as_json:
        session.emit({"policy": policy, "what": what, "until": until.isoformat(), "reason": reason})
        return
    session.show(f"{policy}: {what} is paused until {local_with_offset(until, session.place.zone)}")
    session.next(f"drd resume {policy}")


@click.command(cls=Command)
@click.argument("policy")
@pass_session
def resume(session: Session, policy: str) -> None:
    """End a pause of POLICY before its time."""
    session.ask(lambda control: control.resume(policy, session.user))
    if session.as_json:
        session.emit({"policy": policy, "paused": False})
        return
    session.show(f"{policy} is not paused any more")
    session.next("drd status")


SECTION = "Every day"
COMMANDS = (backup, pause, resume)
