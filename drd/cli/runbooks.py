"""`drd runbook`: the recovery procedures, read, planned, started, answered and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from drd.cli.command import Group, pass_session
from drd.cli.misuse import meant
from drd.cli.session import Session
from drd.core.errors import UsageError
from drd.core.runbook_step import Choice

if TYPE_CHECKING:
    from datetime import datetime


@click.group(cls=Group)
def runbook() -> None:
    """Read, plan and run the recovery procedures."""


@runbook.command("list")
@pass_session
def list_(session: Session) -> None:
    """List all runbooks."""
    found = session.configuration().runbooks
    if session.as_json:
        session.emit([_document(each) for each in found.values()])
        return
    from drd.reports.runbooks import runbook_table

    if not found:
        session.show("There is no runbook.")
        return
    session.show(runbook_table(found.values()))
    session.next(f"drd runbook show {next(iter(found))}")


@runbook.command()
@click.argument("name")
@pass_session
def show(session: Session, name: str) -> None:
    """Show the runbook NAME with all its stages."""
    found = session.configuration().runbooks
    if name not in found:
        raise UsageError(f"there is no runbook {name}{meant(name, found)}", "type: drd runbook list")
    if session.as_json:
        session.emit(_document(found[name]))
        return
    from drd.reports.runbooks import runbook_page

    session.show(runbook_page(found[name]))
    session.next(f"drd runbook plan {name}")


def _told(command: Any) -> Any:
    """The options that say what variables stand for."""
    options = (
        click.option("--point", metavar="TIME", help="The moment that ${point} stands for."),
        click.option("--place", help="The folder that ${place} stands for."),
        click.option(
            "--set", "others", multiple=True, metavar="NAME=VALUE", help="What ${NAME}, or a role, stands for."
        ),
    )
    for option in options:
        command = option(command)
    return command


@runbook.command()
@click.argument("name")
@_told
@pass_session
def plan(session: Session, name: str, point: str | None, place: str | None, others: tuple[str, ...]) -> None:
    """Show what the runbook NAME would do now.

    Nothing is done. Every command and its target, how long each step took last, and what could not be looked at.
    """
    variables = _variables(session, point, place, others)
    answer = session.ask(lambda control: control.runbook_plan(name, variables), alone=False)
    if session.as_json:
        session.emit(answer.model_dump(mode="json"))
        return
    from drd.reports.incidents import plan_page

    session.show(plan_page(answer))
    session.next(f"drd runbook start {name} --reason TEXT")


@runbook.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; the journal keeps it.")
@click.option("--began", metavar="TIME", help="The outage's first symptom, from which deadlines and the RTO count.")
@click.option("--drill", "is_drill", is_flag=True, help="Rehearse it: nothing in production is touched.")
@click.option("--override", "overrides", is_flag=True, help="Start it although failovers are paused.")
@click.option(
    "--fenced",
    metavar="NODE",
    default="",
    help="Which node, that an earlier run has told to take over, is off or was started anew since: you have looked.",
)
@click.option("--confirm", metavar="NAME", help="The runbook's name once more, for scripts.")
@_told
@pass_session
def start(session: Session, /, name: str, **given: Any) -> int:
    """Run the runbook NAME.

    It is followed until it ends or waits for a person. The run belongs to the daemon: it goes on when you leave, and
    after a restart of the daemon.
    """
    from drd.cli.confirming import confirm_by_name
    from drd.cli.following import follow
    from drd.ports.incidents import RunbookOrder

    if not given["is_drill"]:
        confirm_by_name(name, given["confirm"], f"the runbook {name} acts on production")
    order = RunbookOrder(
        runbook=name,
        by=session.user,
        words=given["reason"],
        began=_moment(session, given["began"]),
        is_drill=given["is_drill"],
        overrides=given["overrides"],
        fenced=given["fenced"],
        variables=_variables(session, given["point"], given["place"], given["others"]),
    )
    session.on_interrupt = f"you left; the run goes on: drd incident show {name}"
    code = session.ask(lambda control: follow(session, control.runbook_start(order)), alone=False)
    session.next(f"drd incident show {name}")
    return code


@runbook.command()
@click.argument("incident")
@click.option("--reason", required=True, help="Your words; the journal keeps them.")
@click.option("--step", help="Which step, where several wait.")
@click.option("--refuse", is_flag=True, help="Say no: the step fails.")
@pass_session
def approve(session: Session, incident: str, reason: str, step: str | None, refuse: bool) -> None:
    """Approve where INCIDENT waits for a person.

    INCIDENT is an id, or the name of its runbook.
    """
    _answer(session, incident, step, Choice.REFUSE if refuse else Choice.APPROVE, reason)


@runbook.command()
@click.argument("incident")
@click.option("--reason", required=True, help="Your words; the journal keeps them.")
@click.option("--step", help="Which step, where several wait.")
@click.option("--done", is_flag=True, help="It has been done by hand. Left out, it is tried again.")
@pass_session
def resume(session: Session, incident: str, reason: str, step: str | None, done: bool) -> None:
    """Let INCIDENT go on at a step that asks.

    A step asks where it failed and says `on_failure: ask`, and where nobody knows whether it was done.
    """
    _answer(session, incident, step, Choice.DONE if done else Choice.AGAIN, reason)


@runbook.command()
@click.argument("incident")
@click.option("--reason", required=True, help="Why; the journal keeps it.")
@click.option("--undo", is_flag=True, help="Take back what was done, the last first.")
@pass_session
def abort(session: Session, incident: str, reason: str, undo: bool) -> None:
    """End INCIDENT before its end.

    What is under way is stopped, and nothing more begins.
    """
    session.ask(lambda control: control.runbook_abort(incident, session.user, reason, undo), alone=False)
    if session.as_json:
        session.emit({"incident": incident, "aborted": True, "undo": undo})
        return
    session.show(f"{incident} ends{' after what it did was taken back' if undo else ''}")
    session.next(f"drd incident show {incident}")


def _answer(session: Session, incident: str, step: str | None, choice: Choice, words: str) -> None:
    step = session.ask(lambda control: control.runbook_answer(incident, step, choice, session.user, words), alone=False)
    if session.as_json:
        session.emit({"incident": incident, "step": step, "choice": choice.value})
        return
    session.show(f"{choice.value}: {step}")
    session.next(f"drd incident show {incident}")


def _variables(session: Session, point: str | None, place: str | None, others: tuple[str, ...]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for each in others:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {each}: there is no value", "write it like --set primary=orders-1")
        variables[name] = value
    if point is not None:
        moment = _moment(session, point)
        variables["point"] = "latest" if moment is None else moment.isoformat()
    if place is not None:
        variables["place"] = place
    return variables


def _moment(session: Session, text: str | None) -> datetime | None:
    if text is None:
        return None
    from drd.cli.moments import parse_moment

    return parse_moment(text, session.place.zone, session.now())


def _document(found: Any) -> dict[str, Any]:
    document: dict[str, Any] = found.model_dump(mode="json", exclude={"stages", "document"})
    document["stages"] = [
        {
            **stage.model_dump(mode="json", exclude={"steps"}),
            "steps": [
                {
                    **step.model_dump(mode="json", exclude={"action", "undo", "done_when"}),
                    **{
                        key: None if spec is None else {spec.kind: spec.model_dump(mode="json")}
                        for key, spec in (("action", step.action), ("undo", step.undo), ("done_when", step.done_when))
                    },
                }
                for step in stage.steps
            ],
        }
        for stage in found.stages
    ]
    return document


SECTION = "Records and procedures"
COMMANDS = (runbook,)
