"""drd.yaml and the environment. The environment wins over the file, the file over the defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, create_model, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from drd.config.environment import DEFAULT_STATE, DEFAULT_TIMEZONE, PREFIX, environment_values
from drd.config.kinds import Kinds
from drd.config.verbs import OneVerb, with_verbs
from drd.config.yaml import Value
from drd.core.kinds import Model
from drd.core.policy import Name
from drd.core.secrets import SecretReference
from drd.core.units import Count, Days, Flag, Rate, Size

_PORT: Final = re.compile(r"\d{1,9}", re.ASCII)
_STORES: Any = Field(min_length=1, description="Places for restic repositories.")


def parse_listen(text: object) -> tuple[str, int]:
    """`127.0.0.1:9476` or `[::1]:9476` → address and port. Raises ValueError that says what to write."""
    if isinstance(text, tuple):
        return text
    host, colon, port = str(text).rpartition(":")
    if not colon or not _PORT.fullmatch(port):
        raise ValueError("an address and its port are written like 127.0.0.1:9476")
    if int(port) > 65535:
        raise ValueError("a port is at most 65535: write it like 127.0.0.1:9476")
    host = host.removeprefix("[").removesuffix("]")
    if host == "localhost":
        return host, int(port)
    try:
        ip_address(host)
    except ValueError:
        raise ValueError("an address is written with numbers, as 127.0.0.1:9476 or [::1]:9476") from None
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    return host == "localhost" or ip_address(host).is_loopback


Listen = Annotated[
    tuple[str, int], BeforeValidator(parse_listen), WithJsonSchema({"type": "string", "examples": ["127.0.0.1:9476"]})
]


class Site(Model):
    """A place on the map, in decimal degrees."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    """Degrees north of the equator; negative in the south."""
    longitude: Annotated[float, Field(ge=-180, le=180)]
    """Degrees east of Greenwich; negative in the west."""


class StoreLimits(Model):
    """How hard a store may be worked."""

    upload: Rate | None = None
    """What is sent to it at most."""
    download: Rate | None = None
    """What is fetched from it at most."""
    at_once: Annotated[Count, Field(ge=1, le=32)] = 2
    """Jobs in this store at the same time."""
    memory: Size | None = None
    """What restic tries to stay below in each of them, at the price of processor time; left out: as it likes."""


class StoreRules(OneVerb):
    """A place for a restic repository: one of the kinds of store, and what is asked of it."""

    site: Name
    """A name under `sites:`."""
    password: SecretReference
    """The repository's password."""
    immutable: Days | None = None
    """How long nobody can delete from it: checked against the bucket's object lock, never believed."""
    limits: StoreLimits = StoreLimits()
    """How hard it may be worked."""
    independent: Flag = False
    """Copied to with `restic copy` under a master key of its own, instead of as a mirror of the first store."""


class Person(Model):
    """Somebody who owns a policy or a stage of a runbook."""

    name: Annotated[str, Field(min_length=1)]
    """What people call them."""
    notify: tuple[SecretReference, ...] = ()
    """Addresses to tell them things at; each holds a token, so each is a reference."""
    deputy: Name | None = None
    """Who is told when this person does not answer."""
    users: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = None
    """Users of drd's machine who speak for this person. Where some are written for those whom an `approve` asks, or for
    their deputies, nobody else may answer."""


class HttpSettings(Model):
    """What drd serves over TCP: /metrics, /livez, and for who shows a token the addresses that start runbooks."""

    listen: Listen | None = Field(default="127.0.0.1:9476", validate_default=True)
    """An address and a port; null serves nothing."""
    tokens: SecretReference | None = None
    """Bearer tokens, one a line: /metrics wants to see one, and nothing is started without one. Needed where other
    machines can reach the address."""


class NodePostgres(Model):
    """The PostgreSQL of a node."""

    dsn: SecretReference
    """How to connect, as libpq reads it."""
    data_directory: FilePath | None = None
    """Where its data lies."""
    unit: str | None = None
    """Its systemd unit, as postgresql@15-main."""
    replicates_as: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,63}$")] | None = None
    """Its `application_name` and its slot while it follows a primary; left out, its name with `_` for each `-`."""


class NodeSsh(Model):
    """How drd reaches a node's shell; no agent runs there."""

    user: str
    """Whom drd is there."""
    key: SecretReference
    """The private key."""
    known_hosts: FilePath | None = None
    """The file with the node's host key."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """Where its ssh listens."""


class NodeShell(Model):
    """A program that reaches a node's shell without ssh, as that of a container does."""

    user: str = "root"
    """Whom drd is there."""
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its first arguments, as [/etc/drd/enter, orders-1]; what is to run there follows, word by word.

    It passes standard input and output on, and ends with the same exit code; 255 says that the node was not reached.
    """


class NodePower(Model):
    """How a node is switched off from outside: the surest fence."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """A program and its arguments; exit code 0 says that the node is off."""


class Node(Model):
    """A machine that serves: sources find their servers on them, probes watch them, runbooks refer to them."""

    host: Annotated[str, Field(min_length=1)]
    """Its address."""
    site: Name
    """A name under `sites:`."""
    priority: Count = 0
    """Which standby is preferred among equals: the greater."""
    postgres: NodePostgres | None = None
    """Its PostgreSQL."""
    ssh: NodeSsh | None = None
    """How its shell is reached."""
    shell: NodeShell | None = None
    """How its shell is reached instead, where that is not by ssh."""
    power: NodePower | None = None
    """How it is switched off from outside."""

    @model_validator(mode="after")
    def _one_way_to_its_shell(self) -> Node:
        if self.ssh is not None and self.shell is not None:
            raise ValueError("`ssh:` and `shell:` stand side by side: keep the one by which its shell is reached")
        return self


class Settings(BaseSettings):
    """The keys of drd.yaml; `settings_model` adds `stores`, whose kinds are found at start."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, env_prefix=PREFIX
    )
    LATER: ClassVar[frozenset[str]] = frozenset({"cluster"})

    site: Name
    """Where this daemon runs: a name under `sites:`."""
    timezone: str = DEFAULT_TIMEZONE
    """For cron lines and windows, as Asia/Shanghai."""
    state: FilePath = FilePath(DEFAULT_STATE)
    """Journal, spool and caches."""
    data: FilePath | None = None
    """What relative paths of sources start from; itself relative to this file."""
    policies: FilePath = FilePath("policies")
    """The folder of policies, relative to this file."""
    runbooks: FilePath = FilePath("runbooks")
    """The folder of runbooks, relative to this file."""
    restic: Annotated[str, Field(min_length=1)] = "restic"
    """The restic program: a path, or a name that is looked for in PATH."""
    sites: dict[Name, Site]
    """Where things are, so that distances can be checked."""
    people: dict[Name, Person] = {}
    """Who owns policies and stages, and how they are told."""
    http: HttpSettings = HttpSettings()
    """What is served over TCP."""
    nodes: dict[Name, Node] = {}
    """The machines that serve."""


@lru_cache(maxsize=2)
def settings_model(kinds: Kinds) -> type[Settings]:
    """The schema of drd.yaml with the kinds of store that were found."""
    store = with_verbs(StoreRules, "kind of store", kinds.stores, "Store")
    stores: Any = dict[Name, store]  # type: ignore[valid-type]
    return create_model("Settings", __base__=Settings, __doc__=Settings.__doc__, stores=(stores, _STORES))


def settings_from(model: type[Settings], file: Mapping[str, Value], environment: Mapping[str, str]) -> Settings:
    """The settings in force. Raises pydantic's ValidationError, whose locations are paths in the file."""

    class Layered(model):  # type: ignore[misc,valid-type]
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_others: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """The environment before the file; no other place is looked at."""
            return Environment(settings_cls, environment), init_settings

    made: Settings = Layered(**file)
    return made


class Environment(PydanticBaseSettingsSource):
    """`DRD_SITE`, `DRD_HTTP__LISTEN` …: a value is read as a YAML scalar, a double underscore leads into a map.

    An unknown name is kept, so that it becomes an error like an unknown key.
    """

    def __init__(self, model: type[BaseSettings], environment: Mapping[str, str]) -> None:
        super().__init__(model)
        self.environment = environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: `__call__` answers for all fields at once, unknown ones included."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """The settings that the environment makes."""
        return environment_values(self.environment)
