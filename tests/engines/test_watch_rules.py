"""What the files say about replacing a primary."""

from datetime import timedelta
from typing import Any

import pytest

from drd.actions.command import Command
from drd.actions.fence import Fence as FenceAction
from drd.actions.postgres_promote import PostgresPromote
from drd.core.decision import Rules
from drd.core.fencing import FenceState, Rung
from drd.core.policy import Policy
from drd.core.runbook import Guards, Runbook, RunbookMode, Stage, StageName, Step
from drd.engines.watch_rules import fences_of, rules_of
from drd.ports.probe import Target, Watch
from tests.core.watched import a_node, a_view, good, primary

PROXY = {"backend": "orders", "addresses": "10.0.0.9"}
FENCE = FenceAction.model_validate({"node": "primary", "by": ["ssh", "power", "revoke", "proxy"], "proxy": PROXY})
PROMOTE = PostgresPromote(node="best_standby")


def a_runbook(name: str, disaster: str, *actions: Any, mode: str = "automatic", **guards: Any) -> Runbook:
    health = {"health": {"node": "primary", "is": "down"}}
    steps = tuple(Step(step=f"step {number}", action=action) for number, action in enumerate(actions))
    return Runbook(
        runbook=name,
        policy="orders",
        disaster=disaster,  # type: ignore[arg-type]
        activate_when="it is lost",
        deactivate_when="it is back",
        mode=mode,  # type: ignore[arg-type]
        guards=Guards(**guards),
        triggers=(health,),  # type: ignore[arg-type]
        stages=(Stage(stage=StageName.RECOVER, owner="ann", deadline=timedelta(minutes=1), steps=steps),),
        digest="1",
    )


def a_policy(**disasters: Any) -> Policy:
    return Policy.model_validate(
        {
            "policy": "orders",
            "objectives": {"rpo": "5s"},
            "backup": {"to": ("local",), "keep": {"last": 3}},
            "disasters": disasters,
        }
    )


FAILOVER = a_runbook("failover", "hardware", FENCE, PROMOTE, hold_down="30m", per_day=2, max_lag="16 MiB")
RESTART = a_runbook("restart", "process", Command(argv=("systemctl", "start", "postgresql")), mode="approve")
RUNBOOKS = {"failover": FAILOVER, "restart": RESTART}


def test_mode_and_guards_are_those_of_the_runbook_that_promotes() -> None:
    policy = a_policy(hardware={"runbook": "failover"}, process={"runbook": "restart"})

    assert rules_of(policy, RUNBOOKS) == Rules(
        RunbookMode.AUTOMATIC,
        timedelta(minutes=30),
        2,
        16 * 2**20,
        timedelta(seconds=5),
        RunbookMode.APPROVE,
    )


def test_what_may_be_lost_is_the_disasters_own_where_it_has_one() -> None:
    policy = a_policy(hardware={"runbook": "failover", "rpo": "1m"})

    assert rules_of(policy, RUNBOOKS).max_lag == timedelta(minutes=1)
    assert rules_of(policy, RUNBOOKS).restart is None


def test_a_runbook_for_a_dead_process_that_promotes_is_a_failover() -> None:
    found = rules_of(a_policy(process={"runbook": "failover"}), RUNBOOKS)

    assert (found.mode, found.restart) == (RunbookMode.AUTOMATIC, None)


@pytest.mark.parametrize("disasters", [{}, {"hardware": {"runbook": "restart"}}, {"hardware": {"runbook": "gone"}}])
def test_without_a_runbook_that_promotes_there_is_no_failover(disasters: Any) -> None:
    assert rules_of(a_policy(**disasters), RUNBOOKS) == Rules(max_lag=timedelta(seconds=5))


def test_the_rungs_are_those_of_the_runbook_and_stand_as_the_node_is_set_up() -> None:
    policy = a_policy(hardware={"runbook": "failover"})
    watch = Watch((Target("orders", "one", "10.0.0.1", has_shell=True), Target("orders", "two", "10.0.0.2")), ())
    view = a_view(a_node("one", good(9, primary())), a_node("two"))
    found = fences_of(policy, RUNBOOKS, watch, view)

    assert [(fence.rung, fence.state) for fence in found] == [
        (Rung.SSH, FenceState.AVAILABLE),
        (Rung.POWER, FenceState.IMPOSSIBLE),
        (Rung.REVOKE, FenceState.IMPOSSIBLE),
        (Rung.PROXY, FenceState.IMPOSSIBLE),
    ]
    assert "no power: in drd.yaml" in found[1].why
    assert fences_of(policy, {}, watch, view) == ()
    assert fences_of(policy, RUNBOOKS, watch, a_view(a_node("one"), primary=None)) == ()


def test_a_runbook_that_its_triggers_do_not_start_is_not_started_by_a_lost_primary() -> None:
    policy = a_policy(hardware={"runbook": "failover"}, process={"runbook": "restart"})
    without = {name: each.model_copy(update={"triggers": ()}) for name, each in RUNBOOKS.items()}
    found = rules_of(policy, without)

    assert (found.is_triggered, found.restart) == (False, None)
