"""`drd validate`, `drd schema` and `drd reload`."""

from __future__ import annotations

import click

from drd.cli.command import Command, pass_session
from drd.cli.session import Session


@click.command(cls=Command)
@click.option("--reach", is_flag=True, help="Also look whether sources, stores and secrets can be reached from here.")
@pass_session
def validate(session: Session, reach: bool) -> int:
    """Check the configuration, and say everything that is wrong at once.

    Each mistake is told as file:line:column with what to write instead. Nothing is changed.
    """
    import asyncio

    configuration = session.configuration()
    findings = asyncio.run(session.application().validate(session.config, session.environment)) if reach else []
    for warning in configuration.warnings:
        session.say(f"warning: {warning}", style="yellow")
    for message, hint in findings:
        session.say(f"error: {message}", style="red")
        if hint:
            session.say(f"  {hint}")
    if session.as_json:
        session.emit(
            {
                "valid": not findings,
                "policies": sorted(configuration.policies),
                "stores": sorted(configuration.stores),
                "runbooks": sorted(configuration.runbooks),
                "warnings": list(configuration.warnings),
                "findings": [{"message": message, "hint": hint} for message, hint in findings],
            }
        )
        return 1 if findings else 0
    from drd.reports.moments import counted

    counts = ", ".join(
        (
            counted(len(configuration.policies), "policy", "policies"),
            counted(len(configuration.stores), "store", "stores"),
            counted(len(configuration.runbooks), "runbook", "runbooks"),
        )
    )
    if findings:
        things = counted(len(findings), "thing", "things")
        session.say(f"the files are valid ({counts}), but {things} cannot be used from here")
        return 1
    session.show(f"valid: {counts}")
    session.next("drd reload", "drd run") if reach else session.next("drd validate --reach")
    return 0


@click.command(cls=Command)
@click.argument("what", type=click.Choice(["settings", "policy", "runbook"]))
@pass_session
def schema(session: Session, what: str) -> None:
    """Print the JSON Schema of a kind of file, for editors."""
    session.emit(session.application().json_schema(what))


@click.command(cls=Command)
@pass_session
def reload(session: Session) -> None:
    """Have the daemon read its configuration again.

    When a file is wrong, nothing changes. Runs under way keep the configuration that they began with.
    """
    changes = session.ask(lambda control: control.reload(), alone=False)
    if session.as_json:
        session.emit({"changes": list(changes)})
        return
    for change in changes:
        session.show(change)
    if not changes:
        session.show("nothing changed")
    session.next("drd status")


SECTION = "Its configuration"
COMMANDS = (validate, schema, reload)
