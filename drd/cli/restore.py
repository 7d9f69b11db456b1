"""`drd points`, `drd restore` and `drd forget`: what there is to go back to, going back, and giving points up."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drd.cli.command import Command, pass_session
from drd.cli.confirming import confirm_by_name
from drd.cli.following import follow
from drd.cli.session import Session
from drd.core.errors import UsageError
from drd.ports.restoring import RestoreOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drd.ports.control import PointStatus

BESIDE = "beside"


@click.command(cls=Command)
@click.argument("policy")
@click.option("--why", is_flag=True, help="Also why retention keeps each of them; asks the stores.")
@pass_session
def points(session: Session, policy: str, why: bool) -> None:
    """List the recovery points of POLICY, newest first.

    A copy is proven when a restore has read it, and only claimed before.
    """
    if why:
        found = session.ask(lambda control: control.points(policy, why=True))
    else:
        found = session.consult(lambda questions: questions.points(policy))
    ranges = session.consult(lambda questions: questions.covered(policy)) if _may_have_wal(found) else ()
    if session.as_json:
        session.emit(
            {
                "points": [point.model_dump(mode="json") for point in found],
                "covered": [each.model_dump(mode="json") for each in ranges],
            }
        )
        return
    if not found:
        session.show(f"{policy} has no recovery point yet.")
        session.next(f"drd backup {policy}")
        return
    from drd.reports.moments import local
    from drd.reports.points import covered_table, points_table

    session.show(points_table(found, session.now(), session.place.zone, why))
    if ranges:
        session.show("")
        session.show(covered_table(ranges, session.place.zone))
    session.say(f"times are those of {session.place.zone.key}", style="dim")
    newest = max((each.last for each in ranges), default=found[0].moment)
    session.next(f'drd restore {policy} --at "{local(newest, session.place.zone)}" --to /an/empty/folder')


def _may_have_wal(points: Sequence[PointStatus]) -> bool:
    """Only of bases of a database is anything said in notes, and only with them WAL is kept."""
    return any(point.notes for point in points)


@click.command(cls=Command)
@click.argument("policy")
@click.option(
    "--at", default="latest", show_default=True, metavar="TIME", help="Go back to the newest good point not after TIME."
)
@click.option(
    "--to", "target", required=True, metavar="PLACE", help="An empty folder, or `beside`: next to the source."
)
@click.option(
    "--include", "--path", "include", multiple=True, metavar="PATH", help="Only this path or pattern; may be repeated."
)
@click.option(
    "--from", "store", metavar="STORE", help="Read from this store.  [default: the nearest that has the point]"
)
@click.option(
    "--tablespace", "tablespaces", multiple=True, metavar="OID=DIR", help="PostgreSQL: where a tablespace is to lie."
)
@click.option("--port", type=click.IntRange(1, 65535), help="PostgreSQL: where the copy is to listen.")
@click.option(
    "--as-original",
    is_flag=True,
    help="PostgreSQL: it takes the place of the server that is lost: it archives, listens and is named as that did.",
)
@click.option(
    "--without-wal", is_flag=True, help="PostgreSQL: a base backup alone, without the WAL that came after it."
)
@click.option(
    "--database", metavar="NAME", help="PostgreSQL: only this database, as a dump that pg_restore or psql loads."
)
@click.option(
    "--format",
    "dump_format",
    type=click.Choice(["directory", "custom", "plain"]),
    help="With --database: how the dump is written.  [default: directory]",
)
@click.option(
    "--into",
    metavar="file:PATH",
    help="With --database: load the dump into the empty database whose connection string stands there "
    "(or credential:NAME, env:NAME).",
)
@click.option(
    "--verify",
    "queries",
    multiple=True,
    metavar="SQL",
    help="PostgreSQL: a query whose first value has to be true in the copy, as "
    "`shop: SELECT count(*) > 0 FROM orders`; may be repeated.",
)
@click.option("--programs", metavar="FOLDER", help="PostgreSQL: where the programs of its major version are.")
@pass_session
def restore(
    session: Session,
    /,
    policy: str,
    at: str,
    target: str,
    include: tuple[str, ...],
    store: str | None,
    without_wal: bool,
    **options: Any,
) -> int:
    """Bring the data of POLICY back, to an empty place.

    TIME is written like "2026-03-02 14:30" in the configured time zone, or with its offset, as
    2026-03-02T14:30:17+08:00. Every file is read back and compared as it lands. Nothing is ever overwritten.
    A base backup of PostgreSQL becomes a data directory that a server starts from, set as a copy beside its original.
    Where its WAL is kept TIME is met exactly, and may be a position as 16/B374D848, or the name of a restore point as
    name:before-migration.
    """
    moment, exactly = _moment(at, session)
    # The daemon has another working directory.
    place = target if target == BESIDE else str(Path(target).absolute())
    order = RestoreOrder(
        policy=policy,
        target=place,
        by=session.user,
        at=moment,
        moment=exactly,
        include=include,
        store=store,
        is_without_wal=without_wal,
        options=_options(**options),
    )
    session.on_interrupt = "you left; with a daemon the restore goes on: drd status"
    code = session.ask(lambda control: follow(session, control.restore(order)))
    if code in (0, 3):
        session.next(f"look at {place}" if target != BESIDE else "look beside the source", f"drd points {policy}")
    else:
        session.next(f"drd points {policy}")
    return code


def _moment(at: str, session: Session) -> tuple[datetime | None, str]:
    """What was typed as a moment that a recovery point may be older than, and as one that WAL leads to exactly."""
    from drd.cli.moments import LATEST, parse_moment
    from drd.core.postgres.target import AtTime, parse_target

    if at.strip() == LATEST:
        return None, ""
    target = parse_target(at, session.place.zone)
    if not isinstance(target, AtTime):
        return None, target.typed
    return parse_moment(at, session.place.zone, session.now()), target.typed


def _options(
    *,
    tablespaces: tuple[str, ...],
    port: int | None,
    as_original: bool,
    database: str | None,
    dump_format: str | None,
    into: str | None,
    queries: tuple[str, ...],
    programs: str | None,
) -> dict[str, str]:
    """As the kinds of sources know them."""
    options: dict[str, str] = {}
    for words in tablespaces:
        oid, equals, folder = words.partition("=")
        if not equals or not folder:
            raise UsageError(f"--tablespace {words} names no folder", "write --tablespace 16385=/srv/fast")
        options[f"tablespace.{oid}"] = str(Path(folder).absolute())
    given = {
        "port": None if port is None else str(port),
        "as-original": "yes" if as_original else None,
        "database": database,
        "format": dump_format,
        "into": into,
        "programs": None if programs is None else str(Path(programs).absolute()),
    }
    options |= {name: value for name, value in given.items() if value is not None}
    return options | {f"verify.{number:03}": query for number, query in enumerate(queries)}


@click.command(cls=Command)
@click.argument("policy")
@click.option("--plan", is_flag=True, help="Only show what would be forgotten, and why.")
@click.option("--confirm", metavar="POLICY", help="The policy's name again, instead of typing it when asked.")
@pass_session
def forget(session: Session, policy: str, plan: bool, confirm: str | None) -> int:
    """Give up what the retention of POLICY does not keep.

    The newest good point stays whatever retention says, and so does what `require.copies` needs.
    """
    lines = session.ask(lambda control: control.forget_plan(policy))
    count = sum(line.action == "forget" for line in lines)
    if session.as_json and plan:
        session.emit([line.model_dump(mode="json") for line in lines])
        return 0
    if not session.as_json:
        from drd.reports.points import forget_plan

        session.show(forget_plan(lines, session.now(), session.place.zone))
    if plan:
        session.next(f"drd forget {policy}") if count else session.next(f"drd points {policy}")
        return 0
    # A person may lift what holds retention back by itself, and else is told that it is held.
    at_most = count + sum(line.action == "guarded" for line in lines)
    if not at_most:
        session.say("there is nothing to forget")
        if session.as_json:
            session.emit({"outcome": "skipped", "exit_code": 0, "result": {"forgotten": 0}})
        return 0
    from drd.reports.moments import counted

    amount = f"{'up to ' if at_most > count else ''}{counted(at_most, 'snapshot', 'snapshots')}"
    confirm_by_name(policy, confirm, f"{amount} of {policy} will be forgotten for good")
    code = session.ask(lambda control: follow(session, control.forget(policy, session.user)))
    session.next(f"drd points {policy}")
    return code


SECTION = "Going back"
COMMANDS = (points, restore, forget)
