"""`drd run`, and `drd demo run`, `orders` and `disaster`."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drd.cli.command import Command, Group, pass_session
from drd.cli.session import Session

if TYPE_CHECKING:
    from drd.demo.disaster import Survived
    from drd.ports.configuration import Configuration


def _daemon(session: Session) -> Coroutine[Any, Any, int]:
    return session.application().run(session.config, session.environment, session.say, is_watched=session.is_watched)


@click.command(cls=Command)
@pass_session
def run(session: Session) -> int:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C.

    SIGHUP makes it read its configuration again. systemd/drd.service starts it on a server.
    """
    import asyncio

    return asyncio.run(_daemon(session))


@click.group(cls=Group)
def demo() -> None:
    """Try drd out, with nothing to configure."""


@demo.command("run", short_help="Start all of it, until Ctrl-C.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True, help="Keeps all its data."
)
@click.option(
    "--policies",
    type=click.Path(path_type=Path),
    default=Path("policies"),
    show_default=True,
    help="The folder of policies.",
)
@click.option(
    "--runbooks",
    type=click.Path(path_type=Path),
    default=Path("runbooks"),
    show_default=True,
    help="The folder of runbooks.",
)
@pass_session
def demo_run(session: Session, folder: Path, policies: Path, runbooks: Path) -> int:
    """Start a small platform, an off-site server and the daemon, until Ctrl-C."""
    import asyncio

    from drd.demo import run_demo

    demonstration = run_demo(
        folder, policies, runbooks, session.environment, session.say, is_watched=session.is_watched
    )
    return asyncio.run(demonstration)


@demo.command("orders", short_help="Show what its shop has sold.")
@click.argument("copy", required=False, type=click.Path(path_type=Path))
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True, help="Where all its data is."
)
@pass_session
def demo_orders(session: Session, copy: Path | None, folder: Path) -> int:
    """Show the newest orders of the demonstration's shop, or those of COPY, a database that was restored.

    A copy is started for that long. The shop's customers have noted which orders were acknowledged to them: what is
    missing of those is told, and makes the exit code 1.
    """
    import asyncio

    from drd.demo import sold
    from drd.reports.moments import local
    from drd.reports.tables import table

    found = asyncio.run(sold(folder.resolve(), None if copy is None else copy.resolve()))
    if session.as_json:
        session.emit(found.document())
        return 1 if found.missing else 0
    rows = [[str(order.id), local(order.placed_at, session.place.zone), str(order.amount)] for order in found.newest]
    session.show(table(["order", "placed", "amount"], rows, ("order", "amount")))
    session.show(found.told())
    return 1 if found.missing else 0


@demo.command("disaster", short_help="Kill the shop's primary server, and show the recovery.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True, help="Where all its data is."
)
@pass_session
def demo_disaster(session: Session, folder: Path) -> int:
    """Kill the primary of the demonstration's shop, and show what becomes of it.

    That is, until customers order again, and then until the server that was killed is a standby of the other one.
    """
    import asyncio

    from drd.core.errors import UsageError
    from drd.demo import strike

    settings, application = folder.resolve() / "drd.yaml", session.application()
    if not settings.exists():
        raise UsageError(f"there is no demonstration in {folder}", "type: make run, or name it with --folder")

    def read() -> Configuration:
        return application.read_configuration(settings, session.environment)

    async def struck() -> Survived:
        async with application.control(application.find(settings, session.environment), read, alone=False) as control:
            return await strike(settings.parent, control, session.say)

    survived = asyncio.run(struck())
    if session.as_json:
        session.emit(survived.document())
    else:
        session.show(survived.told())
        session.next(f"drd incident show {survived.incident.runbook}")
    return 0 if survived.is_whole else 1


SECTION = "The daemon"
COMMANDS = (run, demo)
