"""What the steps of a failover do to the made-up cluster, as `drd/actions` has it, and what keeps them from it.

Where an action asks the core whether it may, the same is asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from drd.core.fencing import FenceState, Rung, cuts_needed, proxy, revocation
from drd.core.health import ClusterView
from drd.core.node_verdicts import NodeVerdict
from drd.core.postgres.synchronous import for_new_primary, quorum_of, setting_of, with_member
from drd.core.probing import Failure, Quorum
from drd.core.runbook import ORDERED_TO_LEAD, SYNCHRONOUS, SYNCHRONOUS_NOW
from drd.core.runbook_step import Answer
from drd.core.succession import Answering, lacking, promoted_meanwhile, unconfirmed, unfit
from drd.core.witnesses import NotLost, confirmed_lost, is_well_primary
from tests.core.failover_model import PROXY, Cluster, Server

A_PERSON = "a person"
Facts = dict[str, str]


class NotDone(Exception):
    """What a step tried has no effect, or not the whole of it, or nobody can tell."""


class Far(IntEnum):
    """How far a step has come when it ends, or when drd is killed in its middle."""

    NOWHERE = 0
    ON_RECORD = 1
    """What it is about to order is on record."""
    ORDERED = 2
    """What it does is done; a standby that was told to take over may take its time."""
    DONE = 3


@dataclass
class At:
    """What a step works with."""

    cluster: Cluster
    view: ClusterView
    verdicts: Mapping[str, NodeVerdict]
    variables: Mapping[str, str]
    ordering: Callable[[Facts], None]
    """Puts on record what is about to be ordered."""
    telling: Callable[[Server], None]
    """Tells a standby to take over."""
    taking_over: Callable[[Server], None]
    """Has it do so."""
    is_by_person: bool = False

    def server(self, role: str) -> Server:
        """The node that a variable names. Raises NotDone where none does."""
        if not self.variables.get(role):
            raise NotDone(f"nobody is the {role}")
        return self.cluster.servers[self.variables[role]]

    @property
    def old(self) -> Server:
        """The primary that is replaced."""
        return self.server("primary")

    @property
    def others(self) -> list[Server]:
        """All but that."""
        return self.cluster.others(self.old.name)

    @property
    def ordered(self) -> str:
        """Whom the run has told to take over; empty for nobody."""
        return self.variables.get(ORDERED_TO_LEAD, "")


# --- confirm ----------------------------------------------------------------------------------------------------------


def confirm(at: At) -> Facts:
    """Ask the witnesses. Where they cannot tell yet it goes on, which is worse than to wait until they can."""
    try:
        confirmed_lost(at.view, at.verdicts, at.old.name, by_probes=True, by_standbys=True)
    except NotLost as error:
        if at.is_by_person and not is_well_primary(at.view, at.verdicts, at.old.name):
            return {}
        if not error.is_open:
            raise NotDone(str(error)) from error
    return {}


# --- fence ------------------------------------------------------------------------------------------------------------


def fence(at: At) -> Facts:
    """Try the rungs in order."""
    if _fenced_by(at) and "new_primary" not in at.variables and at.old.leads:
        raise NotDone(f"{at.old.name} was fenced, and leads again since")
    for rung in at.cluster.rungs:
        with suppress(NotDone):
            return {"fenced": at.old.name, "fenced_by": rung.value, **_fence(at, rung)}
    raise NotDone(f"{at.old.name} is not fenced")


def is_fenced(at: At) -> Answer:
    """Whether it holds. Raises NotDone where a node that would tell does not answer."""
    match _fenced_by(at):
        case Rung.POWER:
            return Answer.UNKNOWN
        case Rung.REVOKE:
            return Answer.DONE if _is_cut(at) else Answer.NOT_DONE
        case Rung.PROXY:
            return Answer.DONE if at.old.is_shut else Answer.NOT_DONE
    if Rung.SSH not in at.cluster.rungs or not _has_shell(at.old):
        return Answer.UNKNOWN
    return Answer.DONE if at.old.is_masked and not at.old.runs else Answer.NOT_DONE


def found_fenced(at: At) -> Facts:
    """What is told of a fence that is found to hold."""
    return {"fenced": at.old.name, "fenced_by": _fenced_by(at) or Rung.SSH.value}


def take_fence_back(at: At) -> None:
    """Let the standbys receive again, or clients in."""
    match at.variables.get("fenced_by"):
        case Rung.REVOKE:
            _demand_nobody_told(at)
            _give_back(at.others)
        case Rung.PROXY:
            at.old.is_shut = False
        case _:
            raise NotDone("it is not taken back")


def _fenced_by(at: At) -> str:
    by = at.variables.get("fenced_by", "")
    return by if at.variables.get("fenced") == at.old.name and by in at.cluster.rungs else ""


def _fence(at: At, rung: Rung) -> Facts:
    match rung:
        case Rung.SSH:
            if not _has_shell(at.old):
                raise NotDone("there is no shell")
            at.old.is_masked = True
            at.old.stop()
        case Rung.POWER:
            # It comes up again as one that takes no writes.
            at.old.has_power, at.old.is_masked = False, True
            at.old.stop()
        case Rung.REVOKE:
            return _revoke(at)
        case Rung.PROXY:
            if proxy(at.view, at.cluster.clients, frozenset({PROXY})).state is FenceState.IMPOSSIBLE:
                raise NotDone("clients come by other ways as well")
            at.old.is_shut = True
    return {}


def _has_shell(server: Server) -> bool:
    return server.is_reached and server.has_power


def _revoke(at: At) -> Facts:
    _demand_nobody_told(at)
    seen = at.view.node(at.old.name).seen
    if at.view.primary != at.old.name or seen is None or seen.quorum is None:
        raise NotDone("it was not the primary")
    timelines = {node.name: node.seen.position.timeline for node in at.view.nodes if node.seen is not None}
    newest = max(timelines.values())
    try:
        return {"revoked": ",".join(sorted(_cut(at, seen.quorum)))}
    except NotDone:
        _give_back(each for each in at.others if timelines.get(each.name, newest) == newest)
        raise


def _cut(at: At, quorum: Quorum) -> set[str]:
    """Cut so many standbys off that no commit is confirmed; which."""
    if revocation(at.view).state is FenceState.IMPOSSIBLE:
        raise NotDone("it would count for nothing")
    _demand_silence(at)
    names = {node.name: node.seen.replicates_as for node in at.view.nodes if node.seen is not None}
    gone = [each for each in at.others if names.get(each.name) in quorum.named and each.answers]
    for each in gone:
        each.receives = False
    if len(gone) < cuts_needed(quorum):
        raise NotDone("too few standbys are cut off")
    _demand_silence(at)
    return {each.name for each in gone}


def _demand_silence(at: At) -> None:
    streak = at.view.node(at.old.name).database
    is_silent = streak is not None and streak.last is not None and streak.last.failure is Failure.TIMEOUT
    if not is_silent and at.old.leads:
        raise NotDone(f"{at.old.name} answers")


def _is_cut(at: At) -> bool:
    cut = [at.cluster.servers[name] for name in at.variables.get("revoked", "").split(",") if name]
    if not all(each.answers for each in cut):
        raise NotDone("not all of them answer")
    return bool(cut) and not any(each.receives for each in cut)


def _give_back(servers: Iterable[Server]) -> None:
    for each in servers:
        each.receives = each.receives or each.answers


def _demand_nobody_told(at: At) -> None:
    """Nothing is cut off anew or given back once somebody may lead at any moment."""
    if at.ordered:
        raise NotDone(f"{at.ordered} has been told to take over")


# --- postgres_promote -------------------------------------------------------------------------------------------------


def promote(at: At, far: Far) -> Facts:
    """Choose a standby, put it on record, tell it, and wait until it leads, as far as that goes."""
    _demand_old_gone(at)
    best = _best(at)
    new = for_new_primary(_rule(at, best.rule), ())
    best.rule = new.quorum
    if at.variables.get("fenced_by") == Rung.REVOKE and not _is_cut(at):
        _demand_nobody_told(at)
        _give_back(at.others)
        raise NotDone("the old primary is fenced no longer")
    if far >= Far.ON_RECORD:
        at.ordering({ORDERED_TO_LEAD: best.name})
    if far >= Far.ORDERED:
        at.telling(best)
    if far < Far.DONE:
        raise NotDone(f"{best.name} is not the primary in time")
    at.taking_over(best)
    rule = _rule(at, None)
    return {**found_promoted(at), **({SYNCHRONOUS: setting_of(rule)} if rule is not None else {})}


def is_promoted(at: At) -> Answer:
    """Whether somebody leads. Raises NotDone where none does and who may does not answer, or nobody does."""
    if any(each.leads for each in at.others):
        return Answer.DONE
    silent = [each.name for each in at.others if not each.answers]
    if at.ordered in silent or len(silent) == len(at.others):
        raise NotDone("nobody can tell")
    return Answer.NOT_DONE


def found_promoted(at: At) -> Facts:
    """Who leads now."""
    promoted = next((each.name for each in at.others if each.leads), None)
    return {} if promoted is None else {"new_primary": promoted, "old_primary": at.old.name}


def _demand_old_gone(at: At) -> None:
    if not at.old.leads:
        return
    if at.variables.get("fenced_by") == Rung.REVOKE:
        _demand_nobody_told(at)
        _give_back(at.others)
    raise NotDone(f"{at.old.name} answers as a primary")


def _best(at: At) -> Server:
    """Who is told to take over: whoever has been told before, else who has the most."""
    wanted = [each for each in at.others if at.ordered in ("", each.name)]
    is_chosen = bool(at.variables.get("best_standby"))
    why_not = unfit(at.view) if is_chosen and not at.ordered else {}
    if leading := [each.name for each in at.others if each.leads]:
        raise NotDone(f"{leading} leads already")
    standbys = [each for each in wanted if each.answers and each.name not in why_not]
    silent = {each.name for each in at.others if not each.answers}
    if name := promoted_meanwhile(at.view, at.old.name, silent):
        raise NotDone(f"{name} led when it was seen last")
    if not standbys:
        raise NotDone("no standby can be promoted")
    best = max(standbys, key=lambda each: (each.timeline, each.offset))
    if is_chosen and not at.ordered:
        chosen, alike = at.variables["best_standby"], [_answering(each) for each in at.others if each.answers]
        why = "" if chosen == best.name else lacking(at.view, chosen, _answering(best), {each.node for each in alike})
        if why := why or unconfirmed(_rule(at, None), _answering(best), alike):
            raise NotDone(why)
    return best


def _answering(server: Server) -> Answering:
    return Answering(server.name, server.name, (server.timeline, server.offset))


def _rule(at: At, inherited: Quorum | None) -> Quorum | None:
    """What commits waited for on the old primary."""
    primary = next((node for node in at.view.nodes if node.name == at.view.primary), None)
    if primary is not None and primary.seen is not None and primary.seen.is_primary:
        return primary.seen.quorum
    return quorum_of(at.variables.get(SYNCHRONOUS, "") or setting_of(inherited))


# --- haproxy, postgres_rejoin -----------------------------------------------------------------------------------------


def redirect(at: At) -> Facts:
    """Let clients in to the new primary."""
    at.server("new_primary").is_shut = False
    return {}


def rejoin(at: At) -> Facts:
    """Make a node follow the one that leads, whose commits wait for it from then on where they did before."""
    server = at.server("old_primary")
    leader = _leader(at, server)
    if not is_following(server, leader):
        if not _has_shell(server) or not server.is_linked or not leader.is_linked:
            raise NotDone(f"{server.name} is not reached")
        if server.timeline > leader.timeline:
            raise NotDone(f"{server.name} may be the newer one")
        if server.is_alive and server.is_primary:
            raise NotDone(f"{server.name} takes writes")
        server.follow(leader)
    rule = quorum_of(at.variables.get(SYNCHRONOUS, ""))
    if rule is None:
        return {"rejoined": server.name}
    leader.rule = with_member(leader.rule, rule, server.name)
    return {"rejoined": server.name, SYNCHRONOUS_NOW: setting_of(leader.rule)}


def is_rejoined(at: At) -> Answer:
    """Whether it follows, and commits wait for it. Raises NotDone where nobody can tell."""
    server = at.server("old_primary")
    leader, rule = _leader(at, server), quorum_of(at.variables.get(SYNCHRONOUS, ""))
    is_awaited = rule is None or (leader.rule is not None and server.name in leader.rule.named)
    return Answer.DONE if is_following(server, leader) and is_awaited else Answer.NOT_DONE


def is_following(server: Server, leader: Server) -> bool:
    """Whether it is seen to receive what another one writes."""
    is_joined = server.receives and server.is_linked and leader.is_linked and server.timeline == leader.timeline
    return server.answers and not server.is_primary and is_joined


def _leader(at: At, but: Server) -> Server:
    leading = [each for each in at.cluster.others(but.name) if each.leads]
    if len(leading) != 1:
        raise NotDone("no other node leads, or several do")
    return leading[0]
