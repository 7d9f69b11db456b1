"""How long loading and checking 1,000 policies takes, and how much memory it leaves behind.

    python -m bench.configuration [policies] [rounds]

Each round runs in a process of its own, so that peak memory and imports are counted from nothing.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import spread

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = """\
site: hangzhou
timezone: Asia/Shanghai
state: /var/lib/drd
sites:
  hangzhou: {latitude: 30.25, longitude: 120.17}
  xian: {latitude: 34.34, longitude: 108.94}
stores:
  local: {local: /srv/drd/repository, site: hangzhou, password: {credential: restic-local}}
  offsite: {local: /mnt/offsite, site: xian, password: {credential: restic-offsite}, immutable: 30d}
people:
  sre-on-call: {name: SRE on call, deputy: sre-lead}
  sre-lead: {name: Lead of the SREs}
"""
POLICY = """\
# What service {number} promises, and how it is kept.
policy: service-{number}
description: Aufnahmen und 社区上传 of service {number}
owner: sre-on-call
objectives:
  rto: 1h                            # they can be watched again
  rpo: 30m                           # newest data that may be lost
  full_restore: 3h
  downtime: 4h per year
backup:
  source:
    - files: {{paths: [recordings-{number}, /srv/uploads/{number}], exclude: ["*.tmp", cache]}}
    - {{part: listing, files: {{paths: [listing]}}}}
  full: {{cron: "{minute} 2 * * *", spread: 15m}}
  incremental: {{every: 5m}}
  to: [local, offsite]
  keep: {{hourly: 24, daily: 7, weekly: 4, monthly: 12}}
  require: {{copies: 2, offsite: 1, distance: 500 km, immutable: 1}}
  guard: {{shrink: 30 %}}
  window: {{not: ["09:00-11:00", "Sun 03:00-04:00"], cpu: 50 %, io: idle}}
"""


def main() -> None:
    policies = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, policies)
        found = [one_round(folder) for _ in range(rounds)]
        (folder / "policies" / "wrong.yaml").write_text("policy: wrong\nbackup: {tp: [local]}\n")
        wrong = one_round(folder)
    for label, key, unit in (
        ("finding and importing the kinds", "kinds", "s"),
        ("loading and checking", "load", "s"),
        ("… of it processor time", "load processor", "s"),
        ("loading again (a reload)", "reload", "s"),
        ("memory before loading", "before", "MiB"),
        ("memory after loading", "after", "MiB"),
        ("peak memory of the process", "peak", "MiB"),
    ):
        print(f"{label:<34} {spread([one[key] for one in found])} {unit}")
    print(f"{'with one broken file among them':<34} {wrong['load']:.2f} s, {wrong['problems']:.0f} mistakes told")
    print(f"{policies} policies, {rounds} rounds, Python {sys.version.split()[0]}")


def write(folder: Path, policies: int) -> None:
    (folder / "policies").mkdir()
    (folder / "runbooks").mkdir()
    (folder / "drd.yaml").write_text(SETTINGS)
    for number in range(policies):
        text = POLICY.format(number=number, minute=number % 60)
        (folder / "policies" / f"service-{number:04}.yaml").write_text(text)


def one_round(folder: Path) -> dict[str, float]:
    output = subprocess.run(
        [sys.executable, "-m", "bench.configuration", "--round", folder],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    result: dict[str, float] = json.loads(output)
    return result


def measure(file: Path) -> dict[str, float]:
    """Load `file` twice, and take times and memory."""
    start = time.perf_counter()
    from drd.app.kinds import find_kinds
    from drd.config.load import load
    from drd.config.problems import ConfigurationErrors

    kinds = find_kinds()
    seconds = {"kinds": time.perf_counter() - start, "before": resident_mib(), "problems": 0.0}
    keeper: list[object] = []
    for name in ("load", "reload"):
        start, processor = time.perf_counter(), time.process_time()
        try:
            keeper[:] = [load(file, {}, kinds)]
        except ConfigurationErrors as errors:
            seconds["problems"] = len(errors.problems)
        seconds[name] = time.perf_counter() - start
        seconds[f"{name} processor"] = time.process_time() - processor
        if name == "load":
            seconds["after"] = resident_mib()
    return seconds | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    if sys.argv[1:2] == ["--round"]:
        print(json.dumps(measure(Path(sys.argv[2]) / "drd.yaml")))
    else:
        main()
