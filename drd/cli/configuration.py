"""`drd validate`, `drd grants`, `drd schema` and `drd reload`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from drd.cli.command import Command, pass_session
from drd.cli.session import Session

if TYPE_CHECKING:
    from drd.core.findings import Finding


@click.command(cls=Command)
@click.option("--reach", is_flag=True, help="Also look whether sources, stores and secrets can be reached from here.")
@pass_session
def validate(session: Session, reach: bool) -> int:
    """Check the configuration, and say everything that is wrong at once.

    Each mistake is told as file:line:column with what to write instead. Nothing is changed. With --reach each right of
    a database's role is tried out as well, and what is risky about its servers is told.
    """
    import asyncio

    configuration = session.configuration()
    findings = asyncio.run(session.application().validate(session.config, session.environment)) if reach else ()
    broken = [finding for finding in findings if finding.severity == "broken"]
    for warning in configuration.warnings:
        session.say(f"warning: {warning}", style="yellow")
    for note in configuration.notes:
        session.say(f"note: {note}", style="dim")
    for finding in findings:
        _tell(session, finding)
    if session.as_json:
        session.emit(
            {
                "valid": not broken,
                "policies": sorted(configuration.policies),
                "stores": sorted(configuration.stores),
                "runbooks": sorted(configuration.runbooks),
                "warnings": list(configuration.warnings),
                "notes": list(configuration.notes),
                "findings": [_document(finding) for finding in findings],
            }
        )
        return 1 if broken else 0
    from drd.reports.moments import counted

    counts = ", ".join(
        (
            counted(len(configuration.policies), "policy", "policies"),
            counted(len(configuration.stores), "store", "stores"),
            counted(len(configuration.runbooks), "runbook", "runbooks"),
        )
    )
    if broken:
        things = counted(len(broken), "thing", "things")
        session.say(f"the files are valid ({counts}), but {things} cannot be used from here")
        return 1
    session.show(f"valid: {counts}")
    session.next("drd reload", "drd run") if reach else session.next("drd validate --reach")
    return 0


def _tell(session: Session, finding: Finding) -> None:
    word = "error" if finding.severity == "broken" else finding.severity.value
    style = {"error": "red", "warning": "yellow"}.get(word, "dim")
    session.say(f"{word}: {finding}", style=style)
    for line in finding.hint.splitlines():
        session.say(f"  {line}")


def _document(finding: Finding) -> dict[str, Any]:
    place = {"file": finding.file, "line": finding.line, "column": finding.column} if finding.file else {}
    message = f"{finding.what}: {finding.message}"
    return {"gravity": finding.severity.value, "message": message, "hint": finding.hint, **place}


@click.command(cls=Command)
@click.argument("policy")
@click.option("--address", metavar="ADDRESS", help="Where drd connects from, for pg_hba.conf: an address or a network.")
@pass_session
def grants(session: Session, policy: str, address: str | None) -> None:
    """Print the SQL and pg_hba.conf lines that POLICY needs, nothing more.

    Where its runbooks work on nodes, the lines for sudoers and authorized_keys there as well.
    Role and database are those of its connection strings. `drd validate --reach` tries each right out.
    """
    import asyncio

    needed, nodes = asyncio.run(session.application().grants(session.configuration(), policy, address))
    if session.as_json:
        session.emit(
            [
                {
                    "database": each.database,
                    "sql": list(each.sql),
                    "pg_hba": list(each.hba),
                    "archiving": list(each.archiving),
                }
                for each in needed
            ]
            + [
                {
                    "node": each.node,
                    "sudoers": list(each.sudoers),
                    "authorized_keys": each.ssh,
                    "not_granted": list(each.not_granted),
                }
                for each in nodes
            ]
        )
        return
    session.write("\n\n".join(map(str, (*needed, *nodes))))


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
COMMANDS = (validate, grants, schema, reload)
