"""What a runbook says: the stages of a recovery, their owners, deadlines and steps.

The rules of a step, a stage and a runbook are also the YAML schema of a runbook file. The kinds of action are not known
to the core: the configuration adds a key a kind, and hands the step on with its action.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, InstanceOf, model_validator

from drd.core.kinds import Model, Spec
from drd.core.policy import DisasterClass, Name
from drd.core.units import Count, Duration, Flag, PositiveDuration, Size

Sentence = Annotated[str, Field(min_length=1, max_length=300)]
"""A line of words for people."""

BEFORE_ANY_CHANGE: Final = frozenset({"approve", "confirm", "http", "notify", "verify", "wait"})
"""Actions that may come before a person's approval, and after which a run may still end as if nothing had been."""
VARIABLES: Final = {
    "policy": "the policy whose service is recovered",
    "run": "the id of this run of the runbook",
    "incident": "the id of the incident, or of the drill",
    "disaster": "the class of the disaster",
    "primary": "the node that was the primary when the run began",
    "old_primary": "the same node, once another has been promoted",
    "new_primary": "the node that was promoted",
    "best_standby": "the standby that has the most data",
    "point": "the moment to which the service is put back",
    "place": "the folder or machine that a restore writes to",
}
"""What `${name}` may name in a runbook, and what stands there when a step runs."""


SYNCHRONOUS: Final = "synchronous"
"""What a run knows of what commits of the old primary waited for."""
SYNCHRONOUS_NOW: Final = "synchronous_now"
"""What commits of the new primary wait for since a node was brought back."""
ORDERED_TO_LEAD: Final = "ordered_to_lead"
"""Whom a run has told to take over: no one else may ever after, for that one may lead at any moment."""
HEIR: Final = "heir"
"""Whom a run has chosen to lead, before it shuts the primary down."""
KEPT_BY_RUNS: Final = frozenset({ORDERED_TO_LEAD, HEIR})
"""What a person sets for no run: it decides who may be promoted."""
OTHER_STANDBYS: Final = "other_standbys"
"""All nodes of the policy but who led and who leads now: for `postgres_rejoin`, the only action for several."""
NODE_ROLES: Final = frozenset({"primary", "standby", "best_standby", "old_primary", "new_primary"})
"""What may stand for a node: roles, for a node's own name rots at the first failover."""
NodeName = Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,62}|[a-z]+_[a-z]+|\$\{\w+\})$")]
"""A name under `nodes:`, a role, or a variable that stands for one."""


_FENCE: Final = "fence"
_PROMOTE: Final = "postgres_promote"
HANDS_OVER: Final = "postgres_switchover"
_MOVE: Final = frozenset({_PROMOTE, HANDS_OVER})
_REJOIN: Final = "postgres_rejoin"
"""Kinds of action that the core knows by their names: what they do decides what may happen by itself."""


class StageName(StrEnum):
    """The five stages of a recovery, in their order."""

    DETECT = "detect"
    RESPOND = "respond"
    RECOVER = "recover"
    SWITCH = "switch"
    RECONSTITUTE = "reconstitute"


class RunbookMode(StrEnum):
    """Who starts a runbook: drd by itself, drd after a person's approval, or a person."""

    AUTOMATIC = "automatic"
    APPROVE = "approve"
    MANUAL = "manual"


class OnFailure(StrEnum):
    """What becomes of a run when a step fails."""

    STOP = "stop"
    CONTINUE = "continue"
    ASK = "ask"
    UNDO = "undo"


class NodeState(StrEnum):
    """What the health of a node amounts to."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class HealthTrigger(Model):
    """A node's health changes."""

    node: NodeName
    """`primary`: no other node starts anything."""
    is_: Annotated[NodeState, Field(alias="is")]
    """`down`: no other state starts anything."""


class AlertTrigger(Model):
    """An alert of Alertmanager arrives."""

    alertname: Sentence
    """The alert's name."""
    labels: dict[str, str] = {}
    """Labels that the alert must carry as well."""


class Trigger(Model):
    """What starts a runbook by itself, or asks for it: exactly one of the keys."""

    health: HealthTrigger | None = None
    """A node's health changes."""
    alertmanager: AlertTrigger | None = None
    """An alert of Alertmanager arrives."""
    webhook: Flag = False
    """Another program may call for it: POST /api/v1/runbooks/NAME/start, with a token."""

    @model_validator(mode="before")
    @classmethod
    def _names_exactly_one(cls, value: object) -> object:
        if isinstance(value, dict) and value.keys() <= cls.model_fields.keys() and len(value) != 1:
            raise ValueError("name one trigger here: health, alertmanager or webhook")
        return value


class Guards(Model):
    """What holds an automatic start back."""

    hold_down: Duration | None = None
    """No second run starts by itself within this time; where it promotes: after the last failover, of anybody."""
    per_day: Annotated[Count, Field(ge=1)] | None = None
    """Nothing starts by itself after so many runs in 24 hours; where it promotes: so many failovers, of anybody."""
    max_lag: Size | None = None
    """Bytes that the standby may lack of what the primary wrote last."""


class StepRules(Model):
    """One line of a runbook: its title, and how its action is run."""

    step: Sentence
    """The title: what is done, in words."""
    timeout: PositiveDuration | None = None
    """The action is stopped, and has failed, when it has taken this long."""
    retry: Count = 0
    """How often the action is tried again when it fails."""
    on_failure: OnFailure = OnFailure.STOP
    """What becomes of the run when the action fails: it stops, goes on, asks a person, or takes back what it did."""
    needs: tuple[Sentence, ...] = ()
    """Titles of steps of the same stage or an earlier one that must have succeeded."""
    parallel: Flag = False
    """Whether it may run beside the steps of its stage that it does not need, after the approvals before it."""
    by_hand: str | None = None
    """What a person types where the action fails or drd is away."""
    irreversible: Flag = False
    """Whether nothing brings back what was before."""


class StageRules(Model):
    """One phase of a recovery: whose it is, and by when it is over."""

    stage: StageName
    """Which phase it is."""
    owner: Name
    """A name under `people:`."""
    deadline: PositiveDuration
    """Counted from the outage's start; the owner's deputy is told when it is missed."""


class RunbookRules(Model):
    """A recovery procedure for one policy and one class of disaster."""

    runbook: Name
    """What it is called."""
    description: str = ""
    """What it is for, beside its policy and disaster."""
    policy: Name
    """The policy whose service it recovers."""
    disaster: DisasterClass
    """The class of disaster that it recovers from."""
    activate_when: Sentence
    """In words: what must be true for this runbook to be the right one."""
    deactivate_when: Sentence
    """In words: when the recovery is over."""
    mode: RunbookMode = RunbookMode.MANUAL
    """Who starts it: drd by itself, drd after a person's approval, or a person."""
    guards: Guards = Guards()
    """What holds an automatic start back."""
    triggers: tuple[Trigger, ...] = ()
    """What starts it, or asks for it."""


class Step(StepRules):
    """A step with its action."""

    action: InstanceOf[Spec]
    undo: InstanceOf[Spec] | None = None
    """The action that takes this one back."""
    done_when: InstanceOf[Spec] | None = None
    """The action whose success shows that this one is done already."""

    @property
    def title(self) -> str:
        """What is done, in words."""
        return self.step


class Stage(StageRules):
    """A stage with its steps."""

    steps: tuple[Step, ...]


class Runbook(RunbookRules):
    """A recovery procedure as it is shown and run."""

    stages: tuple[Stage, ...]
    """In order; a stage that the file leaves out is not among them."""
    digest: str
    """SHA-256 of the runbook as it was read, its bases merged in: a run keeps the one that it began with."""
    document: str = "{}"
    """The same as JSON: a run goes on by it, whatever becomes of the file."""

    @property
    def name(self) -> str:
        """What the runbook is called."""
        return self.runbook

    @property
    def promotes(self) -> bool:
        """Whether it makes another node the primary."""
        return any(step.action.kind == _PROMOTE for stage in self.stages for step in stage.steps)

    @property
    def moves_primary(self) -> bool:
        """Whether it makes another node the primary, in order or not."""
        return any(step.action.kind in _MOVE for stage in self.stages for step in stage.steps)

    @property
    def brought_back(self) -> tuple[str, ...]:
        """The nodes and roles that are made to follow the primary by it."""
        steps = [step.action for stage in self.stages for step in stage.steps]
        return tuple(str(getattr(each, "node", "")) for each in steps if each.kind == _REJOIN)

    @property
    def fences(self) -> tuple[str, ...]:
        """The rungs by which it fences the old primary, in their order."""
        named = [
            getattr(step.action, "by", ())
            for stage in self.stages
            for step in stage.steps
            if step.action.kind == _FENCE
        ]
        return tuple(dict.fromkeys(str(rung) for rungs in named for rung in rungs))

    @property
    def asks_to_fence(self) -> bool:
        """Whether a person is asked to fence the old primary where no rung is confirmed."""
        steps = [step for stage in self.stages for step in stage.steps]
        first = next((step for step in steps if step.action.kind == _FENCE), None)
        return first is not None and first.on_failure is OnFailure.ASK

    @property
    def proxies(self) -> frozenset[str]:
        """The addresses of the proxies by which it fences, as the database sees them."""
        named = [getattr(step.action, "proxy", None) for stage in self.stages for step in stage.steps]
        return frozenset(str(address) for proxy in named for address in getattr(proxy, "addresses", ()))

    def stage(self, name: StageName) -> Stage | None:
        """The stage of that name, None where the file leaves it out."""
        return next((stage for stage in self.stages if stage.stage is name), None)
