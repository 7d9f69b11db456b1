"""`drd runbook list` and `drd runbook show`."""

from __future__ import annotations

from typing import Any

import click

from drd.cli.command import Group, pass_session
from drd.cli.misuse import meant
from drd.cli.session import Session
from drd.core.errors import UsageError


@click.group(cls=Group)
def runbook() -> None:
    """Read the recovery procedures. They are checked here; running them comes with a later version."""


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


def _document(found: Any) -> dict[str, Any]:
    document: dict[str, Any] = found.model_dump(mode="json", exclude={"stages"})
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
