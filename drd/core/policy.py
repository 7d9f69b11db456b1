"""What a policy promises and how it is kept: the domain's values, which are also the YAML schema of a policy file.

The `source:` of a policy names kinds, which the core does not know: the configuration adds it.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from drd.core.fencing import Clients
from drd.core.kinds import Model
from drd.core.lists import OneOrMany
from drd.core.run import Cause as Cause
from drd.core.run import Mode as Mode
from drd.core.run import Outcome as Outcome
from drd.core.units import (
    Count,
    Days,
    Distance,
    Duration,
    Flag,
    Interval,
    PositiveDuration,
    Share,
    ShortInterval,
    parse_duration,
)

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Lower-case letters, digits and hyphens: names stand in metrics, tags and file names."""


_PERIODS: Final = {
    "year": timedelta(days=365),
    "month": timedelta(days=30),
    "week": timedelta(days=7),
    "day": timedelta(days=1),
}


def _readable_downtime(text: str) -> str:
    allowed, per, period = text.partition(" per ")
    if not per or period.strip() not in _PERIODS:
        raise ValueError("it is written like 4h per year, or per month, week or day")
    parse_duration(allowed)
    return text


class DisasterClass(StrEnum):
    """What happened, which decides the strategy of recovery."""

    PROCESS = "process"
    HARDWARE = "hardware"
    SITE = "site"
    REGION = "region"
    CORRUPTION = "corruption"


class Objectives(Model):
    """What was promised to the users of the service."""

    rto: PositiveDuration | None = None
    """From an outage's first symptom until the service answers its users again."""
    rpo: PositiveDuration | None = None
    """Newest data that may be lost."""
    full_restore: PositiveDuration | None = None
    """Everything back on empty machines."""
    downtime: Annotated[str, AfterValidator(_readable_downtime)] | None = None
    """Interruption that is allowed, as `4h per year`."""

    @property
    def downtime_budget(self) -> tuple[timedelta, timedelta] | None:
        """How long of how long the service may be interrupted; None where nothing was promised."""
        if self.downtime is None:
            return None
        allowed, _, period = self.downtime.partition(" per ")
        return parse_duration(allowed), _PERIODS[period.strip()]


class Timing(Model):
    """When a run is due: exactly one of `cron` and `every`."""

    cron: str | None = None
    """crontab(5), in the configuration's time zone."""
    every: Interval | None = None
    """Elapsed time since the last start."""
    spread: Duration = Field(default="0s", validate_default=True)
    """Runs start up to this much later, always the same for a policy and slot, so that not all start at once."""


class Keep(Model):
    """How many recovery points are kept, as restic's `--keep-*`; the newest good one is kept whatever this says."""

    last: Count = 0
    """The newest ones."""
    hourly: Count = 0
    """One for each of so many hours, the newest of the hour."""
    daily: Count = 0
    """One for each of so many days."""
    weekly: Count = 0
    """One for each of so many weeks."""
    monthly: Count = 0
    """One for each of so many months."""
    yearly: Count = 0
    """One for each of so many years."""
    within: Days | None = None
    """Everything younger than this is kept."""
    any_moment: Days | None = None
    """With `wal: continuous`: every moment of so long can be restored, whatever the other rules say.

    Left out, every moment since the oldest base backup that they keep.
    """


class Require(Model):
    """What the copies of a recovery point must amount to; checked when the file is read, and all the time."""

    copies: Annotated[Count, Field(ge=1)] = 1
    """In how many stores a recovery point must be."""
    offsite: Count = 0
    """How many of them at another site than this daemon's."""
    distance: Distance | None = None
    """How far away an off-site copy must be at least, along the great circle."""
    immutable: Count = 0
    """How many of them in stores that nobody can delete from before their time."""
    media: Count = 0
    """On how many kinds of store they have to be, as `local` and `s3`."""
    verified_within: PositiveDuration | None = None
    """How long ago a restore may have read a whole recovery point, from any of its stores."""
    read_within: PositiveDuration | None = None
    """All that each of its stores holds is read again within this time; stores at drd's own site within 30 days."""


class Guard(Model):
    """When a run that looks like success is not."""

    shrink: Share = Field(default="50 %", validate_default=True)
    """A run that saves this much less than the last good one fails loudly."""
    gone: Share = Field(default="30 %", validate_default=True)
    """A run is suspected when this much of the files is gone since the last one, which is unusual for the policy."""
    changed: Share = Field(default="50 %", validate_default=True)
    """The same, when this much of the files changed at once."""
    new: Share = Field(default="50 %", validate_default=True)
    """The same, when this much of the data is new to the store."""


class Window(Model):
    """When and how gently a backup may run."""

    not_: Annotated[OneOrMany[str], Field(alias="not")] = ()
    """Local times in which nothing starts, as `09:00-11:00` or `Sun 03:00-04:00`."""
    cpu: Share | None = None
    """Nothing starts while the machine's processors are busier than this, and restic gets no more than this of them."""
    memory: Share | None = None
    """Nothing starts while less than this share of the machine's memory is free."""
    io: Annotated[str | None, Field(pattern="^(normal|idle)$")] = None
    """`idle` lets every other reader and writer go first."""


class BackupPlan(Model):
    """How a service is backed up."""

    full: Timing | None = None
    """When everything is read again."""
    incremental: Timing | None = None
    """When what changed is read; a full that is due at the same time takes its place."""
    catch_up: Flag = True
    """A run that was missed while the machine was off is made up for, once."""
    to: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Stores, in order: the source is read once, into the first that is reachable."""
    keep: Keep
    """Which recovery points are kept, in each store."""
    require: Require = Require()
    """What the copies must amount to."""
    guard: Guard = Guard()
    """When a run fails although restic did not, and when nothing is forgotten because a run looks wrong."""
    window: Window = Window()
    """When and how gently it may run."""
    deadline: PositiveDuration = Field(default="24h", validate_default=True)
    """A run is stopped when it has taken this long."""
    stall: PositiveDuration = Field(default="15m", validate_default=True)
    """A run is stopped when nothing has moved for this long."""


class Health(Model):
    """How the nodes that serve it are watched."""

    every: ShortInterval = Field(default="1s", validate_default=True)
    """How often each node is looked at; the end of a session is noticed at once all the same."""
    fall: Annotated[Count, Field(ge=1)] = 3
    """So many failures in a row count (a refusal after a session was closed needs one)."""
    rise: Annotated[Count, Field(ge=1)] = 3
    """So many successes in a row count as well again."""


class Service(Model):
    """How its users reach it: one probe, which measures outages from its first failure to its first success."""

    every: ShortInterval = Field(default="1s", validate_default=True)
    """How often it is looked at: RTA and downtime are known to about that."""
    fall: Annotated[Count, Field(ge=1)] = 3
    """So many failures in a row are an outage, which began with the first of them."""
    rise: Annotated[Count, Field(ge=1)] = 3
    """So many successes in a row are its end, which was the first of them."""


class Disaster(Model):
    """What is done about one class of disaster, and its own objectives."""

    runbook: Name
    """The runbook that recovers from it; it names this policy and this class."""
    rto: PositiveDuration | None = None
    """Instead of the policy's."""
    rpo: PositiveDuration | None = None
    """Instead of the policy's."""


class Maintenance(Model):
    """Planned downtime that comes again and again."""

    every: Annotated[str, Field(min_length=1)]
    """Local times, as `Sun 03:00-04:00`."""
    what: Literal["failover"] = "failover"
    """What is not started by itself meanwhile. Alarms about backups are never silenced."""
    reason: str = ""
    """Why; it is shown."""


class Policy(Model):
    """What protects one service."""

    policy: Name
    """What it is called: in metrics, tags and commands."""
    description: str = ""
    """What it protects, for people."""
    owner: str | None = None
    """A name under `people:`."""
    objectives: Objectives = Objectives()
    """What was promised to the users of the service."""
    nodes: tuple[Name, ...] = ()
    """Names under `nodes:` of drd.yaml: the machines that serve it."""
    clients: Clients = Clients.LIBPQ
    """How clients reach them: each node by itself, or all through a proxy and in no other way."""
    health: Health = Health()
    """How those nodes are watched."""
    backup: BackupPlan
    """How it is backed up."""
    disasters: dict[DisasterClass, Disaster] = {}
    """What is done about each class of disaster."""
    maintenance: tuple[Maintenance, ...] = ()
    """When no runbook starts by itself, since the service is meant to be down."""

    @property
    def name(self) -> str:
        """What the policy is called."""
        return self.policy

    @property
    def shortest_rpo(self) -> timedelta | None:
        """The least that may be lost in any disaster; None where nothing was promised."""
        promised = (self.objectives.rpo, *(each.rpo for each in self.disasters.values()))
        return min((rpo for rpo in promised if rpo is not None), default=None)
