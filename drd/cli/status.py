"""`drd status` and `drd explain`."""

from __future__ import annotations

import click

from drd.cli.command import Command, pass_session
from drd.cli.session import Session


@click.command(cls=Command)
@pass_session
def status(session: Session) -> None:
    """Show everything at a glance.

    The daemon, each policy with its newest recovery point in each store, the stores, and what needs a person with what
    to type.
    """
    answer = session.consult(lambda questions: questions.status())
    if session.as_json:
        session.emit(answer.model_dump(mode="json"))
        return
    from drd.reports.status import status_page

    session.show(status_page(answer, session.host, session.now(), session.place.zone))


@click.command(cls=Command)
@click.argument("policy")
@pass_session
def explain(session: Session, policy: str) -> None:
    """Say what drd would do with POLICY now, and why."""
    lines = session.consult(lambda questions: questions.explain(policy))
    if session.as_json:
        session.emit(list(lines))
        return
    for line in lines:
        session.show(line)
    session.next(f"drd backup {policy}", f"drd points {policy}")


SECTION = "Every day"
COMMANDS = (status, explain)
