"""`drd check`, `drd release` and `drd accept`: a store that needs a look."""

from __future__ import annotations

import click

from drd.cli.command import Command, pass_session
from drd.cli.confirming import confirm_by_name
from drd.cli.following import follow
from drd.cli.session import Session


@click.command(cls=Command)
@click.argument("store")
@pass_session
def check(session: Session, store: str) -> int:
    """Check the structure of STORE's repository now."""
    code = session.ask(lambda control: follow(session, control.check(store, session.user)))
    session.next("drd status")
    return code


@click.command(cls=Command)
@click.argument("name")
@click.option("--policy", "is_policy", is_flag=True, help="NAME is a policy whose runs are suspected, and no store.")
@click.option("--confirm", metavar="NAME", help="The name again, instead of typing it when asked.")
@pass_session
def release(session: Session, name: str, is_policy: bool, confirm: str | None) -> None:
    """End the hold on store NAME, or a suspicion of policy NAME."""
    if is_policy:
        _release_policy(session, name, confirm)
    else:
        _release_store(session, name, confirm)


def _release_policy(session: Session, policy: str, confirm: str | None) -> None:
    confirm_by_name(policy, confirm, f"retention will remove points of {policy} again, also those from before")
    reason = session.ask(lambda control: control.release_policy(policy, session.user))
    if session.as_json:
        session.emit({"policy": policy, "suspected": False, "reason": reason})
        return
    session.show(f"policy {policy} is not suspected any more; it was, because {reason}")
    session.next("drd status")


def _release_store(session: Session, store: str, confirm: str | None) -> None:
    confirm_by_name(store, confirm, f"retention will remove from store {store} again")
    reason = session.ask(lambda control: control.release(store, session.user))
    if session.as_json:
        session.emit({"store": store, "held": False, "reason": reason})
        return
    session.show(f"store {store} is not held any more; it was, because {reason}")
    session.next("drd status")


@click.command(cls=Command)
@click.argument("store")
@click.option("--confirm", metavar="STORE", help="The store's name again, instead of typing it when asked.")
@pass_session
def accept(session: Session, store: str, confirm: str | None) -> None:
    """Take STORE as it is now, after its old repository was lost."""
    confirm_by_name(store, confirm, f"what store {store} held before counts as lost from here on")
    repository = session.ask(lambda control: control.accept(store, session.user))
    if session.as_json:
        session.emit({"store": store, "repository_id": repository})
        return
    session.show(f"store {store} is repository {repository[:8]} from here on")
    session.next("drd status")


SECTION = "A store that needs a look"
COMMANDS = (check, release, accept)
