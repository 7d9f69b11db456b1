"""`drd incident`: the runs of runbooks, as the journal tells them."""

from __future__ import annotations

import click

from drd.cli.command import Group, pass_session
from drd.cli.session import Session


@click.group(cls=Group)
def incident() -> None:
    """Read what runs of runbooks did and do."""


@incident.command("list")
@click.option("--policy", help="Only those of one policy.")
@pass_session
def list_(session: Session, policy: str | None) -> None:
    """List the newest incidents."""
    found = session.consult(lambda questions: questions.incidents(policy))
    if session.as_json:
        session.emit([each.model_dump(mode="json", exclude={"timeline", "steps", "stages"}) for each in found])
        return
    from drd.reports.incidents import incident_table

    if not found:
        session.show("No runbook has been run.")
        return
    session.show(incident_table(found, session.place.zone))
    session.next(f"drd incident show {found[0].run}")


@incident.command()
@click.argument("incident")
@pass_session
def show(session: Session, incident: str) -> None:
    """Show INCIDENT with its stages and times.

    INCIDENT is an id, or the name of its runbook. Times stand against the objective, and what happened in a timeline.
    """
    found = session.consult(lambda questions: questions.incident(incident))
    if session.as_json:
        session.emit(found.model_dump(mode="json"))
        return
    from drd.core.runbook_step import Choice
    from drd.reports.incidents import incident_page

    session.show(incident_page(found, session.place.zone))
    for question in found.questions:
        to_abort = f"drd runbook abort {found.run} --reason TEXT"
        if Choice.APPROVE in question.choices:
            session.next(f"drd runbook approve {found.run} --reason TEXT", to_abort)
        else:
            session.next(f"drd runbook resume {found.run} --reason TEXT", to_abort)


@incident.command()
@click.argument("incident")
@pass_session
def timeline(session: Session, incident: str) -> None:
    """Show what happened in INCIDENT, line by line."""
    found = session.consult(lambda questions: questions.incident(incident))
    if session.as_json:
        session.emit([each.model_dump(mode="json") for each in found.timeline])
        return
    from rich.console import Group as Lines

    from drd.reports.incidents import timeline as lines

    session.show(Lines(*lines(found, session.place.zone)))


SECTION = "Records and procedures"
COMMANDS = (incident,)
