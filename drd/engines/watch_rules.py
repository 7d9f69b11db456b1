"""What the files say about replacing a primary: the guards of its runbooks, and the rungs by which it can be fenced."""

from __future__ import annotations

from collections.abc import Mapping

from drd.core.decision import Rules
from drd.core.fencing import Fence, FenceState, Rung, proxy, revocation
from drd.core.health import ClusterView
from drd.core.policy import DisasterClass, Policy
from drd.core.runbook import NodeState, Runbook, RunbookMode
from drd.ports.probe import Target, Watch


def rules_of(policy: Policy, runbooks: Mapping[str, Runbook]) -> Rules:
    """The mode and guards of the runbook for lost hardware; its loss in time is what the policy promises."""
    failover = failover_of(policy, runbooks)
    restart = restart_of(policy, runbooks)
    hardware = policy.disasters.get(DisasterClass.HARDWARE)
    promised = hardware.rpo if hardware is not None and hardware.rpo is not None else policy.objectives.rpo
    return Rules(
        mode=None if failover is None else failover.mode,
        hold_down=None if failover is None else failover.guards.hold_down,
        per_day=None if failover is None else failover.guards.per_day,
        max_lag_bytes=None if failover is None else failover.guards.max_lag,
        max_lag=promised,
        is_triggered=failover is None or is_triggered(failover),
        restart=None if restart is None else restart.mode,
    )


def fences_of(policy: Policy, runbooks: Mapping[str, Runbook], watch: Watch, view: ClusterView) -> tuple[Fence, ...]:
    """How each rung that the runbook names stands for the primary, in its order."""
    failover = failover_of(policy, runbooks)
    target = next((each for each in watch.targets if each.node == view.primary), None)
    if failover is None or target is None:
        return ()
    by_proxy = proxy(view, policy.clients, failover.proxies)
    return tuple(by_proxy if rung is Rung.PROXY else _fence(rung, target, view) for rung in map(Rung, failover.fences))


def _fence(rung: Rung, target: Target, view: ClusterView) -> Fence:
    if rung is Rung.REVOKE:
        return revocation(view)
    is_set_up, key = (target.has_shell, "ssh: or shell:") if rung is Rung.SSH else (target.has_power, "power:")
    if not is_set_up:
        return Fence(rung, FenceState.IMPOSSIBLE, f"{target.node} has no {key} in drd.yaml")
    return Fence(rung, FenceState.AVAILABLE)


def failover_of(policy: Policy, runbooks: Mapping[str, Runbook]) -> Runbook | None:
    """The runbook that replaces the primary; None where no disaster has one."""
    for disaster in (DisasterClass.HARDWARE, DisasterClass.PROCESS):
        found = _runbook(policy, runbooks, disaster)
        if found is not None and found.promotes:
            return found
    return None


def acts_by_itself(policy: Policy, runbooks: Mapping[str, Runbook]) -> bool:
    """Whether the loss of the primary starts a runbook that replaces it."""
    runbook = failover_of(policy, runbooks)
    return runbook is not None and runbook.mode is not RunbookMode.MANUAL and is_triggered(runbook)


def restart_of(policy: Policy, runbooks: Mapping[str, Runbook]) -> Runbook | None:
    """The runbook that starts a dead process again in its place, which is tried first; None where none is started."""
    found = _runbook(policy, runbooks, DisasterClass.PROCESS)
    if found is None or found.promotes or found.mode is RunbookMode.MANUAL or not is_triggered(found):
        return None
    return found


def is_triggered(runbook: Runbook) -> bool:
    """Whether the loss of the primary starts it."""
    named = [trigger.health for trigger in runbook.triggers if trigger.health is not None]
    return any(each.node == "primary" and each.is_ is NodeState.DOWN for each in named)


def _runbook(policy: Policy, runbooks: Mapping[str, Runbook], disaster: DisasterClass) -> Runbook | None:
    named = policy.disasters.get(disaster)
    return None if named is None else runbooks.get(named.runbook)
