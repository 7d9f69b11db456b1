"""Having a name lead to another node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, ClassVar, Protocol

from pydantic import Field, field_validator, model_validator

from drd.clients.dns import Route53, UpdatedServer
from drd.core.dns import Change, Record, demand_within, others_of, type_of, value_of
from drd.core.errors import DrdError, PermanentError
from drd.core.kinds import Model
from drd.core.runbook import NodeName
from drd.core.runbook_step import Answer
from drd.core.secrets import SecretReference
from drd.core.units import PositiveDuration, format_duration
from drd.ports.action import ClientsMove, Facts, Preview, Reference, Situation, node_references

_DOMAIN = r"^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)+\.?$"
Domain = Annotated[str, Field(pattern=_DOMAIN, max_length=254)]
"""A whole name, as `orders.example.net`."""


class Records(Protocol):
    """A zone's records, wherever they are kept."""

    @property
    def place(self) -> str:
        """Where they are kept, in words."""
        ...

    async def look(self, name: str, kind: str) -> Record | None:
        """What is said of a name; None where there is no record of that type."""
        ...

    async def change(self, name: str, changes: Sequence[Change]) -> None:
        """Put records in the place of the old ones, if those are still there, all at once, and see that it is so."""
        ...


class DnsUpdate(Model):
    """A server that takes updates (RFC 2136) signed with a key (TSIG), as BIND, Knot and PowerDNS do."""

    server: Annotated[str, Field(min_length=1)]
    """The primary server of the zone."""
    zone: Domain
    """The zone that holds the name."""
    key: SecretReference
    """Refers to one line `hmac-sha256:NAME:BASE64`."""
    port: Annotated[int, Field(ge=1, le=65535)] = 53
    """Where it listens on TCP."""


class DnsRoute53(Model):
    """A hosted zone of Route 53."""

    zone: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,32}$")]
    """The zone's id, as Z0123456789ABC."""
    credentials: SecretReference
    """Refers to one line `ACCESS_KEY:SECRET_KEY`."""
    endpoint: Annotated[str, Field(pattern=r"^(https?://[^/]+/?)?$")] = ""
    """The server, where it is not AWS's usual one."""


class Dns(ClientsMove):
    """Have a name lead to a node, by an update at its DNS server (RFC 2136) or at Route 53."""

    kind: ClassVar[str] = "dns"

    name: Domain
    """The name that clients use."""
    node: NodeName
    """Where it shall lead: to the node's `host`, as an A, an AAAA or, where that is a name, a CNAME record.

    A record of the other type of address goes, since it would lead to another node.
    """
    ttl: PositiveDuration = timedelta(seconds=5)
    """How long those who have asked may go on using the answer; whole seconds."""
    update: DnsUpdate | None = None
    """The server that is told; write this or `route53`."""
    route53: DnsRoute53 | None = None
    """The hosted zone that is changed; write this or `update`."""

    @field_validator("ttl")
    @classmethod
    def _is_of_whole_seconds(cls, value: timedelta) -> timedelta:
        if value % timedelta(seconds=1):
            raise ValueError("write whole seconds, as 5s")
        return value

    @model_validator(mode="after")
    def _names_one_place(self) -> Dns:
        if (self.update is None) == (self.route53 is None):
            raise ValueError("write exactly one of `update` and `route53`: where the name's records are kept")
        if self.update is not None:
            try:
                demand_within(self.name, self.update.zone)
            except PermanentError as error:
                raise ValueError(str(error)) from None
        return self

    async def preview(self, at: Situation) -> Preview:
        """The change, and what the name leads to now."""
        kind, wanted = self._leading(at)
        line = f"{self.name} {kind} {', '.join(wanted.values)}, TTL {format_duration(self.ttl)}"
        try:
            records = await self._records(at)
            first, *others = await self._looked(records, self._wanted(at))
        except DrdError as error:
            return Preview((line,), (error.message,))
        lines = [f"{line} (now {', '.join(first.old.values) if first.old else 'nothing'})"]
        lines += [f"no {self.name} {each.kind} (now {', '.join(each.old.values)})" for each in others if each.old]
        return Preview(tuple(f"{records.place}: {line}" for line in lines))

    async def is_done(self, at: Situation) -> Answer:
        """Whether the name leads there and nowhere else."""
        found = await self._looked(await self._records(at), self._wanted(at))
        return Answer.NOT_DONE if any(each.is_one for each in found) else Answer.DONE

    async def apply(self, at: Situation) -> Facts:
        """Put the record in the place of the one that was looked at."""
        made = await self._put(at, self._wanted(at))
        before = "; ".join(f"{each.kind} {each.old or ''}".strip() for each in made)
        return {self._remembered: before} if before else {}

    async def undo(self, at: Situation) -> Facts:
        """Put back the records that were there, or none."""
        if self._remembered not in at.variables:
            raise PermanentError(f"where {self.name} led before is not on record", "look at the zone")
        before = (each.partition(" ") for each in at.variables[self._remembered].split("; "))
        await self._put(at, {kind: Record.parse(record) if record else None for kind, _, record in before})
        return {}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Ask for the record, with the key; nothing is changed."""
        await self._looked(await self._records(at), self._wanted(at))
        return {}

    @property
    def _remembered(self) -> str:
        return f"dns {self.name}"

    def _leading(self, at: Situation) -> tuple[str, Record]:
        host = at.machine(self.node).host
        return type_of(host), Record((value_of(host),), int(self.ttl.total_seconds()))

    def _wanted(self, at: Situation) -> dict[str, Record | None]:
        """The record by its type, first that which leads there; none of a type that would lead elsewhere."""
        kind, record = self._leading(at)
        return {kind: record, **dict.fromkeys(others_of(kind))}

    async def _looked(self, records: Records, wanted: Mapping[str, Record | None]) -> list[Change]:
        return [Change(kind, await records.look(self.name, kind), record) for kind, record in wanted.items()]

    async def _records(self, at: Situation) -> Records:
        if self.update is not None:
            key = await at.world.secrets.read(self.update.key)
            return UpdatedServer(self.update.server, self.update.port, self.update.zone, key)
        assert self.route53 is not None  # noqa: S101 - the schema has one of the two
        credentials = await at.world.secrets.read(self.route53.credentials)
        return Route53(at.world.runner, self.route53.zone, self.route53.endpoint, credentials)

    async def _put(self, at: Situation, wanted: Mapping[str, Record | None]) -> list[Change]:
        """What was changed."""
        records = await self._records(at)
        changes = [each for each in await self._looked(records, wanted) if each.is_one]
        if changes:
            await records.change(self.name, changes)
        return changes

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which name, to which node."""
        return f"have {self.name} lead to {self.node}"
