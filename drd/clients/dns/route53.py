"""Route 53: record sets of a hosted zone, by a child that runs boto3 and ends (`drd.clients.dns.route53_child`)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from drd.core.dns import Change, Record
from drd.core.errors import PermanentError, TransientError
from drd.ports.runner import Command, Ending, Runner

PATIENCE: Final = timedelta(seconds=90)
CHILD: Final = "drd.clients.dns.route53_child"


@dataclass(frozen=True, slots=True)
class Route53:
    """A hosted zone. `credentials` is one line, ACCESS_KEY:SECRET_KEY."""

    runner: Runner
    zone: str
    endpoint: str
    credentials: bytes

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"Route 53, zone {self.zone}"

    async def look(self, name: str, kind: str) -> Record | None:
        """What the zone says of a name; None where it has no record of that type."""
        found = await self._ask({"do": "look", "name": name, "kind": kind})
        return None if found is None else Record(tuple(sorted(found["values"])), int(found["ttl"]))

    async def change(self, name: str, changes: Sequence[Change]) -> None:
        """Put records in the place of the old ones, if those are there as they were looked at, on all its servers."""
        await self._ask({"do": "change", "name": name, "changes": [asdict(each) for each in changes]})

    async def _ask(self, what: dict[str, Any]) -> Any:
        access, colon, secret = self.credentials.decode("ascii", "replace").strip().partition(":")
        if not (access and colon and secret):
            raise PermanentError(
                "what `credentials:` refers to holds no keys of AWS", "make it one line: ACCESS_KEY:SECRET_KEY"
            )
        order = {**what, "zone": self.zone, "endpoint": self.endpoint, "access": access, "secret": secret}
        said = await self._child(json.dumps(order).encode())
        if "transient" in said:
            raise TransientError(f"{self.place} does not answer: {said['transient']}", "look at the way to it")
        if "refused" in said:
            raise PermanentError(f"{self.place}: {said['refused']}", said["hint"])
        return said["found"]

    async def _child(self, order: bytes) -> dict[str, Any]:
        lines: list[bytes] = []
        command = Command(
            (sys.executable, "-P", "-m", CHILD, "{order}"),
            # Nothing of the user's own settings may reach boto3: what counts stands in the runbook.
            environment={
                "PATH": os.defpath,
                "LANG": "C.UTF-8",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            secrets={"order": order},
            deadline=PATIENCE,
        )
        ended = await self.runner.run(command, lambda stream, line: lines.append(line) if stream == "stdout" else None)
        if ended.ending is not Ending.EXITED or ended.code != 0 or not lines:
            return {"transient": f"no answer within {ended.seconds:.0f} s"}
        said: dict[str, Any] = json.loads(lines[-1])
        return said
