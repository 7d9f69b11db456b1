"""How long clients cannot write: drd beside Patroni, on the same hosts, with the same clients, in turn.

Two nodes, a proxy, a client's host and whoever watches are network namespaces of this machine (tests/namespaces.py).
Two clients write a row each 10 ms all the time, one by libpq with both servers in its string, one through HAProxy. What
is measured is the longest time between two acknowledgements, as each of them sees it, around

    kill      the postmaster of the primary is killed (kill -9); of the side `drd-in-place` it is started again
    silent    the primary's host goes silent: every packet from and to it is dropped
    switch    a planned switchover

and how many acknowledged rows the new primary does not have. Of drd it is noted beside that by which rung the old
primary was seen to be fenced, how it was brought back, and how drd's list of lost transactions fits what the clients
lost. `--note FILE` adds each run to a file, so that a measurement can be made in pieces; `--show FILE` prints what is
there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from bench.failover_drd import IN_PLACE, SERVICES, Drd
from bench.failover_found import Found
from bench.failover_patroni import SETTINGS, Patroni
from tests.failover_site import Client, Site
from tests.namespaces import network
from tests.postgres_lab import lab
from tests.system.programs import wait_for
from tests.writing_client import longest_gap

CASES = ("kill", "silent", "switch")
BEFORE_SECONDS = 1.0
SETTLED_ROWS = 100
"""So many rows after the gap, it is over."""
LONGEST_SECONDS = 180.0
SURELY_OVER_SECONDS = 0.3
"""Later than this after the blow, no acknowledgement is one of before it."""


class Side(Protocol):
    """What is compared."""

    @property
    def site(self) -> Site:
        """Its hosts."""

    def choose(self, settings: str) -> None:
        """Take settings, by their name."""

    def kill(self) -> None:
        """Kill -9 of the primary's postmaster."""

    def silence(self) -> None:
        """The primary's host is heard no more."""

    def switch(self) -> None:
        """The planned way."""

    def heal(self) -> None:
        """Make the pair whole again, and wait until it is."""

    def ids(self) -> set[int]:
        """The rows that the primary has."""

    def found(self) -> Found | None:
        """What it has on record of the last blow, once it is healed; None where it keeps no such record."""


def measure(side: Side, settings: str, case: str, number: int) -> dict[str, object]:
    """One blow, and what the clients saw of it."""
    side.choose(settings)
    ways = {"libpq": side.site.multihost, "proxy": side.site.proxied}
    clients = {
        way: side.site.start_client(dsn, (2 * number + index + 1) * 1_000_000)
        for index, (way, dsn) in enumerate(ways.items())
    }
    begun = time.monotonic()
    time.sleep(BEFORE_SECONDS)
    struck = time.monotonic()
    leaves = next(iter(clients.values())).rows()[-1].server if case == "switch" else ""
    {"kill": side.kill, "silent": side.silence, "switch": side.switch}[case]()
    for way, client in clients.items():
        wait_for(lambda client=client: _is_over(client, struck, leaves), f"{way} writes again", LONGEST_SECONDS)  # type: ignore[misc]
    rows = {way: client.stop() for way, client in clients.items()}
    there = side.ids()
    lost = [row for each in rows.values() for row in each if row.id not in there]
    side.heal()
    found = side.found()
    gaps = {way: round(longest_gap(each, struck), 4) for way, each in rows.items()}
    took = round(time.monotonic() - begun, 1)
    recorded = found.against(lost) if found else {}
    return {"side": settings, "case": case, "lost": len(lost), **gaps, "took": took, **recorded}


def _is_over(client: Client, struck: float, leaves: str) -> bool:
    """Whether it writes on after the blow, and no more at the server that it leaves, where one is named."""
    after = [row for row in client.rows() if row.moment > struck + SURELY_OVER_SECONDS and row.server != leaves]
    return len(after) > SETTLED_ROWS


def show(note: Path) -> None:
    """What was measured, a line a case and side."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in note.read_text().splitlines():
        run = json.loads(line)
        found[run["case"], run["side"]].append(run)
    print(f"{'case':8}{'side':26}{'runs':>5}  {'way':6}{'p50':>8}{'p99':>8}{'max':>8}   lost rows: sum, most")
    for (case, side), runs in sorted(found.items()):
        for way in ("libpq", "proxy"):
            gaps = sorted(run[way] for run in runs)
            p50, p99 = (gaps[math.ceil(share * len(gaps)) - 1] for share in (0.5, 0.99))
            losses = [int(run["lost"]) for run in runs]
            lost = f"   {sum(losses)}, {max(losses)}" if way == "libpq" else ""
            print(f"{case:8}{side:26}{len(runs):5}  {way:6}{p50:8.2f}{p99:8.2f}{gaps[-1]:8.2f}{lost}")
        recorded = [run for run in runs if "fence" in run]
        if recorded:
            print(f"{'':8}{_of_the_record(recorded)}")


def _of_the_record(runs: list[dict[str, Any]]) -> str:
    """What drd itself noted of so many runs, and how it fits what the clients saw."""
    fences, ways = (_counted(str(run[what]) for run in runs) for what in ("fence", "rejoined"))
    unlisted, unanswered = sum(run["unlisted"] for run in runs), max(run["unanswered"] for run in runs)
    lists = f"lost and not on its list: {unlisted}; on it and never answered: at most {unanswered} a run"
    return f"fenced by: {fences}; rejoined by: {ways}; {lists}"


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in sorted(Counter(words).items()))


@contextmanager
def side(parts: Path, name: str) -> Iterator[Side]:
    """One of drd's pairs, or Patroni's cluster, as long as the context lasts."""
    with lab((parts / "postgresql" / "bin").resolve()) as laboratory, network() as net:
        folder = Path(tempfile.mkdtemp(prefix="failover-", dir=laboratory.folder))
        folder.chmod(0o711)
        made: Drd | Patroni
        if name in SERVICES:
            made = Drd(laboratory, net, folder, parts / "restic-newest" / "restic", name)
        else:
            made = Patroni(laboratory, net, folder, Path(_answer("scripts/patroni")))
        try:
            made.start(parts / "haproxy" / "haproxy")
            yield made
        finally:
            made.close()


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--runs", type=int, default=1)
    given.add_argument("--sides", default=",".join([*SERVICES, *SETTINGS]))
    given.add_argument("--cases", default=",".join(CASES))
    given.add_argument("--note", type=Path)
    given.add_argument("--show", type=Path)
    said = given.parse_args()
    if said.show:
        show(said.show)
        return
    note = said.note or Path(tempfile.mkdtemp()) / "failover.jsonl"
    parts = Path(_answer("scripts/parts", "where"))
    pairs = itertools.product(said.sides.split(","), said.cases.split(","))
    wanted = [(name, case) for name, case in pairs if name != IN_PLACE or case == "kill"]
    with ExitStack() as stack:
        needed = dict.fromkeys(_pair_of(name) for name, _ in wanted)
        sides = {name: stack.enter_context(side(parts, name)) for name in needed}
        for number in range(said.runs):
            for place, (name, case) in enumerate(wanted):
                run = measure(sides[_pair_of(name)], name, case, number * len(wanted) + place)
                with note.open("a") as file:
                    file.write(f"{json.dumps(run)}\n")
                print(json.dumps(run), file=sys.stderr, flush=True)
    show(note)


def _pair_of(name: str) -> str:
    """Patroni's settings share one cluster."""
    return name if name in SERVICES else next(iter(SETTINGS))


def _answer(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
