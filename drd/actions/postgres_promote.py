"""Making a standby the primary."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from datetime import timedelta
from typing import ClassVar, Final

from drd.clients.postgres.of_machines import dsn_of
from drd.clients.postgres.orders import demand_right, set_parameter
from drd.clients.postgres.promotion import Found, demand_right_to_promote, look, promote, risks
from drd.clients.postgres.revoking import cut_off, give_all_back, give_back
from drd.core.errors import DrdError, PermanentError
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.synchronous import for_new_primary, quorum_of, says, setting_of
from drd.core.probing import Quorum
from drd.core.runbook import ORDERED_TO_LEAD, SYNCHRONOUS, NodeName
from drd.core.runbook_step import Answer
from drd.core.succession import Answering, cluster_of, lacking, promoted_meanwhile, unconfirmed, unfit
from drd.ports.action import Action, Facts, Preview, Reference, Situation, node_references
from drd.ports.machines import Machine

PATIENCE: Final = timedelta(minutes=1)
"""How long a promotion may take whose step has no `timeout:`."""
LAST_WORD: Final = timedelta(seconds=2)
"""So long before the step's own end a promotion is given up, to tell what holds it up."""
GOING_SECONDS: Final = 5.0
"""How long a node that was fenced may go on answering, as one does whose power was only just cut."""
ANSWER_SECONDS: Final = 1.0
"""For how long an answer of the fenced node is waited for, where no policy's probes are to wait for a shorter time."""
AGAIN_SECONDS: Final = 0.05
BEST: Final = "best_standby"
REVOKE: Final = "revoke"
AWAITED: Final = "synchronous_standby_names"


class PostgresPromote(Action):
    """Make a PostgreSQL standby the primary; a fence of the old one has to stand before it."""

    kind: ClassVar[str] = "postgres_promote"
    looks_first: ClassVar[bool] = True
    is_final: ClassVar[bool] = True
    relies_on: ClassVar[Mapping[str, timedelta]] = {"fence": timedelta(minutes=1)}

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""

    async def preview(self, at: Situation) -> Preview:
        """Which standby it would be now, and what would make it slow."""
        try:
            machine, awaited, there = await self._candidate(at)
            found = await risks(await dsn_of(at.world.secrets, machine))
        except DrdError as error:
            return Preview((self.summary(),), (error.message,))
        new = for_new_primary(_rule(at, awaited), there)
        setting = f"ALTER SYSTEM SET {AWAITED} = '{setting_of(new.quorum)}'"
        orders = [] if says(awaited, new.quorum) else [setting]
        lines = [f"on {machine.name}: {order}" for order in (*orders, "SELECT pg_promote(false)")]
        return Preview(tuple(lines), (*found, *filter(None, (new.note,))))

    async def is_done(self, at: Situation) -> Answer:
        """Whether it, or with `best_standby` any node but the fenced one, is a primary."""
        if self.node == BEST and not {"fenced", "primary"} & at.variables.keys():
            return Answer.UNKNOWN  # the old primary must not pass for the new one
        return Answer.DONE if await self._promoted(at) is not None else Answer.NOT_DONE

    async def found(self, at: Situation) -> Facts:
        """Who is the primary now."""
        promoted = await self._promoted(at)
        return {} if promoted is None else {"new_primary": promoted.name, **_old(at)}

    async def apply(self, at: Situation) -> Facts:
        """Promote it. Refuses when no fence is confirmed in this run, or when another node is a primary."""
        if "fence" not in at.done:
            raise PermanentError(
                "no fence of the old primary is confirmed in this run", "a step with `fence:` has to succeed before"
            )
        _demand_right_fence(at)
        end = at.world.clock.monotonic() + (at.timeout or PATIENCE).total_seconds()
        # Both come to their ends, also where one fails: what gives standbys back must not go on beside a later try.
        chosen, gone = await asyncio.gather(self._candidate(at), _old_is_gone(at), return_exceptions=True)
        if isinstance(gone, BaseException):
            raise gone
        if isinstance(chosen, BaseException):
            raise chosen
        machine, awaited, there = chosen
        dsn, sleep = await dsn_of(at.world.secrets, machine), at.world.clock.sleep
        rule = _rule(at, awaited)
        new = for_new_primary(rule, there)
        if not says(awaited, new.quorum):
            await set_parameter(dsn, AWAITED, setting_of(new.quorum), sleep)
        async with at.services.deciding_on_standbys(at.policy):
            if at.variables.get("fenced_by") == REVOKE:
                await _demand_cut(at)
            await at.ordering({ORDERED_TO_LEAD: machine.name})
        left = timedelta(seconds=end - at.world.clock.monotonic()) - LAST_WORD
        await promote(dsn, sleep, max(left, LAST_WORD))
        with suppress(DrdError):
            await give_back(dsn, sleep)  # it follows nobody now, and shall ask for its own slot when it does again
        facts = {"new_primary": machine.name, **_old(at)}
        if rule is not None:
            # What was asked of the old primary: whoever comes back later is waited for again.
            facts |= {SYNCHRONOUS: setting_of(rule)} | ({"note": new.note} if new.note else {})
        return facts

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look who it would be."""
        machine, awaited, there = await self._candidate(at)
        if not says(awaited, for_new_primary(_rule(at, awaited), there).quorum):
            await demand_right(await dsn_of(at.world.secrets, machine), AWAITED)
        await demand_right_to_promote(await dsn_of(at.world.secrets, machine))
        return {}

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which node."""
        return f"promote {self.node}"

    async def _promoted(self, at: Situation) -> Machine | None:
        """The primary that there is, of those that it could be.

        Raises `DrdError` where none is seen, and the one that was told to take over does not answer, or nobody does.
        """
        machines = _others(at) if self.node == BEST else (at.machine(self.node),)
        looks = await asyncio.gather(*(_looked(at, machine) for machine in machines))
        for machine, each in zip(machines, looks, strict=True):
            if isinstance(each, Found) and not each.is_in_recovery:
                return machine
        errors = [(machine, each) for machine, each in zip(machines, looks, strict=True) if isinstance(each, DrdError)]
        silent = next((each for machine, each in errors if machine.name == at.variables.get(ORDERED_TO_LEAD)), None)
        if silent is not None or len(errors) == len(machines):
            raise silent or next((each for _, each in errors), PermanentError("there is no node", ""))
        return None

    async def _candidate(self, at: Situation) -> tuple[Machine, str, tuple[str, ...]]:
        """The standby that has the most, what its commits would wait for, and which other members receive from it.

        One that follows the old primary still confirms nothing of the new one, however well it is.

        That is: of the newest timeline what has received the most, then of the highest priority. A node that is a
        primary and not the fenced one keeps everybody from being promoted, whoever was named. Once a try of this run
        has told one to take over it is that one or nobody: it may do so at any moment.
        """
        others = {machine.name: machine for machine in _others(at)}
        wanted = others if self.node == BEST else {(named := _member_node(at, self.node)).name: named}
        if (ordered := at.variables.get(ORDERED_TO_LEAD)) is not None:
            wanted = {ordered: at.machine(ordered)}
        unfit_for = _unfit(at) if ordered is None else {}
        machines = {**others, **wanted}
        answers = await asyncio.gather(*(_looked(at, each) for each in machines.values()))
        looks = dict(zip(machines, answers, strict=True))
        found = {name: each for name, each in looks.items() if isinstance(each, Found)}
        if leads := next((name for name, each in found.items() if not each.is_in_recovery), ""):
            raise PermanentError(f"{leads} is a primary already", "look at the nodes: nothing was promoted")
        cluster = _cluster(at, found)
        standbys: list[tuple[int, Lsn, int, Machine, Found]] = []
        refused: list[str] = []
        for name, machine in wanted.items():
            each = looks[name]
            if why := unfit_for.get(name) or _why_not(each, cluster):
                refused.append(f"{name}: {why}")
            elif isinstance(each, Found):
                standbys.append((each.timeline, each.position, machine.priority, machine, each))
        _demand_no_lost_primary(at, others.keys() - found.keys())
        if ordered is not None and not standbys:
            raise PermanentError(
                f"{ordered} does not answer any more, and this run has told it to take over: {'; '.join(refused)}",
                f"nothing else was promoted: start {ordered} again, or have it fenced first: "
                f"drd runbook start {at.runbook} --set primary={ordered}",
            )
        if not standbys:
            raise PermanentError(f"no standby can be promoted: {'; '.join(refused) or 'there is none'}", "drd status")
        *_, best, its = max(standbys, key=lambda each: each[:3])
        if ordered is None and at.variables.get(BEST):
            alike = [_answering(at, machines[name], each) for name, each in found.items() if each.cluster == cluster]
            _demand_no_less(at, _answering(at, best, its), alike)
        members = (_member(at, machines[name], each) for name, each in found.items() if name != best.name)
        return best, its.awaited, tuple(member for member in members if member.casefold() in its.receivers)


def _demand_right_fence(at: Situation) -> None:
    """That some node is fenced helps nothing: it has to be the one that leads."""
    fenced, primary = at.variables.get("fenced"), at.variables.get("primary")
    if fenced and primary and fenced != primary:
        raise PermanentError(
            f"{fenced} was fenced, and the primary is {primary}", "nothing was promoted: fence the primary"
        )


def _member_node(at: Situation, node: str) -> Machine:
    """Raises `PermanentError` for one that is no node of the policy: another database would take this one's place."""
    machine = at.machine(node)
    if machine.name not in at.members:
        raise PermanentError(
            f"{machine.name} is no node of the policy {at.policy}: nothing was promoted",
            f"write best_standby, or name {machine.name} under `nodes:` of the policy",
        )
    return machine


def _unfit(at: Situation) -> Mapping[str, str]:
    """Node → why it may not be promoted; a person who starts a run goes by what answers."""
    view = at.services.view(at.policy)
    return {} if view is None or not at.variables.get(BEST) else unfit(view)


def _cluster(at: Situation, answering: Mapping[str, Found]) -> str:
    """The database cluster that is the policy's: the old primary's, else, where nobody knows that, the nodes' own.

    Raises `PermanentError` where these are not of one.
    """
    clusters = {each.cluster for each in answering.values()}
    if known := cluster_of(at.services.view(at.policy)):
        return known
    if len(clusters) > 1:
        raise PermanentError(
            f"{' and '.join(sorted(answering))} are of different database clusters: nothing was promoted",
            "correct the nodes of the policy",
        )
    return next(iter(clusters), "")


def _answering(at: Situation, machine: Machine, found: Found) -> Answering:
    member, rule = _member(at, machine, found), _rule(at)
    if not found.replicates_as and (rule is None or member.casefold() not in rule.named):
        # One that has lost its primary before this daemon began may not tell: then drd.yaml does.
        member = machine.member
    return Answering(machine.name, member, (found.timeline, found.position.value))


def _demand_no_less(at: Situation, best: Answering, standbys: Sequence[Answering]) -> None:
    """Where drd has chosen a standby, none is promoted that may lack what that has, or what was acknowledged."""
    chosen, view = at.variables.get(BEST, ""), at.services.view(at.policy)
    why = "" if chosen == best.node or view is None else lacking(view, chosen, best, {each.node for each in standbys})
    if why := why or unconfirmed(_rule(at), best, standbys):
        raise PermanentError(
            why, f"nothing was promoted: look at the other nodes, or start the runbook by hand for {best.node}"
        )


def _demand_no_lost_primary(at: Situation, silent: Set[str]) -> None:
    """Refuse while a node is silent that somebody has promoted since."""
    lost = at.variables.get("fenced") or at.variables.get("primary")
    if name := promoted_meanwhile(at.services.view(at.policy), lost, silent):
        raise PermanentError(
            f"{name} was a primary when it was seen last, and does not answer now",
            f"nothing was promoted: see that {name} does not lead, then run the step again",
        )


def _why_not(look: Found | DrdError, cluster: str) -> str:
    if isinstance(look, DrdError):
        return look.message
    return "" if look.cluster == cluster else "it is of another database cluster"


def _rule(at: Situation, inherited: str = "") -> Quorum | None:
    """What commits waited for on the old primary when it was seen last; else what the standby has inherited.

    An earlier daemon, which began the run, may have seen it last.
    """
    view = at.services.view(at.policy)
    primary = None if view is None else next((node for node in view.nodes if node.name == view.primary), None)
    if primary is not None and primary.seen is not None and primary.seen.is_primary:
        return primary.seen.quorum
    try:
        return quorum_of(at.variables.get(SYNCHRONOUS, "") or inherited)
    except ValueError:
        return None


def _member(at: Situation, machine: Machine, found: Found) -> str:
    """The name under which a standby replicates: as it tells, else as it was seen, else as drd.yaml has it."""
    if found.replicates_as:
        return found.replicates_as
    view = at.services.view(at.policy)
    seen = None if view is None else next((node.seen for node in view.nodes if node.name == machine.name), None)
    return machine.member if seen is None or not seen.replicates_as else seen.replicates_as


def _old(at: Situation) -> dict[str, str]:
    """Who was the primary, for what brings it back."""
    name = at.variables.get("fenced") or at.variables.get("primary")
    return {} if name is None else {"old_primary": name}


def _others(at: Situation) -> tuple[Machine, ...]:
    """The nodes of the policy but the one that was the primary."""
    gone = {at.variables.get("fenced"), at.variables.get("primary")}
    return tuple(at.machine(name) for name in at.members if name not in gone)


async def _old_is_gone(at: Situation) -> None:
    """Look at the fenced node once more: a fence that was confirmed and does not hold is found before it matters.

    One that does not answer within the time that probes have for it is taken for gone, since the fence says so.
    """
    # Of a fence that a person has confirmed nobody knows more than which node it was to be.
    name, clock = at.variables.get("fenced") or at.variables.get("primary"), at.world.clock
    if name is None or at.machine(name).dsn is None:
        return
    view = at.services.view(at.policy)
    patience = ANSWER_SECONDS if view is None else min(ANSWER_SECONDS, view.rules.timeout_seconds)
    end = clock.monotonic() + GOING_SECONDS
    while True:
        try:
            async with asyncio.timeout(patience):
                found = await _looked(at, at.machine(name))
        except TimeoutError:
            return
        if isinstance(found, DrdError) or found.is_in_recovery:
            return
        if at.variables.get("fenced_by") == REVOKE:
            # It may well be alive then: nobody's commits were lost, and it may go on.
            _demand_nobody_told(at, f"{name} answers again")
            await give_all_back(at.world, _others(at))
            raise PermanentError(
                f"{name} answers again, so its standbys receive again", "nothing was promoted: drd status"
            )
        if clock.monotonic() > end:
            raise PermanentError(
                f"{name} was fenced, and still answers as a primary",
                f"nothing was promoted: stop {name} by hand, then run the runbook again",
            )
        await clock.sleep(AGAIN_SECONDS)


async def _demand_cut(at: Situation) -> None:
    """See that all that were cut off are so still: one that was given back may confirm commits of the old primary."""
    names = [name for name in at.variables.get("revoked", "").split(",") if name]
    cut = await cut_off(at.world, [at.machine(name) for name in names])
    if names and cut == set(names):
        return
    back = [name for name in names if name not in cut]
    why = "nothing tells which standbys were cut off from the old primary"
    if back:
        why = f"{' and '.join(back)} is cut off no longer from the old primary, so that is fenced no longer"
    _demand_nobody_told(at, why)
    await give_all_back(at.world, _others(at))
    raise PermanentError(why, "nothing was promoted, and its standbys receive again: start the runbook anew")


def _demand_nobody_told(at: Situation, why: str) -> None:
    """Nothing is given back to the old primary when somebody may lead in its place at any moment."""
    if ordered := at.variables.get(ORDERED_TO_LEAD):
        raise PermanentError(
            f"{why}, and {ordered} has been told to take over already",
            "the standbys stay cut off: stop the old primary by hand, then run the step again",
        )


async def _looked(at: Situation, machine: Machine) -> Found | DrdError:
    try:
        return await look(await dsn_of(at.world.secrets, machine))
    except DrdError as error:
        return error
