"""The alert rules that are shipped: valid, tested by Prometheus' own tool, and about metrics that exist."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from drd.ports.control import NodeStatus
from drd.reports.metrics import render
from tests.reports.test_metrics import a_snapshot, a_wal_status

MONITORING = Path(__file__).parents[2] / "monitoring"
RULES = MONITORING / "drd.rules.yaml"
TESTS = sorted(MONITORING.glob("*.test.yaml"))


def run(promtool: Path, *words: str) -> tuple[int, str]:
    ended = subprocess.run([promtool, *words], cwd=MONITORING, capture_output=True, text=True, check=False, timeout=100)
    return ended.returncode, ended.stdout + ended.stderr


def test_prometheus_accepts_the_rules(promtool: Path) -> None:
    code, words = run(promtool, "check", "rules", RULES.name)
    assert code == 0, words


@pytest.mark.slow
def test_each_rule_fires_when_it_should_and_not_before(promtool: Path) -> None:
    code, words = run(promtool, "test", "rules", *(tests.name for tests in TESTS))
    assert code == 0, words


def test_every_alert_has_a_test() -> None:
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    tests = [test for file in TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == alerts


A_NODE = NodeStatus(policy="policy-0000", node="one", state="up", verdict="well")


def test_the_rules_are_about_metrics_that_drd_exports() -> None:
    scrape = render(
        replace(a_snapshot(), wal=(a_wal_status("policy-0000"),), nodes=(A_NODE,), held={"a": True}, rivals={"a": 1})
    )
    exported = set(re.findall(r"^(drd_\w+)", scrape.decode(), re.MULTILINE))
    used = set(re.findall(r"\bdrd_\w+", " ".join(re.findall(r"expr:(?:.|\n)*?(?=\n\s*\w+:)", RULES.read_text()))))
    assert len(used) > 10
    assert used <= exported


def test_every_command_that_an_alert_names_exists() -> None:
    from drd.cli.program import main

    named = set(re.findall(r"[Tt]ype: drd (\w+)|: drd (\w+)", RULES.read_text()))
    assert {word for pair in named for word in pair if word} <= set(main.commands)
