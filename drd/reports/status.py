"""The page that `drd status` prints: the daemon, the policies, the stores, and what needs a person."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drd.core.geography import format_distance
from drd.core.node_verdicts import Cause
from drd.core.outage import ServiceState
from drd.core.units import format_duration, format_size
from drd.ports.configuration import is_wal_store
from drd.ports.control import CopyStatus, NodeStatus, PolicyStatus, ServiceStatus, Status, StoreStatus, WalStatus
from drd.reports.moments import age, local_short, span
from drd.reports.tables import Row, heading, state, table

COLUMNS_FOR_STORES = 3
"""With more stores than this, the copies share one column."""
CALM = (Cause.WELL, Cause.UNKNOWN)
"""Verdicts that need nobody: nothing is the matter, or nothing is known yet."""
NEEDS_A_PERSON = ("suspect", "failed", "late", "lacking", "incomplete")


def status_page(status: Status, host: str, now: datetime, zone: ZoneInfo) -> RenderableType:
    """Everything, most important first and last: the daemon on the first line, what to type on the last."""
    parts: list[RenderableType] = [_first_line(status, host, now, zone), Text("")]
    parts.append(_policies(status, now) if status.policies else Text("No policy is configured yet."))
    parts += [
        Text(f"heartbeat of {policy.name}: {policy.heartbeat}", style="dim")
        for policy in status.policies
        if policy.heartbeat
    ]
    if status.stores:
        parts += [Text(""), _stores(status, now)]
    if status.wal:
        parts += [Text(""), _wal(status.wal, now)]
    if status.services:
        parts += [Text(""), _services(status.services, now)]
    if status.nodes:
        parts += [Text(""), _nodes(status.nodes, now)]
    return Group(*parts, Text(""), _needs(status))


def _first_line(status: Status, host: str, now: datetime, zone: ZoneInfo) -> Text:
    line = Text.assemble(("drd", "bold"), f" {status.version} on ", (host, "bold"), f" · site {status.site} · ")
    if not status.running or status.since is None:
        return line.append("the daemon does not answer" if status.silent else "no daemon is running", style="bold red")
    since = local_short(status.since, now, zone)
    return line.append(f"running since {since} ({span(now - status.since)})")


def _policies(status: Status, now: datetime) -> Table:
    stores = list(dict.fromkeys(copy.store for policy in status.policies for copy in policy.copies))
    has_column_each = len(stores) <= COLUMNS_FOR_STORES
    headings = [f"newest in {store}" for store in stores] if has_column_each else ["newest point in each store"]
    rows: list[Row] = []
    for policy in status.policies:
        copies = {copy.store: copy for copy in policy.copies}
        newest = (
            [_newest(copies.get(store), now) for store in stores]
            if has_column_each
            else ["\n".join(f"{copy.store}: {_newest(copy, now)}" for copy in policy.copies)]
        )
        rows.append([policy.name, state(policy.state), *newest, _next(policy, now)])
    return table(["policy", "state", *headings, "next run"], rows)


def _newest(copy: CopyStatus | None, now: datetime) -> str:
    if copy is None:
        return "-"
    if copy.moment is None:
        return "none yet"
    if copy.is_damaged:
        return f"{age(copy.moment, now)}, damaged"
    return age(copy.moment, now) + (", proven" if copy.proven_at else "")


def _next(policy: PolicyStatus, now: datetime) -> str:
    if policy.state == "running":
        return "now"
    if policy.next_run is None:
        return "-"
    when = "due now" if policy.next_run <= now else age(policy.next_run, now)
    return f"{when}, {policy.next_mode}" if policy.next_mode else when


def _stores(status: Status, now: datetime) -> Table:
    rows: list[Row] = [
        [
            store.name,
            state(store.state),
            _kind(store),
            store.site,
            format_distance(store.distance_km * 1000) if store.distance_km else "here",
            "-" if store.free_bytes is None else format_size(store.free_bytes),
            age(store.last_checked, now),
            "-" if store.unread_since is None or store.read_within is None else span(now - store.unread_since),
        ]
        for store in status.stores
    ]
    headings = ["store", "state", "kind", "site", "distance", "free", "checked", "unread"]
    return table(headings, rows, right=("distance", "free", "unread"))


def _wal(policies: tuple[WalStatus, ...], now: datetime) -> Table:
    """How new the WAL is that each place has, what waits for it, and what the server keeps meanwhile."""
    stores = list(dict.fromkeys(stored.store for policy in policies for stored in policy.stores))
    has_column_each = len(stores) < COLUMNS_FOR_STORES
    rows: list[Row] = []
    for policy in policies:
        moments = {stored.store: stored.moment for stored in policy.stores}
        shown = [age(moments[store], now) if store in moments else "-" for store in stores]
        places = shown if has_column_each else ["\n".join(map("{}: {}".format, stores, shown))]
        word = state("received" if policy.is_received else "not received")
        node = policy.node or "-"
        rows.append([policy.policy, word, node, age(policy.received, now), *places, *map(_size, _waiting(policy))])
    headings = [f"in {store}" for store in stores] if has_column_each else ["in each store"]
    columns = ["WAL of", "state", "from", "up to", *headings, "in spool", "kept there"]
    return table(columns, rows, right=("in spool", "kept there"))


def _between(least: timedelta, most: timedelta) -> str:
    """Both ends where they differ as they are shown."""
    return " to ".join(dict.fromkeys((span(least), span(most))))


def _services(services: tuple[ServiceStatus, ...], now: datetime) -> Table:
    rows: list[Row] = [
        [
            service.policy,
            state(service.state.value),
            "-" if service.since is None else span(now - service.since),
            "-" if service.seconds is None else f"{service.seconds * 1000:.0f} ms",
            f"{_between(service.down, service.down_at_most)} in {format_duration(service.period)}",
            "-" if service.allowed is None else format_duration(service.allowed),
            "-" if service.left is None else _between(*service.left),
        ]
        for service in services
    ]
    return table(["service", "state", "for", "answers in", "down", "promised", "left"], rows, right=("answers in",))


def _nodes(nodes: tuple[NodeStatus, ...], now: datetime) -> Table:
    rows: list[Row] = [
        [
            node.node,
            state(node.verdict),
            node.role or "-",
            node.policy,
            "-" if node.since is None else span(now - node.since),
            "-" if node.seconds is None else f"{node.seconds * 1000:.0f} ms",
        ]
        for node in nodes
    ]
    return table(["node", "verdict", "role", "of", "for", "answers in"], rows, right=("answers in",))


def _waiting(policy: WalStatus) -> tuple[int | None, int | None]:
    return policy.spool_bytes, policy.retained_bytes


def _size(count: int | None) -> str:
    return "-" if count is None else format_size(count)


def _kind(store: StoreStatus) -> str:
    kind = f"mirror of {store.mirror_of}, {store.kind}" if store.mirror_of else store.kind
    return f"WAL, {kind}" if is_wal_store(store.name) else kind


def _needs(status: Status) -> RenderableType:
    lines: list[tuple[str, str]] = [(f"warning: {warning}", "") for warning in status.warnings]
    lines += [need for policy in status.wal for need in policy.needs.items()]
    lines += [_need_of_policy(policy) for policy in status.policies if _is_for_a_person(policy)]
    lines += [
        (f"the service {service.policy} does not answer: {service.why}", f"type: drd explain {service.policy}")
        for service in status.services
        if service.state is ServiceState.FAILS
    ]
    lines += [
        (f"node {node.node} of {node.policy}: {node.verdict}{f': {node.why}' if node.why else ''}", _explain(node))
        for node in status.nodes
        if node.verdict not in CALM
    ]
    lines += [_need_of_store(store) for store in status.stores if store.state in ("away", "damaged", "held")]
    if status.silent:
        hint = "type: systemctl status drd; if it stays so: systemctl restart drd"
        lines.append(("the daemon does not answer, so perhaps nothing is backed up", hint))
    elif not status.running:
        lines.append(("no daemon is running, so nothing is backed up by itself", "type: drd run"))
    if not lines:
        calm = "Nothing needs you." + (" Points of a policy: drd points POLICY" if status.policies else "")
        return Text(calm)
    parts: list[RenderableType] = [heading("needs you")]
    for what, hint in lines:
        parts.append(Padding(Text(what), (0, 0, 0, 2)))
        if hint:
            parts.append(Padding(Text(hint, style="cyan"), (0, 0, 0, 4)))
    return Group(*parts)


def _explain(node: NodeStatus) -> str:
    return f"type: drd explain {node.policy}"


def _is_for_a_person(policy: PolicyStatus) -> bool:
    return policy.state in NEEDS_A_PERSON or bool(policy.hint)


def _need_of_policy(policy: PolicyStatus) -> tuple[str, str]:
    what = f"{policy.name} {_verb(policy.state)}"
    return (f"{what}: {policy.note}" if policy.note else what, policy.hint or f"type: drd explain {policy.name}")


def _verb(word: str) -> str:
    return word if word in ("failed", "never run") else f"is {word}"


def _need_of_store(store: StoreStatus) -> tuple[str, str]:
    what = f"store {store.name} is {store.state}" + (f": {store.note}" if store.note else "")
    hints = {
        "away": "work for it is caught up when it answers again",
        "damaged": f"type: drd check {store.name}",
        "held": f"type, when you know why: drd release {store.name}",
    }
    return what, hints[store.state]
