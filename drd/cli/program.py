"""`drd`: the commands under one name, and how everything that goes wrong is told."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NoReturn

import click

from drd import __version__
from drd.cli import archiving, backup, configuration, daemon, incidents, journal, restore, runbooks, status, stores
from drd.cli.command import Group
from drd.cli.misuse import told
from drd.cli.session import Session, session_of_this_process
from drd.core.errors import DrdError

ROOMS = (status, backup, restore, daemon, configuration, stores, journal, runbooks, incidents, archiving)
INTERRUPTED = 130
"""What shells give a command that Ctrl-C ended."""


class Program(Group):
    """The group that turns every error into words and an exit code; a traceback is shown with --debug alone."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for."""
        for section, rooms in groupby(ROOMS, key=lambda room: room.SECTION):
            lines = [(str(each.name), each.get_short_help_str(72)) for room in rooms for each in room.COMMANDS]
            with formatter.section(section):
                formatter.write_dl(lines)

    def main(  # type: ignore[override] # click's own returns when it is not standalone; this never does
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command and leave with its exit code."""
        session: Session = extra.pop("obj", None) or session_of_this_process()
        extra["standalone_mode"] = False
        try:
            code = super().main(args, prog_name or "drd", obj=session, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            session.say(error.format_message())
            code = error.exit_code
        except click.ClickException as error:
            code = _tell(session, "UsageError", *told(error), error.exit_code)
        except click.Abort:
            session.say(session.on_interrupt)
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001 -- the end of the line: whatever it is, a person reads it
            code = _tell_any(session, error)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="drd", message="%(prog)s %(version)s")
def main() -> None:
    """Backs services up to local and off-site stores, and puts them back.

    Begin with `drd validate`, `drd run` and `drd status`. After a loss: `drd points POLICY`, then
    `drd restore POLICY --to PLACE`.

    Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but an objective was missed,
    4 waiting for a person, 5 refused by a guard, 75 busy.
    """


for room in ROOMS:
    for command in room.COMMANDS:
        main.add_command(command)


def _tell_any(session: Session, error: Exception) -> int:
    if session.debug:
        traceback.print_exception(error)
    known = _first_known(error)
    if known is not None:
        problems = [_problem(each) for each in getattr(known, "problems", ())]
        return _tell(session, type(known).__name__, known.message, known.hint, known.exit_code, problems)
    return _tell(
        session,
        type(error).__name__,
        f"drd made a mistake of its own ({type(error).__name__}: {error})",
        "" if session.debug else "type it again with --debug, and report what it shows",
        1,
    )


def _tell(
    session: Session, kind: str, message: str, hint: str, exit_code: int, problems: list[dict[str, Any]] | None = None
) -> int:
    """The error for people on standard error, with --json also for programs on standard output."""
    first, *details = message.splitlines() or [""]
    for detail in details:
        session.say(detail)
    session.say(f"error: {first}", style="red")
    for line in hint.splitlines():
        session.say(f"  {line}")
    if session.as_json:
        document: dict[str, Any] = {"kind": kind, "message": message, "hint": hint, "exit_code": exit_code}
        session.emit({"error": {**document, "problems": problems} if problems else document})
    return exit_code


def _first_known(error: BaseException) -> DrdError | None:
    """The error itself, or the first foreseen one in a group of tasks' errors."""
    if isinstance(error, DrdError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((known for each in error.exceptions if (known := _first_known(each)) is not None), None)
    return None


def _problem(problem: object) -> dict[str, Any]:
    return {key: getattr(problem, key) for key in ("file", "line", "column", "message") if hasattr(problem, key)}
